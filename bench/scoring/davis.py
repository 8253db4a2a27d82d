"""The DAVIS-2017 evaluator's two tasks and its statistics, with its quirks, which published numbers hold.

Source: davis2017-evaluation, ``davis2017/evaluation.py`` and ``davis2017/utils.py`` (``db_statistics``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import MOST_IDS, VOID
from refseg.bench.scoring.compiled import Ints
from refseg.bench.scoring.frames import Frames, each_frame
from refseg.bench.scoring.packed import (
    Layers,
    Scores,
    bound_pixels,
    boundary_from,
    count_pairs,
    pack_labels,
    region_from,
)


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


@dataclass(frozen=True)
class LabelVideo:
    """The label maps of a video, read frame by frame: ``frames(t)`` for t from 0 to ``length``."""

    frames: Frames
    length: int


LabelMaps = NDArray[np.uint8] | LabelVideo
"""(T, H, W) ids, 0 background, or the same frame by frame."""


def unsupervised(prediction: LabelMaps, truth: LabelMaps, *, name: str) -> list[MatchedObject]:
    """Score one video as the official unsupervised task: ids are matched so that the mean J&F is highest.

    The number of objects is the highest id of the *first* frame, so one that appears with a higher id later is
    never scored. The number of proposals is the highest predicted id; ids between that do not occur are empty.

    Args:
        prediction: Predicted ids.
        truth: True ids; 255 is void.
        name: The video, for messages.

    Returns:
        The objects in the order of their matched proposals, as the official lists have them.

    Raises:
        InputError: More than 20 proposals, or no object in the first frame.
    """
    predicted, true = _video(prediction), _video(truth)
    objects = _count_objects(true, name)
    pairs = [(p, o) for p in range(1, MOST_IDS + 1) for o in range(1, objects + 1)]
    counts, highest = _count(predicted, true, range(true.length), pairs, use_void=True)
    proposals = max(highest, objects)
    if proposals > MOST_IDS:
        raise InputError(
            f"The predictions of {name} hold object id {proposals}; the official evaluator admits at most {MOST_IDS}."
        )
    counts = counts.reshape(true.length, MOST_IDS, objects, -1)[:, :proposals]
    j, f = (np.moveaxis(scores, 0, -1) for scores in (region_from(counts), boundary_from(counts)))
    # Half a second to import, which the other task need not pay.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-(j.mean(-1) + f.mean(-1)) / 2)
    return [
        MatchedObject(int(o) + 1, int(p) + 1, j[p, o], f[p, o]) for p, o in zip(rows, columns, strict=True)
    ]


def semi_supervised(prediction: LabelMaps, truth: LabelMaps, *, name: str) -> list[MatchedObject]:
    """Score one video as the official semi-supervised task: id k is compared with object k.

    The first and the last frame are left out. Void is not used: its pixels are background, and predictions there
    count as errors. The number of objects is the highest id of the *first* frame, as in the unsupervised task;
    objects without a predicted pixel are empty.

    Args:
        prediction: Predicted ids.
        truth: True ids; 255 is void.
        name: The video, for messages.

    Returns:
        The objects in the order of their ids; J and F hold T - 2 frames.

    Raises:
        InputError: More predicted ids than objects, no object in the first frame, or fewer than three frames.
    """
    predicted, true = _video(prediction), _video(truth)
    if true.length < 3:
        raise InputError(
            f"{name} has {true.length} frames; the semi-supervised task leaves out the first and the last, so "
            "three are the least."
        )
    objects = _count_objects(true, name)
    pairs = [(k, k) for k in range(1, objects + 1)]
    counts, highest = _count(predicted, true, range(1, true.length - 1), pairs, use_void=False)
    if highest > objects:
        raise InputError(
            f"The predictions of {name} hold object id {highest}, but its first label map has {objects} "
            "objects; the official semi-supervised task stops at that. The unsupervised one matches ids."
        )
    j, f = region_from(counts), boundary_from(counts)
    return [MatchedObject(k, k, j[:, k - 1], f[:, k - 1]) for k in range(1, objects + 1)]


def _video(labels: LabelMaps) -> LabelVideo:
    if isinstance(labels, LabelVideo):
        return labels
    return LabelVideo(lambda t: pack_labels(labels[t]), len(labels))


def _count_objects(truth: LabelVideo, name: str) -> int:
    """Return the highest id of the first frame."""
    ids = truth.frames(0).ids
    objects = int(ids[ids != VOID].max(initial=0))
    if not objects:
        raise InputError(
            f"The first label map of {name} holds no object, and the official evaluator counts objects there; "
            "check the annotations, or score with refdavis/per_expression."
        )
    return objects


def _count(
    predicted: LabelVideo,
    true: LabelVideo,
    frames: Iterable[int],
    pairs: list[tuple[int, int]],
    *,
    use_void: bool,
) -> tuple[Ints, int]:
    """Return (T, P, 7) counts of pairs of predicted and true ids, and the highest predicted id."""
    ids = np.array(pairs, np.int64).T - 1

    def count(t: int) -> tuple[Ints, int]:
        mine, theirs = predicted.frames(t), true.frames(t)
        highest = int(mine.ids.max(initial=0))
        if use_void and VOID in theirs.ids:
            mine = mine.without(theirs.of(VOID))
        rows = np.stack(
            [_rows(side, wanted) for side, wanted in zip((mine, theirs), ids, strict=True)], axis=1
        )
        return count_pairs(mine, theirs, rows, bound_pixels(*mine.size)), highest

    found = list(each_frame(count, frames))
    return np.stack([counts for counts, _ in found]), max(highest for _, highest in found)


def _rows(layers: Layers, ids: Ints) -> Ints:
    return layers.rows(int(ids.max()) + 1)[ids]


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
