"""``bench traps`` as a function: how much each convention of scoring moves a number, measured on real masks.

Truth and predictions are two folders ``<video>/<frame>.png`` of object ids. Predicted ids are first matched to objects
as the official unsupervised task does it, so that every measurement starts from the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import VOID, decode_labels
from refseg.bench.progress import Progress, Silent
from refseg.bench.protocols.a2d import THRESHOLDS, smoothed_iou
from refseg.bench.protocols.revos import robustness
from refseg.bench.scoring.davis import statistics, unsupervised
from refseg.bench.scoring.measures import Scores, intersection_and_union, region_and_boundary
from refseg.bench.types import BoolArray

STRIDE = 5
"""Refer-YouTube-VOS labels every fifth frame."""

LONG = 400
"""Frames to which videos are slowed down: DAVIS has none that is so long that 8-bit edges of quarters wrap."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Answer:
    """J and F of an answer in each frame, (T,) each."""

    j: Scores
    f: Scores

    def mean(self, frames: slice | NDArray[np.bool_] = slice(None)) -> float:
        """Return J&F over some frames, 0..1."""
        return float(self.j[frames].mean() + self.f[frames].mean()) / 2


@dataclass(frozen=True)
class Measured:
    """One object of one video.

    Attributes:
        video: Its video.
        right: The prediction that it was matched with.
        swapped: The prediction of the video's next object; None where it is the only one.
        full: The answer that every pixel is the object's.
        empty: The answer that none is.
        present: (T,) whether the truth has a pixel.
        seen: The first frame where truth or prediction has a pixel.
        intersection: (T,) pixels of prediction and truth.
        union: (T,) pixels of either.
        robust: R of ReVOS with mask files of 1 and of 255, over frames.
    """

    video: str
    right: Answer
    swapped: Answer | None
    full: Answer
    empty: Answer
    present: BoolArray
    seen: int
    intersection: NDArray[np.int64]
    union: NDArray[np.int64]
    robust: tuple[float, float]


