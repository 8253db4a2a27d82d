"""Timed passes of a method over videos: nothing is stored, resumed or scored in them."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from refseg.bench.predict import checked
from refseg.bench.reading import ReadAhead
from refseg.bench.speed.clock import StageClock, Synchronise
from refseg.bench.stages import listening, stage
from refseg.bench.store import Recorder, RunFolder
from refseg.bench.types import BoolArray, Expression, ImageArray, Method, Video

Work = Sequence[tuple[Video, Sequence[Expression]]]


@dataclass
class PassTimes:
    """One pass.

    Attributes:
        seconds: From the first call to the last mask, reading ahead included.
        processor_seconds: Of all threads of this process.
        frames: Frames segmented.
        expression_frames: Frames times expressions.
        first_masks: Seconds from a video's call to its first masks, per video.
        latencies: Seconds from one frame's masks to the next one's, the first of a video left out.
    """

    seconds: float = 0.0
    processor_seconds: float = 0.0
    frames: int = 0
    expression_frames: int = 0
    first_masks: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        """Expression-frames a second: what K expressions together make of it."""
        return self.expression_frames / self.seconds

    @property
    def steady_fps(self) -> float | None:
        """Frames a second after the first of each video; None where videos have one frame."""
        return len(self.latencies) / sum(self.latencies) if self.latencies else None


def shortened(video: Video, frames: int) -> Video:
    """Return a video's first frames."""
    return replace(video, frame_ids=video.frame_ids[:frames])


def chosen_expressions(video: Video, count: int) -> list[Expression]:
    """Return ``count`` expressions of a video: its own in turn, from the second turn on under new names."""
    own = video.expressions
    turns = itertools.islice(itertools.cycle(range(len(own))), count)
    return [
        own[k] if n < len(own) else replace(own[k], id=f"{own[k].id}~{n // len(own)}")
        for n, k in enumerate(turns)
    ]


def timed_pass(method: Method, work: Work, synchronise: Synchronise) -> PassTimes:
    """Segment videos, frames being decoded ahead as in ``bench run``."""
    times = PassTimes()
    synchronise()
    start, processor = time.perf_counter(), time.process_time()
    with ReadAhead([video for video, _ in work]) as reader:
        for video, (_, expressions) in zip(reader, work, strict=True):
            last = time.perf_counter()
            for prediction in method.segment(video, expressions):
                synchronise()
                now = time.perf_counter()
                (times.latencies if prediction.frame else times.first_masks).append(now - last)
                last = now
            times.frames += len(video)
            times.expression_frames += len(video) * len(expressions)
    times.seconds = time.perf_counter() - start
    times.processor_seconds = time.process_time() - processor
    return times


def staged_pass(method: Method, work: Work, synchronise: Synchronise) -> StageClock:
    """Return the clock of the stages; frames are decoded when they are asked for, and masks are written."""
    clock = StageClock(synchronise)
    with tempfile.TemporaryDirectory() as folder, listening(clock):
        run = RunFolder(Path(folder))
        clock.start()
        for video, expressions in work:
            recorder = Recorder(video, expressions, "speed")
            seen = replace(video, read=partial(_decoded, video))
            for prediction in method.segment(seen, expressions):
                with stage("write"):
                    recorder.add(prediction)
            with stage("write"):
                for stored in recorder.finished():
                    run.write(stored)
        return clock.stop()


def predicted_masks(method: Method, work: Work) -> list[list[BoolArray]]:
    """Return the masks (K, H, W) of every frame of every video."""
    return [[p.masks for p in checked(method, video, expressions)] for video, expressions in work]


def _decoded(video: Video, frame: int) -> ImageArray:
    with stage("decode"):
        return video.read(frame)
