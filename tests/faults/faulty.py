"""A third party's dataset and method for tests of faults: cheap, of many small files, and bad where it is told to be.

``$FAULTY`` says what goes wrong, ``video=how`` with commas between; it is no option, so that the run's key is that of
a good run. ``how`` is die, crash, hang, memory, busy or raise; with ``+crowd`` only where several sentences are asked
for, with ``+once`` only for the first time (a file in ``$FAULTY_STATE`` remembers).
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import numpy as np

from refseg.bench.types import DatasetInfo, Expression, FramePrediction, GroundTruth, MethodInfo, Video

SIZE = (24, 32)


def noise(*what):
    digest = hashlib.sha256(repr(what).encode()).digest()
    return np.random.default_rng(list(digest)).random(SIZE) < 0.4


class Tiles:
    """Videos of different lengths: video i has i + 1 frames."""

    def __init__(self, request):
        self._count = int(request.options.get("videos", 6))
        self.info = DatasetInfo(
            "tiles",
            "1",
            request.split or "val",
            ("refshapes/per_expression",),
            fingerprint=f"tiles {self._count}",
        )

    def videos(self):
        return [self._video(i) for i in range(self._count)]

    def _video(self, i):
        said = tuple(
            Expression(f"e{k}", f"tile {k}", (str(k),), attributes={"odd": k % 2 == 1}) for k in range(3)
        )
        frames = tuple(f"{t:05d}" for t in range(i + 1))
        return Video(f"v{i}", frames, SIZE, said, Frame(i))

    def ground_truth(self, video_id, expression_id):
        count = int(video_id[1:]) + 1
        return GroundTruth(np.stack([noise("truth", video_id, expression_id, t) for t in range(count)]))


class Frame:
    def __init__(self, video):
        self._video = video

    def __call__(self, t):
        return np.full((*SIZE, 3), 10 * self._video + t, np.uint8)


class Faulty:
    def __init__(self, request):
        self.info = MethodInfo(request.name, "1", config=dict(request.options))

    def segment(self, video, expressions):
        for t in range(len(video)):
            assert int(video.read(t)[0, 0, 0]) == 10 * int(video.id[1:]) + t
            if t == len(video) // 2:
                misbehave(video.id, len(expressions))
            burn()
            masks = np.stack([noise(self.info.config, video.id, e.id, t) for e in expressions])
            yield FramePrediction(t, masks, np.full(len(masks), 0.5, np.float32))

    def modules(self):
        return {}


def misbehave(video, sentences):
    told = dict(part.split("=") for part in os.environ.get("FAULTY", "").split(",") if part)
    how, *when = told.get(video, "").split("+")
    if not how or ("crowd" in when and sentences < 2):
        return
    if "once" in when:
        mark = Path(os.environ["FAULTY_STATE"]) / video
        if mark.exists():
            return
        mark.touch()
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crash":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(3600)
    if how == "memory":
        np.ones(2**60, np.uint8)
    if how == "busy":
        # Long work in C that lets other threads run and that no signal cuts short.
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
    if how == "raise":
        raise RuntimeError(f"no luck with {video}")


def burn():
    """Compute for as many milliseconds of processor time as ``$FAULTY_MS`` says."""
    end = time.process_time() + float(os.environ.get("FAULTY_MS", 0)) / 1000
    while time.process_time() < end:
        pass


def build_dataset(request):
    return Tiles(request)


def build_method(request):
    return Faulty(request)
