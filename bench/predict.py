"""Runs a method over videos: reads ahead, checks what it yields, stores it."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import RefsegError
from refseg.bench.progress import Progress, Task
from refseg.bench.reading import AHEAD, ReadAhead
from refseg.bench.retries import Attempt, Retries
from refseg.bench.store import Recorder, RunFolder
from refseg.bench.types import Expression, FramePrediction, Method, Video

IMAGES_AT_ONCE = 8
"""The default of ``--images-at-once``."""

Work = tuple[Video, Sequence[Expression]]

Outcome = Recorder | Exception
"""What a video gave: its predictions, or why there are none."""


class ContractError(RefsegError):
    """A method yielded something else than what its type promises."""


@dataclass(frozen=True)
class Pass:
    """What one pass over the missing predictions did.

    Attributes:
        failures: Every video that failed (:attr:`refseg.bench.retries.Retries.failures`).
        frames: Frames predicted.
        seconds: Wall clock.
        waited: Seconds of it in which the method waited for frames to be decoded, summed over workers.
        retries: How many attempts were second or third ones.
    """

    failures: list[dict[str, Any]]
    frames: int
    seconds: float
    waited: float = 0.0
    retries: int = 0


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
    retries = Retries([video for video, _ in todo])
    if not todo:
        return Pass(retries.failures, 0, 0.0)
    start = time.perf_counter()
    title, count = f"{method.info.name} predicts", sum(len(v) for v, _ in todo)
    with progress.task(title, count, "frames") as task:
        attempts = [Attempt(i, tuple(expressions)) for i, (_, expressions) in enumerate(todo)]
        frames, waited = 0, 0.0
        while attempts:
            work = [(todo[a.index][0], a.expressions) for a in attempts]
            with ReadAhead([v for v, _ in work], max(AHEAD, images_at_once)) as reader:
                early = [(video, expressions) for video, (_, expressions) in zip(reader, work, strict=True)]
                outcomes = predict_each(method, early, key, images_at_once, task.advance)
                for attempt, outcome in zip(attempts, outcomes, strict=True):
                    if settle(attempt, outcome, folder, retries, task):
                        frames += len(todo[attempt.index][0])
            waited += reader.waited
            # Second tries go one by one, each with all the memory there is.
            again = retries.next()
            attempts = [] if again is None else [again]
            if again is not None:
                free_memory()
    return Pass(retries.failures, frames, time.perf_counter() - start, waited, retries.tried)


def settle(attempt: Attempt, outcome: Outcome, folder: RunFolder, retries: Retries, task: Task) -> bool:
    """Store what an attempt gave, or take its failure; return whether it succeeded.

    Raises:
        InputError: A prediction cannot be written.
    """
    if isinstance(outcome, Recorder):
        for stored in outcome.finished():
            folder.write(stored)
        retries.succeeded(attempt)
        return True
    tell_failure(attempt, one_line(outcome), is_final(outcome), retries, task)
    return False


def tell_failure(attempt: Attempt, error: str, final: bool, retries: Retries, task: Task) -> None:
    """Take a failure and say what becomes of the video."""
    again = retries.failed(attempt, error, final=final)
    named = f"video {retries.video(attempt).id}"
    if attempt.rung == "by_expression":
        named += f", expression {', '.join(e.id for e in attempt.expressions)},"
    task.note(f"{named} failed: {error}" + ("; it is tried again" if again else ""))


def is_final(error: Exception) -> bool:
    """Return whether an error would come again: our own are about files, calls and promises."""
    return isinstance(error, RefsegError)


def free_memory() -> None:
    """Let go of what a failed attempt held, a GPU's cache too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def one_line(error: BaseException) -> str:
    """Return an error as one line: the sentence of our own errors, else its type and text."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RefsegError) and text else f"{type(error).__name__}: {text}"


def predict_each(
    method: Method, todo: Sequence[Work], key: str, images_at_once: int, advance: Callable[[int], None]
) -> Iterator[Outcome]:
    """Yield what each video gives, in order; nothing is stored.

    Args:
        method: The method.
        todo: Videos with the expressions that are asked for.
        key: The run's key.
        images_at_once: How many single images the method is handed in one call, where it can take several.
        advance: Is told how many frames are done; less than none where a video failed after some.
    """
    for batch in batches(method, todo, images_at_once):
        yield from _predict_batch(method, batch, key, advance)


def batches(method: object, todo: Sequence[Work], images: int) -> Iterator[Sequence[Work]]:
    """Yield single videos, or several images at once where the method takes them so."""
    single = hasattr(method, "segment_images") and all(len(video) == 1 for video, _ in todo)
    size = images if single else 1
    for i in range(0, len(todo), size):
        yield todo[i : i + size]


def _predict_batch(
    method: Method, batch: Sequence[Work], key: str, advance: Callable[[int], None]
) -> Iterator[Outcome]:
    if len(batch) > 1:
        try:
            recorders = _segment_images(method, batch, key)
        except Exception:
            # One bad image must not cost its neighbours: each gets a call of its own below.
            recorders = []
        if recorders:
            advance(len(batch))
            yield from recorders
            return
    for video, expressions in batch:
        yield _predict_video(method, video, expressions, key, advance)


def _predict_video(
    method: Method, video: Video, expressions: Sequence[Expression], key: str, advance: Callable[[int], None]
) -> Outcome:
    recorder, done = Recorder(video, expressions, key), 0
    try:
        for prediction in checked(method, video, expressions):
            recorder.add(prediction)
            advance(1)
            done += 1
    except Exception as error:
        advance(-done)
        # The frames of the call hold arrays, which the next attempt may need the room of.
        return error.with_traceback(None)
    return recorder


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
