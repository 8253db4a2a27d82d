"""Merges the objects of one annotator frame by frame, as published Ref-DAVIS17 scoring wants them.

Every RVOS repository does it so (e.g. ReferFormer, ``inference_davis.py``): probabilities under 0.5 become 0,
the background gets 0.1, and the argmax takes the pixel; of equals the first object wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.types import BoolArray, Expression, FramePrediction, Video

CUT = 0.5


@dataclass(frozen=True)
class MergeGroup:
    """The expressions of one annotator in one video, in the order of their objects.

    Attributes:
        annotator: Its index.
        expressions: One expression an object, sorted by object id as a number.
    """

    annotator: int
    expressions: tuple[Expression, ...]


def merge_groups(video: Video) -> list[MergeGroup]:
    """Return the groups that are merged: annotators whose every expression names one numbered object."""
    by_annotator: dict[int, list[Expression]] = {}
    for expression in video.expressions:
        if expression.annotator is not None:
            by_annotator.setdefault(expression.annotator, []).append(expression)
    return [
        MergeGroup(annotator, tuple(sorted(group, key=object_number)))
        for annotator, group in sorted(by_annotator.items())
        if all(_is_numbered(e) for e in group)
    ]


def object_number(expression: Expression) -> int:
    """Return the number of the object that a merged expression names: its id in a label map."""
    return int(expression.object_ids[0])


def won_pixels(prediction: FramePrediction, rows: Sequence[int]) -> BoolArray:
    """Return (len(rows), H, W): the pixels that each object wins in one frame.

    Args:
        prediction: The frame's prediction; without probabilities, masks count as probability 1.
        rows: Which of its K expressions are merged, in the order of the objects.
    """
    index = list(rows)
    claims: NDArray[Any] = prediction.masks if prediction.probabilities is None else prediction.probabilities
    claims, cut = claims[index], CUT
    if claims.dtype == np.float16:
        # Positive halves are ordered as their bits are, and whole numbers are compared ten times faster.
        claims, cut = claims.view(np.int16), int(np.float16(CUT).view(np.int16))
    best = claims.max(axis=0)
    # What is at least CUT beats the background's 0.1, so that only the cut counts.
    won: BoolArray = (claims == best) & (best >= cut)
    taken = np.zeros_like(won[0])
    for own in won:
        own &= ~taken
        taken |= own
    return won


def _is_numbered(expression: Expression) -> bool:
    ids = expression.object_ids
    # 0 is the background of a label map and 255 its void.
    return len(ids) == 1 and ids[0].isascii() and ids[0].isdecimal() and 0 < int(ids[0]) < 255
