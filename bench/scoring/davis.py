"""The DAVIS-2017 evaluator's two tasks and its statistics, with its quirks, which published numbers hold.

Source: davis2017-evaluation, ``davis2017/evaluation.py`` and ``davis2017/utils.py`` (``db_statistics``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import MOST_IDS, VOID
from refseg.bench.scoring.measures import Scores, boundary_measure, region_similarity
from refseg.bench.types import BoolArray


@dataclass(frozen=True)
class MatchedObject:
    """A true object and the predicted id that it was matched with.

    Attributes:
        object_id: Its id in the truth.
        proposal_id: The predicted id.
        j: (T,) J of each frame.
        f: (T,) F of each frame.
    """

    object_id: int
    proposal_id: int
    j: Scores
    f: Scores


def unsupervised(
    prediction: NDArray[np.uint8], truth: NDArray[np.uint8], *, name: str
) -> list[MatchedObject]:
    """Score one video as the official unsupervised task: ids are matched so that the mean J&F is highest.

    The number of objects is the highest id of the *first* frame, so one that appears with a higher id later is
    never scored. The number of proposals is the highest predicted id; ids between that do not occur are empty.

    Args:
        prediction: (T, H, W) predicted ids, 0 background.
        truth: (T, H, W) true ids, 0 background, 255 void.
        name: The video, for messages.

    Returns:
        The objects in the order of their matched proposals, as the official lists have them.

    Raises:
        InputError: More than 20 proposals, or no object in the first frame.
    """
    void = truth == VOID
    objects = _count_objects(truth, name)
    proposals = max(int(prediction.max(initial=0)), objects)
    if proposals > MOST_IDS:
        raise InputError(
            f"The predictions of {name} hold object id {proposals}; the official evaluator admits at most {MOST_IDS}."
        )
    mask = void if void.any() else None
    j, f = np.empty((2, proposals, objects, len(truth)))
    for p in range(proposals):
        predicted = prediction == p + 1
        for o in range(objects):
            j[p, o], f[p, o] = _pair(predicted, truth == o + 1, mask)
    rows, columns = linear_sum_assignment(-(j.mean(-1) + f.mean(-1)) / 2)
    return [
        MatchedObject(int(o) + 1, int(p) + 1, j[p, o], f[p, o]) for p, o in zip(rows, columns, strict=True)
    ]


def semi_supervised(
    prediction: NDArray[np.uint8], truth: NDArray[np.uint8], *, name: str
) -> list[MatchedObject]:
    """Score one video as the official semi-supervised task: id k is compared with object k.

    The first and the last frame are left out. Void is not used: its pixels are background, and predictions there
    count as errors. The number of objects is the highest id of the *first* frame, as in the unsupervised task;
    objects without a predicted pixel are empty.

    Args:
        prediction: (T, H, W) predicted ids, 0 background.
        truth: (T, H, W) true ids, 0 background, 255 void.
        name: The video, for messages.

    Returns:
        The objects in the order of their ids; J and F hold T - 2 frames.

    Raises:
        InputError: More predicted ids than objects, no object in the first frame, or fewer than three frames.
    """
    if len(truth) < 3:
        raise InputError(
            f"{name} has {len(truth)} frames; the semi-supervised task leaves out the first and the last, so "
            "three are the least."
        )
    objects = _count_objects(truth, name)
    prediction, truth = prediction[1:-1], truth[1:-1]
    highest = int(prediction.max(initial=0))
    if highest > objects:
        raise InputError(
            f"The predictions of {name} hold object id {highest}, but its first label map has {objects} "
            "objects; the official semi-supervised task stops at that. The unsupervised one matches ids."
        )
    return [MatchedObject(k, k, *_pair(prediction == k, truth == k, None)) for k in range(1, objects + 1)]


def _count_objects(truth: NDArray[np.uint8], name: str) -> int:
    """Return the highest id of the first frame."""
    objects = int(truth[0][truth[0] != VOID].max(initial=0))
    if not objects:
        raise InputError(
            f"The first label map of {name} holds no object, and the official evaluator counts objects there; "
            "check the annotations, or score with refdavis/per_expression."
        )
    return objects


def _pair(predicted: BoolArray, true: BoolArray, void: BoolArray | None) -> tuple[Scores, Scores]:
    return region_similarity(predicted, true, void), boundary_measure(predicted, true, void)


def statistics(values: Scores) -> tuple[float, float, float | None]:
    """Return mean, recall (share over one half) and decay (first quarter's mean less the last's) of (T,) scores.

    The quarters' edges are cast to 8 bits as in the official code, so they wrap in videos of more than 256 frames.
    A quarter that is empty then gives NaN there and None here.
    """
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10) - 1
    edge = [int(e) % 256 for e in edges]
    first, last = values[edge[0] : edge[1] + 1], values[edge[3] : edge[4] + 1]
    decay = float(first.mean() - last.mean()) if len(first) and len(last) else None
    return float(np.mean(values)), float(np.mean(values > 0.5)), decay
