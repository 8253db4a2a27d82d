"""Any data of one's own in Refer-YouTube-VOS's layout: any names; labels where there are some."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.options import parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.folder import CARD
from refseg.datasets.label_maps import LabelMapDataset, numbered
from refseg.datasets.metadata import Schema, read_metadata
from refseg.datasets.videos import FrameFolder, digest, require

CARDS = {CARD.name: CARD}


@dataclass(frozen=True)
class _Options:
    """Options of a folder.

    Attributes:
        name: What the data is called in results.
        version: Its version in results.
    """

    name: str = "folder"
    version: str = "1"


def build(request: DatasetRequest) -> LabelMapDataset:
    """Open a split of a folder; only its metadata is read.

    Raises:
        InputError: An option is unknown, the root is not set or lacks the split, or the metadata is broken.
    """
    options = parse_options(_Options, request.options, owner="dataset folder")
    split = request.split or _only_split(request)
    metadata, frames, labels = (
        f"meta_expressions/{split}/meta_expressions.json",
        f"{split}/JPEGImages",
        f"{split}/Annotations",
    )
    if request.split is not None and request.root is not None:
        known = _splits(Path(request.root))
        if known and split not in known:
            raise unknown_name(f"split of {request.root}", split, known)
    root = require(CARD, request, split, metadata, frames)
    entries, content = read_metadata(root, metadata, Schema(listed=False), request.fault)
    entries = tuple(numbered(entries, metadata, root, request.fault))
    told = any(s.object_ids is not None for e in entries for s in e.sentences)
    known_labels = labels if told and (root / labels).is_dir() else None
    card = replace(CARD, name=options.name, version=options.version, splits={split: CARD.splits["<split>"]})
    return LabelMapDataset(
        card, split, entries, FrameFolder(root, frames), fingerprint=digest(content), labels=known_labels
    )


def _only_split(request: DatasetRequest) -> str:
    """Return the folder's split where it has one.

    Raises:
        InputError: It has several, or none.
    """
    root = CARD.root(request, "<split>")
    known = _splits(root)
    if len(known) != 1:
        told = (
            f"holds the splits {', '.join(known)}; give --split"
            if known
            else "holds no split; it is expected as"
        )
        drawing = "." if known else f"\n{CARD.drawing('<split>', root)}"
        raise InputError(f"{root} {told}{drawing}")
    return known[0]


def _splits(root: Path) -> list[str]:
    return sorted(p.parent.name for p in root.glob("meta_expressions/*/meta_expressions.json"))
