"""Scores of a RefSAM in training, by the ordinary runner and scorer."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from refseg.bench.types import Dataset, Video
from refseg.methods.refsam.method import RefSamMethod, RefSamOptions
from refseg.methods.refsam.model import RefSam
from refseg.methods.validation import method_scores


def validation_scores(
    model: RefSam, dataset: Dataset, videos: Sequence[Video], *, device: torch.device
) -> dict[str, float]:
    """Return the metrics of the dataset's default protocol, in percent, each name with ``val_`` before it.

    Raises:
        InputError: A video failed, or nothing could be scored.
    """
    method = RefSamMethod("refsam", model, RefSamOptions(), device=device)
    return method_scores(
        method, dataset, videos, advice="mend the copy, or give another --set validate=NAME:SPLIT"
    )
