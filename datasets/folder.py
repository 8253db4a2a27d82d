"""Any data of one's own in Refer-YouTube-VOS's layout: any names; labels where there are some."""

from __future__ import annotations

from dataclasses import dataclass, replace

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.options import parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.folder import CARD
from refseg.datasets.label_maps import open_labels
from refseg.datasets.metadata import Schema, read_metadata
from refseg.datasets.videos import FrameFolder, VideoDataset, digest, require

CARDS = {CARD.name: CARD}

_ANY = CARD.default_split


@dataclass(frozen=True)
class _Options:
    """Options of a folder.

    Attributes:
        version: What the data is called in results; results of different names are never compared.
    """

    version: str = "1"


def build(request: DatasetRequest) -> VideoDataset:
    """Open a split of a folder; only its metadata is read.

    Raises:
        InputError: An option is unknown, the root is not set or lacks the split, or the metadata is broken.
    """
    options = parse_options(_Options, request.options, owner="dataset folder")
    split = _split(request)
    metadata = f"meta_expressions/{split}/meta_expressions.json"
    frames = f"{split}/JPEGImages"
    root = require(CARD, request, split, metadata, frames)
    entries, content = read_metadata(root, metadata, Schema(listed=False), request.fault)
    card = replace(CARD, version=options.version, splits={split: CARD.splits[_ANY]})
    return open_labels(
        card,
        split,
        entries,
        FrameFolder(root, frames),
        fingerprint=digest(content),
        metadata=metadata,
        report=request.fault,
    )


def _split(request: DatasetRequest) -> str:
    """Return the split that is asked for, or the only one of the folder.

    Raises:
        InputError: It is not there, or none is asked for and there are several.
    """
    root = CARD.root(request, request.split or _ANY)
    known = sorted(p.parent.name for p in root.glob("meta_expressions/*/meta_expressions.json"))
    if not known:
        raise InputError(
            f"{root} holds no split; it is expected as\n{CARD.drawing(request.split or _ANY, root)}"
        )
    if request.split is None and len(known) > 1:
        raise InputError(f"{root} holds the splits {', '.join(known)}; give --split.")
    split = request.split or known[0]
    if split not in known:
        raise unknown_name(f"split of {root}", split, known)
    return split
