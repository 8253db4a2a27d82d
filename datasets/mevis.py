"""MeViS: sentences about motion that refer to none, one or several objects; masks in mask_dict.json.

Versions 1 (2023) and 2 (2024) are different datasets with the same files and videos; the number of a split's
sentences tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from refseg.bench.options import parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.mevis import CARD, VERSION_1
from refseg.datasets.mask_dict import MaskDictDataset, MaskFile
from refseg.datasets.metadata import Entry, Schema, read_metadata
from refseg.datasets.videos import FrameFolder, digest, require

CARDS = {CARD.name: CARD}


@dataclass(frozen=True)
class _Options:
    """Options of MeViS.

    Attributes:
        release: ``"1"`` or ``"2"``; ``"auto"``: as the number of sentences says.
    """

    release: Literal["auto", "1", "2"] = "auto"


def build(request: DatasetRequest) -> MaskDictDataset:
    """Open a split of MeViS; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    options = parse_options(_Options, request.options, owner="dataset mevis")
    split = CARD.split(request.split)
    metadata, frames, masks = (
        f"{split}/{n}" for n in ("meta_expressions.json", "JPEGImages", "mask_dict.json")
    )
    public = CARD.splits[split].labels == "public"
    root = require(CARD, request, split, metadata, frames, *([masks] if public else []))
    entries, content = read_metadata(root, metadata, Schema(several=True), request.fault)
    release = _release(split, entries) if options.release == "auto" else options.release
    card = replace(CARD, splits=VERSION_1) if release == "1" else CARD
    return MaskDictDataset(
        card,
        split,
        entries,
        FrameFolder(root, frames),
        fingerprint=digest(content),
        version=release,
        masks=MaskFile(root, masks) if (root / masks).is_file() else None,
    )


def _release(split: str, entries: Sequence[Entry]) -> str:
    count = sum(len(e.sentences) for e in entries)
    published = {"1": VERSION_1[split].expressions, "2": CARD.splits[split].expressions}
    return next((release for release, n in published.items() if n == count), "unknown")
