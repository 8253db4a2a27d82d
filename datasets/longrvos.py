"""Long-RVOS: minute-long videos; masks of an object in a folder of its own, none where it is not in the frame."""

from __future__ import annotations

from refseg.bench.options import NoOptions, parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.longrvos import CARD
from refseg.datasets.mask_folders import MaskFolderDataset
from refseg.datasets.metadata import Schema, read_metadata
from refseg.datasets.videos import FrameFolder, digest, require

CARDS = {CARD.name: CARD}
KINDS = {k: k for k in ("static", "dynamic", "hybrid")}
"""Kinds of sentences, field ``type``."""


def build(request: DatasetRequest) -> MaskFolderDataset:
    """Open a split of Long-RVOS; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    parse_options(NoOptions, request.options, owner="dataset longrvos")
    split = CARD.split(request.split)
    metadata, frames, labels = (
        f"{split}/{n}" for n in ("meta_expressions.json", "JPEGImages", "Annotations")
    )
    public = CARD.splits[split].labels == "public"
    root = require(CARD, request, split, metadata, frames, *([labels] if public else []))
    entries, content = read_metadata(root, metadata, Schema(kind=("type", KINDS)), request.fault)
    return MaskFolderDataset(
        CARD,
        split,
        entries,
        FrameFolder(root, frames),
        fingerprint=digest(content),
        labels=labels if (root / labels).is_dir() else None,
        by_object=True,
        sparse=True,
    )
