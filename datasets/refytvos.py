"""Refer-YouTube-VOS: the truth is png == obj_id; validation labels are read where they are there, else hidden.

The published validation file lists 507 videos, those of the later test split among them; the validation split is the
202 that the test file does not list.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from refseg.bench.errors import DataError, Fault
from refseg.bench.options import NoOptions, parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.refytvos import CARD
from refseg.datasets.label_maps import open_labels
from refseg.datasets.mask_folders import MaskFolderDataset
from refseg.datasets.metadata import Entry, Schema, read_metadata
from refseg.datasets.videos import FrameFolder, VideoDataset, digest, require

CARDS = {CARD.name: CARD}


def build(request: DatasetRequest) -> VideoDataset:
    """Open a split of Refer-YouTube-VOS; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    parse_options(NoOptions, request.options, owner="dataset refytvos")
    split = CARD.split(request.split)
    name = metadata_name(split)
    # Where only the validation frames were copied, the test videos are among them.
    root = require(CARD, request, split, name)
    frames = f"{split}/JPEGImages"
    if split == "test" and not (root / frames).exists():
        frames = "valid/JPEGImages"
    require(CARD, request, split, frames, *([f"{split}/Annotations"] if split == "train" else []))
    found, content = read_metadata(root, name, Schema(), request.fault)
    entries = _validation(found, root, name) if split == "valid" else found
    folder, labels = FrameFolder(root, frames), f"{split}/Annotations"
    if _has_masks_of_expressions(root / labels, entries):
        return MaskFolderDataset(
            CARD,
            split,
            entries,
            folder,
            fingerprint=digest(content),
            labels=labels,
            by_object=False,
            sparse=False,
        )
    return open_labels(
        CARD, split, entries, folder, fingerprint=digest(content), metadata=name, report=request.fault
    )


def metadata_name(split: str) -> str:
    """Return the path of a split's metadata."""
    return f"meta_expressions/{split}/meta_expressions.json"


def pinned_ids() -> frozenset[str]:
    """Return the ids of the 202 validation videos."""
    return frozenset(
        resources.files("refseg.datasets").joinpath("refytvos_valid_ids.txt").read_text("ascii").split()
    )


def _validation(entries: Iterable[Entry], root: Path, name: str) -> list[Entry]:
    """Return the videos that are not the test split's.

    Raises:
        DataError: None of them is a validation video.
    """
    test = metadata_name("test")
    if (root / test).is_file():
        others, _ = read_metadata(root, test, Schema(), lambda fault: None)
        theirs = {e.id for e in others}
        kept = [e for e in entries if e.id not in theirs]
    else:
        kept = [e for e in entries if e.id in pinned_ids()]
    if not kept:
        text = (
            f"{root / name} lists none of the 202 validation videos of Refer-YouTube-VOS; for videos of your own "
            "in its layout use the dataset `folder`."
        )
        raise DataError(Fault("id", name, text))
    return kept


def _has_masks_of_expressions(labels: Path, entries: Iterable[Entry]) -> bool:
    """Return whether the truth lies as a server takes predictions: a folder of masks an expression."""
    for entry in entries:
        folder = labels / entry.id
        if folder.is_dir():
            return any((folder / s.id).is_dir() for s in entry.sentences)
    return False
