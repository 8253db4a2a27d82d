"""What goes wrong in a sentence's masks, frame by frame: pure functions on overlaps, and what each error costs.

Every frame is of exactly one kind (docs/page.md says them in words). The two bounds are those of TIDE (D. Bolya et
al., TIDE: A General Toolbox for Identifying Object Detection Errors, ECCV 2020, section 2.2): from 0.5 on a mask has
its object, below 0.1 it lies on background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from refseg.bench.types import BoolArray

RIGHT_IOU = 0.5
"""From this IoU on, a mask has its object."""

TOUCH_IOU = 0.1
"""Below this IoU, a mask does not lie on an object."""

Rle = dict[str, Any]
"""One mask as COCO's ``{"size": [H, W], "counts": …}``."""

Floats = NDArray[np.float64]
Kinds = NDArray[np.int8]


class Kind(IntEnum):
    """What a frame's mask is."""

    RIGHT = 0
    POOR_MASK = 1
    WRONG_OBJECT = 2
    LOST_TRACK = 3
    MISSED = 4
    FALSE_PRESENCE = 5

    @property
    def words(self) -> str:
        """Return its name as tables print it."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Overlaps:
    """How a sentence's masks lie on the video's objects, T frames.

    Attributes:
        target: (T,) IoU with the truth, 1 where neither has a pixel.
        other: (T,) the highest IoU with another object, 0 where there is none.
        present: (T,) whether the truth has a pixel.
        answered: (T,) whether the prediction has one.
    """

    target: Floats
    other: Floats
    present: BoolArray
    answered: BoolArray


def overlaps(
    prediction: Sequence[Rle],
    truth: Sequence[Rle],
    others: Sequence[Sequence[Rle]],
    counted: Sequence[Rle] | None = None,
) -> Overlaps:
    """Measure masks against the truth and the other objects.

    Args:
        prediction: T masks.
        truth: T masks.
        others: For each other object, T masks.
        counted: T masks of the pixels that are not void; None: all.

    Raises:
        ValueError: Their lengths differ.
    """
    rows = []
    for t, (mine, true) in enumerate(zip(prediction, truth, strict=True)):
        objects = [true, *(other[t] for other in others)]
        if counted is not None:
            mine, *objects = (coco.merge([m, counted[t]], intersect=True) for m in (mine, *objects))
        present, answered = coco.area(objects[0]) > 0, coco.area(mine) > 0
        found = coco.iou([mine], objects, [0] * len(objects))[0]
        target = found[0] if present or answered else 1.0
        rows.append((target, max(found[1:], default=0.0), present, answered))
    columns = np.array(rows, np.float64).reshape(-1, 4).T
    return Overlaps(columns[0], columns[1], columns[2] > 0, columns[3] > 0)


def frame_kinds(found: Overlaps) -> Kinds:
    """Return (T,) the :class:`Kind` of each frame.

    A mask off its object counts as lost from the first frame on in which the object was had; before, it is a wrong
    object where it lies on one, else missed.
    """
    had = found.present & (found.target >= RIGHT_IOU)
    poor = found.present & ~had & (found.target >= TOUCH_IOU) & (found.target >= found.other)
    off = found.present & ~had & ~poor
    kinds = np.full(len(found.target), Kind.RIGHT, np.int8)
    kinds[poor] = Kind.POOR_MASK
    kinds[off] = np.where(found.other[off] >= TOUCH_IOU, Kind.WRONG_OBJECT, Kind.MISSED)
    kinds[off & np.logical_or.accumulate(had)] = Kind.LOST_TRACK
    kinds[~found.present & found.answered] = Kind.FALSE_PRESENCE
    return kinds


def shares(kinds: Kinds) -> Floats:
    """Return (6,) which share of the frames is of each kind; they sum to 1."""
    return np.bincount(kinds, minlength=len(Kind)) / max(len(kinds), 1)


def losses(kinds: Kinds, target: Floats) -> Floats:
    """Return (6,) what each kind takes from the sentence's J; with the mean of ``target`` they sum to 1."""
    return np.bincount(kinds, 1 - target, len(Kind)) / max(len(kinds), 1)


def main_kind(share: Floats) -> Kind:
    """Return what a sentence is: right where half of its frames are, else its commonest error, the first of equals."""
    if share[Kind.RIGHT] >= 0.5:
        return Kind.RIGHT
    return Kind(int(share[1:].argmax()) + 1)