def measure_traps(truth: str, predictions: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score the same masks by each of two conventions.

    Args:
        truth: Folder of label PNGs, one folder a video.
        predictions: The same of a method; videos and frames as in the truth.
        progress: Where it is shown.

    Returns:
        ``{"truth", "predictions", "videos", "objects", "frames", "rows": [{"trap", "metric", "one", "other",
        "one_score", "other_score", "difference"}]}``, scores in percent; a row's scores are None where these masks
        cannot show it.

    Raises:
        InputError: A folder or file is missing or bad, or the official evaluator would stop.
    """
    names = sorted(p.name for p in _folder(truth).iterdir() if p.is_dir())
    if not names:
        raise InputError(f"{truth} holds no folder of a video; <video>/<frame>.png is expected.")
    _folder(predictions)
    objects: list[Measured] = []
    with (progress or Silent()).task("measuring", len(names), "videos") as task:
        for name in names:
            objects += _measure(name, Path(truth) / name, Path(predictions) / name)
            task.advance()
    return {
        "truth": truth,
        "predictions": predictions,
        "videos": len(names),
        "objects": len(objects),
        "frames": sum({o.video: len(o.present) for o in objects}.values()),
        "rows": [trap.row(objects) for trap in TRAPS],
    }


Value = float | None
Scorer = Callable[[Sequence[Measured]], tuple[Value, Value]]


@dataclass(frozen=True)
class Trap:
    """A convention that moves a number.

    Attributes:
        title: What it is about.
        metric: What is measured.
        one: The first convention.
        other: The second.
        scores: The metric by either, in percent; None where it does not exist.
    """

    title: str
    metric: str
    one: str
    other: str
    scores: Scorer

    def row(self, objects: Sequence[Measured]) -> dict[str, Any]:
        """Return both scores and their difference."""
        one, other = self.scores(objects)
        return {
            "trap": self.title,
            "metric": self.metric,
            "one": self.one,
            "other": self.other,
            "one_score": one,
            "other_score": other,
            "difference": None if one is None or other is None else other - one,
        }


def _over_frames(frames: Callable[[Measured], Any], answer: str = "right") -> Scorer:
    """Score an answer over all frames, and over some."""

    def scores(objects: Sequence[Measured]) -> tuple[Value, Value]:
        pairs: list[tuple[Answer, Any]] = [(getattr(o, answer), frames(o)) for o in objects]
        # A video too short to leave a frame shows nothing.
        pairs = [(a, some) for a, some in pairs if len(a.j[some])]
        return _mean([a.mean() for a, _ in pairs]), _mean([a.mean(some) for a, some in pairs])

    return scores


def _whole_frame(objects: Sequence[Measured]) -> tuple[Value, Value]:
    hidden = [(o.full, ~o.present) for o in objects if not o.present.all()]
    return _mean([full.f[at].mean() for full, at in hidden]), _mean(
        [full.j[at].mean() for full, at in hidden]
    )


def _swapped(objects: Sequence[Measured]) -> tuple[Value, Value]:
    pairs = [(o.right.mean(), o.swapped.mean()) for o in objects if o.swapped is not None]
    return _mean([right for right, _ in pairs]), _mean([swapped for _, swapped in pairs])


def _mean_of_what(objects: Sequence[Measured]) -> tuple[Value, Value]:
    by_video: dict[str, list[float]] = {}
    for one in objects:
        by_video.setdefault(one.video, []).append(one.right.mean())
    return _mean([o.right.mean() for o in objects]), _mean([float(np.mean(v)) for v in by_video.values()])


def _decay(objects: Sequence[Measured]) -> tuple[Value, Value]:
    wrapped, true = [], []
    for one in objects:
        slowed = one.right.j[np.arange(LONG) * len(one.right.j) // LONG]
        wrapped.append(statistics(slowed)[2])
        quarter = LONG // 4
        true.append(float(slowed[:quarter].mean() - slowed[-quarter:].mean()))
    return _mean([w for w in wrapped if w is not None]), _mean(true)


def _precision(objects: Sequence[Measured]) -> tuple[Value, Value]:
    iou = _exact_iou(objects)[:, None]
    return _mean(iou >= THRESHOLDS), _mean(iou > THRESHOLDS)


def _epsilon(objects: Sequence[Measured]) -> tuple[Value, Value]:
    shown = np.concatenate([o.present for o in objects])
    counts = (np.concatenate([getattr(o, n) for o in objects])[shown] for n in ("intersection", "union"))
    theirs = smoothed_iou(*counts)[:, None].astype(np.float64)
    exact = _exact_iou(objects)[shown, None]
    return _mean(theirs > THRESHOLDS), _mean(exact > THRESHOLDS)


def _both_empty(objects: Sequence[Measured]) -> tuple[Value, Value]:
    return _mean(np.concatenate([o.right.j for o in objects])), _mean(_exact_iou(objects))


def _exact_iou(objects: Sequence[Measured]) -> Scores:
    """Return the IoU of every object in every frame, 0 where there is no pixel of either."""
    top, bottom = (np.concatenate([getattr(o, n) for o in objects]) for n in ("intersection", "union"))
    iou: Scores = np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 0)
    return iou


TRAPS = (
    Trap("first and last frame", "J&F", "all frames", "without them", _over_frames(lambda o: slice(1, -1))),
    Trap(
        "labelled frames",
        "J&F",
        "all frames",
        f"every {STRIDE}th",
        _over_frames(lambda o: slice(None, None, STRIDE)),
    ),
    Trap("first appearance", "J&F", "all frames", "from it on", _over_frames(lambda o: slice(o.seen, None))),
    Trap("frames without the object", "J&F", "count", "left out", _over_frames(lambda o: o.present)),
    Trap("the same, an empty answer", "J&F", "count", "left out", _over_frames(lambda o: o.present, "empty")),
    Trap("answer of the whole frame", "where no object is", "F", "J", _whole_frame),
    Trap("swapped referents", "J&F, several objects", "ids matched", "ids as they are", _swapped),
    Trap("mean of what", "J&F", "objects", "videos", _mean_of_what),
    Trap("decay in 8 bits", f"J-decay, {LONG} frames", "wrapped edges", "true quarters", _decay),
    Trap("equal to the threshold", "P@.5-.9 of frames, mean", ">=", ">", _precision),
    Trap("32-bit IoU with epsilon", "P@.5-.9 of frames, mean", "MTTR", "exact, >", _epsilon),
    Trap("both empty", "mIoU of frames", "IoU is 1", "IoU is 0", _both_empty),
    Trap(
        "values in mask files",
        "R of ReVOS",
        "0 and 1",
        "0 and 255",
        lambda objects: (_mean([o.robust[0] for o in objects]), _mean([o.robust[1] for o in objects])),
    ),
)


def _measure(video: str, truth: Path, predictions: Path) -> Iterator[Measured]:
    """Yield the objects of one video."""
    frames = sorted(p.name for p in truth.glob("*.png"))
    if not frames:
        raise InputError(f"{truth} holds no PNG; <video>/<frame>.png is expected.")
    true = _labels([truth / f for f in frames], None)
    predicted = _labels([predictions / f for f in frames], (true.shape[1], true.shape[2]))
    foreground = ((true > 0) & (true < VOID)).view(np.uint8)
    matched = unsupervised(predicted, true, name=video)
    whole = np.broadcast_to(np.True_, true.shape)
    for i, one in enumerate(matched):
        mask, answer = true == one.object_id, predicted == one.proposal_id
        following = predicted == matched[(i + 1) % len(matched)].proposal_id
        layers = mask.view(np.uint8)
        robust = [float(robustness(answer, layers, foreground, value).mean()) for value in (1, 255)]
        intersection, union = intersection_and_union(answer, mask)
        yield Measured(
            video=video,
            right=Answer(one.j, one.f),
            swapped=_answer(following, mask) if len(matched) > 1 else None,
            full=_answer(whole, mask),
            empty=_answer(~whole, mask),
            present=mask.any(axis=(1, 2)),
            seen=int(np.argmax((mask | answer).any(axis=(1, 2)))),
            intersection=intersection,
            union=union,
            robust=(robust[0], robust[1]),
        )


def _answer(masks: BoolArray, truth: BoolArray) -> Answer:
    return Answer(*region_and_boundary(masks, truth))


def _labels(files: Sequence[Path], size: tuple[int, int] | None) -> Labels:
    """Return (T, H, W) object ids; all of one size."""
    out = []
    for file in files:
        if not file.is_file():
            raise InputError(
                f"{file} is missing; predictions are looked for under the names of the truth's frames."
            )
        out.append(decode_labels(file.read_bytes(), str(file), size))
        size = out[0].shape[0], out[0].shape[1]
    return np.stack(out)


def _folder(name: str) -> Path:
    path = Path(name)
    if not path.is_dir():
        raise InputError(f"{path} is no folder; give one that holds <video>/<frame>.png.")
    return path


def _mean(values: Sequence[float] | NDArray[Any]) -> Value:
    """Return the mean in percent of values in 0..1."""
    return 100 * float(np.mean(values)) if len(values) else None
