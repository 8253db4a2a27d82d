"""One video of the viewer: masks of all runs and the truth as run lengths, and what each frame's mask is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.store import RunFolder, StoredPrediction, encode, video_key
from refseg.bench.types import Dataset, Expression, Video
from refseg.reports.decomposition import Floats, Kinds, Rle, frame_kinds, losses, overlaps, shares
from refseg.reports.site.runs import Run
from refseg.reports.site.sheets import Shown

Counts = tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """The truth of one sentence: run lengths of T frames, and of the pixels that count, where some do not."""

    masks: Counts
    counted: Counts | None = None


@dataclass(frozen=True)
class Judged:
    """One run's masks of one sentence, judged.

    Attributes:
        kinds: (T,) what each frame is.
        iou: (T,) IoU with the truth.
        shares: (6,) of the frames.
        losses: (6,) of J.
    """

    kinds: Kinds
    iou: Floats
    shares: Floats
    losses: Floats


@dataclass
class VideoData:
    """What the viewer shows of a video.

    Attributes:
        video: The video.
        shown: Which of its frames are shown.
        truths: The truth of each sentence; None where labels are hidden.
        found: Run number -> masks of each sentence; None where there are none.
        judged: Run number -> what they are; None where there are none or no truth is known.
        troubles: A sentence on each file that cannot be shown.
    """

    video: Video
    shown: Shown
    truths: list[Truth | None]
    found: dict[int, list[StoredPrediction | None]] = field(default_factory=dict)
    judged: dict[int, list[Judged | None]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """Return it as the page's script reads it; masks only of frames that are shown."""
        distinct = list(dict.fromkeys(t.masks for t in self.truths if t is not None))
        number = {masks: i for i, masks in enumerate(distinct)}
        return {
            "frames": [self.video.frame_ids[t] for t in self.shown.times],
            "truths": [self._of_shown(masks) for masks in distinct],
            "truth": [None if t is None else number[t.masks] for t in self.truths],
            "runs": {str(run): self._run(run) for run in self.found},
        }

    def _of_shown(self, counts: Counts) -> list[str]:
        return [counts[t] for t in self.shown.times]

    def _run(self, run: int) -> dict[str, Any]:
        times = list(self.shown.times)
        judged = self.judged[run]
        return {
            "masks": [None if f is None else self._of_shown(f.masks) for f in self.found[run]],
            "boxes": [None if f is None else _boxes(f, self.shown) for f in self.found[run]],
            "kinds": [None if j is None else "".join(map(str, j.kinds[times].tolist())) for j in judged],
            "iou": [None if j is None else np.rint(100 * j.iou[times]).astype(int).tolist() for j in judged],
        }


def look_at(dataset: Dataset, video: Video, shown: Shown, runs: Sequence[Run]) -> VideoData:
    """Read a video's truth and every run's masks of it, and judge them."""
    data = VideoData(video, shown, [_truth(dataset, video, e) for e in video.expressions])
    others = [_other_objects(video, data.truths, k) for k in range(len(video.expressions))]
    for run in runs:
        folder = RunFolder(run.path)
        found: list[StoredPrediction | None] = []
        for expression in video.expressions:
            try:
                found.append(_prediction(folder, run, video, expression))
            except InputError as error:
                data.troubles.append(f"{run.label}: {error}")
                found.append(None)
        data.found[run.number] = found
        data.judged[run.number] = [
            None if f is None or t is None else _judge(f, t, o)
            for f, t, o in zip(found, data.truths, others, strict=True)
        ]
    return data


def _truth(dataset: Dataset, video: Video, expression: Expression) -> Truth | None:
    truth = dataset.ground_truth(video.id, expression.id)
    if truth is None:
        return None
    counted = None if truth.void is None or not truth.void.any() else tuple(encode(~truth.void))
    return Truth(tuple(encode(truth.masks.astype(bool))), counted)


def _prediction(folder: RunFolder, run: Run, video: Video, expression: Expression) -> StoredPrediction | None:
    found = folder.read(video.id, expression.id)
    if found is None or found.key != video_key(run.key, video):
        return None
    if (found.size, found.frames) != (video.size, video.frame_ids):
        raise InputError(f"The masks of {video.id}/{expression.id} are of other frames than the dataset's.")
    return found


def _other_objects(video: Video, truths: Sequence[Truth | None], own: int) -> list[list[Rle]]:
    """Return the truths of the video's other objects, each once: those that share no object with a sentence's."""
    mine, ids = truths[own], set(video.expressions[own].object_ids)
    found: dict[Counts, list[Rle]] = {}
    for expression, truth in zip(video.expressions, truths, strict=True):
        if truth is None or mine is None or not expression.object_ids or ids & {*expression.object_ids}:
            continue
        if truth.masks != mine.masks and truth.masks not in found:
            found[truth.masks] = _rles(truth.masks, video.size)
    return list(found.values())


def _judge(found: StoredPrediction, truth: Truth, others: Sequence[Sequence[Rle]]) -> Judged:
    counted = None if truth.counted is None else _rles(truth.counted, found.size)
    measured = overlaps(_rles(found.masks, found.size), _rles(truth.masks, found.size), others, counted)
    kinds = frame_kinds(measured)
    return Judged(kinds, measured.target, shares(kinds), losses(kinds, measured.target))


def _rles(counts: Counts, size: tuple[int, int]) -> list[Rle]:
    return [{"size": list(size), "counts": c.encode("ascii")} for c in counts]


def _boxes(found: StoredPrediction, shown: Shown) -> Mapping[str, list[float]]:
    """Return the boxes that the method found, by the number of the shown frame."""
    boxes = {}
    for number, t in enumerate(shown.times):
        box = found.extras.get(found.frames[t], {}).get("box")
        if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
            boxes[str(number)] = [round(float(v), 1) for v in box]
    return boxes
