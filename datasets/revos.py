"""ReVOS: sentences that need reasoning beside plain ones; masks of both splits in one mask_dict.json."""

from __future__ import annotations

from refseg.bench.options import NoOptions, parse_options
from refseg.bench.types import DatasetRequest
from refseg.datasets.cards.revos import CARD
from refseg.datasets.mask_dict import MaskDictDataset, MaskFile
from refseg.datasets.metadata import Schema, read_metadata
from refseg.datasets.videos import FrameFolder, digest, require

CARDS = {CARD.name: CARD}
KINDS = {0: "referring", 1: "reasoning", 2: "hallucination"}
"""``type_id`` -> the kind of a sentence; the official averages leave the last one out."""

_FRAMES, _MASKS, _FOREGROUND = "JPEGImages", "mask_dict.json", "mask_dict_foreground.json"


def build(request: DatasetRequest) -> MaskDictDataset:
    """Open a split of ReVOS; only its metadata is read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else, or the
            metadata is broken.
    """
    parse_options(NoOptions, request.options, owner="dataset revos")
    split = CARD.split(request.split)
    metadata = f"meta_expressions_{split}_.json"
    root = require(CARD, request, split, metadata, _FRAMES, _MASKS, _FOREGROUND)
    schema = Schema(several=True, nested=True, kind=("type_id", KINDS))
    entries, content = read_metadata(root, metadata, schema, request.fault)
    return MaskDictDataset(
        CARD,
        split,
        entries,
        FrameFolder(root, _FRAMES),
        fingerprint=digest(content),
        masks=MaskFile(root, _MASKS),
        foreground=MaskFile(root, _FOREGROUND, objects=True),
    )
