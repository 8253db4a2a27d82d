"""Runs a method over videos: reads ahead, checks what it yields, stores it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import RefsegError
from refseg.bench.progress import Progress, Task
from refseg.bench.reading import AHEAD, ReadAhead
from refseg.bench.store import Recorder, RunFolder
from refseg.bench.types import Expression, FramePrediction, Method, Video

IMAGES_AT_ONCE = 8
"""The default of ``--images-at-once``."""

Work = tuple[Video, Sequence[Expression]]


class ContractError(RefsegError):
    """A method yielded something else than what its type promises."""


@dataclass(frozen=True)
class Pass:
    """What one pass over the missing predictions did.

    Attributes:
        failures: ``{"video", "error"}`` of every video that failed.
        frames: Frames predicted.
        seconds: Wall clock.
        waited: Seconds of it in which the method waited for frames to be decoded.
    """

    failures: list[dict[str, str]]
    frames: int
    seconds: float
    waited: float = 0.0


def predict_all(
    method: Method,
    todo: Sequence[Work],
    folder: RunFolder,
    key: str,
    *,
    progress: Progress,
    images_at_once: int = IMAGES_AT_ONCE,
) -> Pass:
    """Predict and store what is to be done, video by video; a video that fails does not stop the others.

    Args:
        method: The method.
        todo: Videos with those of their expressions that are missing.
        folder: Where predictions go.
        key: The run's key.
        progress: Where it is shown, by frames.
        images_at_once: How many single images the method is handed in one call, where it can take several.

    Raises:
        InputError: A prediction cannot be written (:class:`refseg.bench.atomic.DiskFullError` and the like).
    """
    failures: list[dict[str, str]] = []
    frames, start = 0, time.perf_counter()
    if not todo:
        return Pass(failures, 0, 0.0)
    title, count = f"{method.info.name} predicts", sum(len(v) for v, _ in todo)
    ahead = max(AHEAD, images_at_once)
    with progress.task(title, count, "frames") as task, ReadAhead([v for v, _ in todo], ahead) as reader:
        early = [(video, expressions) for video, (_, expressions) in zip(reader, todo, strict=True)]
        for batch in _batches(method, early, images_at_once):
            for video, outcome in _predict_batch(method, batch, key, task):
                if isinstance(outcome, Exception):
                    error = one_line(outcome)
                    failures.append({"video": video.id, "error": error})
                    task.note(f"video {video.id} failed: {error}")
                    continue
                for stored in outcome.finished():
                    folder.write(stored)
                frames += len(video)
    return Pass(failures, frames, time.perf_counter() - start, reader.waited)


def one_line(error: BaseException) -> str:
    """Return an error as one line: the sentence of our own errors, else its type and text."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RefsegError) and text else f"{type(error).__name__}: {text}"


def _batches(method: Method, todo: Sequence[Work], images: int) -> Iterator[Sequence[Work]]:
    """Yield single videos, or several images at once where the method takes them so."""
    single = hasattr(method, "segment_images") and all(len(video) == 1 for video, _ in todo)
    size = images if single else 1
    for i in range(0, len(todo), size):
        yield todo[i : i + size]


def _predict_batch(
    method: Method, batch: Sequence[Work], key: str, task: Task
) -> Iterator[tuple[Video, Recorder | Exception]]:
    if len(batch) > 1:
        try:
            recorders = _segment_images(method, batch, key)
        except Exception:
            # One bad image must not cost its neighbours: each gets a call of its own below.
            recorders = []
        if recorders:
            task.advance(len(batch))
            yield from ((video, recorder) for (video, _), recorder in zip(batch, recorders, strict=True))
            return
    for video, expressions in batch:
        recorder = Recorder(video, expressions, key)
        try:
            for prediction in checked(method, video, expressions):
                recorder.add(prediction)
                task.advance()
        except Exception as error:
            yield video, error
        else:
            yield video, recorder


def _segment_images(method: Method, batch: Sequence[Work], key: str) -> list[Recorder]:
    narrowed = [replace(video, expressions=tuple(expressions)) for video, expressions in batch]
    predictions = list(method.segment_images(narrowed))  # type: ignore[attr-defined]
    recorders = []
    for (video, expressions), prediction in zip(batch, predictions, strict=True):
        check_frame(method.info.name, prediction, (len(expressions), *video.size))
        recorder = Recorder(video, expressions, key)
        recorder.add(prediction)
        recorders.append(recorder)
    return recorders


def checked(method: Method, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
    """Yield a method's predictions of a video, each checked.

    Raises:
        ContractError: A frame is missing, twice or out of order, or an array has another shape or type.
    """
    expected = 0
    for prediction in method.segment(video, expressions):
        if expected >= len(video):
            raise ContractError(f"{method.info.name} yields more than the {len(video)} frames of the video.")
        if prediction.frame != expected:
            raise ContractError(
                f"{method.info.name} yields frame {prediction.frame} where frame {expected} is expected; "
                f"frames come in order, each once."
            )
        check_frame(method.info.name, prediction, (len(expressions), *video.size))
        yield prediction
        expected += 1
    if expected != len(video):
        raise ContractError(f"{method.info.name} yields {expected} frames; the video has {len(video)}.")


def check_frame(name: str, prediction: FramePrediction, shape: tuple[int, int, int]) -> None:
    """Raise ContractError unless a prediction's arrays have the (K, H, W) ``shape`` and their types."""
    _check(name, "masks", prediction.masks, shape, np.bool_)
    _check(name, "scores", prediction.scores, shape[:1], np.floating)
    if not np.isfinite(prediction.scores).all():
        raise ContractError(f"{name} yields scores that are not finite in frame {prediction.frame}.")
    if prediction.probabilities is not None:
        _check(name, "probabilities", prediction.probabilities, shape, np.floating)
        if not _finite(prediction.probabilities):
            raise ContractError(
                f"{name} yields probabilities that are not finite in frame {prediction.frame}."
            )
    if prediction.extras is not None:
        _check_extras(name, prediction.extras, shape[0])


def _finite(values: NDArray[np.floating[Any]]) -> bool:
    if values.dtype == np.float16:
        # numpy looks at halves one by one; as whole numbers, those that are not finite have all exponent bits.
        return bool(((values.view(np.uint16) & 0x7C00) != 0x7C00).all())
    return bool(np.isfinite(values).all())


def _check_extras(name: str, extras: Sequence[object], count: int) -> None:
    if len(extras) != count or not all(isinstance(e, Mapping) for e in extras):
        raise ContractError(f"{name} yields extras that are not {count} objects, one per expression.")
    try:
        json.dumps([dict(e) for e in extras if isinstance(e, Mapping)], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ContractError(f"{name} yields extras that are no JSON values: {error}.") from None


def _check(name: str, what: str, array: object, shape: tuple[int, ...], kind: type[np.generic]) -> None:
    if not isinstance(array, np.ndarray):
        raise ContractError(
            f"{name} yields {what} of type {type(array).__name__}; a numpy array is expected."
        )
    if array.shape != shape:
        raise ContractError(f"{name} yields {what} of shape {array.shape}; {shape} is expected.")
    if not np.issubdtype(array.dtype, kind):
        raise ContractError(f"{name} yields {what} of dtype {array.dtype}; {kind.__name__} is expected.")
