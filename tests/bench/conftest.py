"""A dataset of three small clips, a method that is told how to behave, and no trace of the user's own set-up."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.runner import RunRequest
from refseg.bench.types import DatasetInfo, Expression, FramePrediction, GroundTruth, MethodInfo, Video

SIZE = (6, 8)
FRAMES = 3
OBJECTS = ("1", "2")


class Clips:
    """Three videos of three frames with two objects each; frame i of any video is filled with i."""

    def __init__(self, request, hidden):
        split = request.split or "val"
        self.info = DatasetInfo(request.name, "1", split, ("refshapes/per_expression",), fingerprint="f")
        self._hidden = hidden

    def videos(self):
        return [self._video(name) for name in ("ant", "bee", "cow")]

    def _video(self, name):
        said = tuple(
            Expression(f"e{o}", f"object {o} of {name}", (o,), attributes={"odd": o == "1"}) for o in OBJECTS
        )
        frames = tuple(f"{i:05d}" for i in range(FRAMES))
        return Video(name, frames, SIZE, said, lambda i: np.full((*SIZE, 3), i, np.uint8))

    def ground_truth(self, video_id, expression_id):
        if self._hidden:
            return None
        masks = np.zeros((FRAMES, *SIZE), bool)
        for t in range(FRAMES):
            masks[t, 1:4, (t if expression_id == "e1" else 4) : (t + 2 if expression_id == "e1" else 7)] = (
                True
            )
        return GroundTruth(masks)


@dataclass
class Log:
    """What the method ``probe`` was asked, and what it is to do wrong.

    Attributes:
        calls: (video, expression ids, frames yielded so far) of every call.
        wrong: Video id -> function that turns a good prediction into what is yielded; it may raise.
    """

    calls: list = field(default_factory=list)
    wrong: dict = field(default_factory=dict)

    @property
    def videos(self):
        return [video for video, _ in self.calls]


class Probe:
    """Answers with noise that depends on video, expression and frame only."""

    def __init__(self, request, log):
        self.info = MethodInfo(request.name, "1", config=dict(request.options))
        self._log = log

    def segment(self, video, expressions):
        self._log.calls.append((video.id, [e.id for e in expressions]))
        for i in range(len(video)):
            assert (video.read(i) == i).all()
            masks = np.stack([noise(video.id, e.id, i) for e in expressions])
            good = FramePrediction(i, masks, np.full(len(masks), 0.5, np.float32), masks.astype(np.float16))
            yield self._log.wrong.get(video.id, lambda p: p)(good)

    def modules(self):
        return {}


def noise(*what):
    digest = hashlib.sha256(repr(what).encode()).digest()
    return np.random.default_rng(list(digest)).random(SIZE) < 0.4


@pytest.fixture(autouse=True)
def _nobody_s_computer(tmp_path, monkeypatch):
    """Neither the user's configuration nor data folders take part, and default paths lie in the test's folder."""
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REFSEG_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clips():
    """The dataset ``clips``, and ``hidden_clips`` whose labels are not public."""
    with (
        registry.registered("datasets", "clips", lambda r: Clips(r, hidden=False)),
        registry.registered("datasets", "hidden_clips", lambda r: Clips(r, hidden=True)),
    ):
        yield Clips


@pytest.fixture
def probe():
    """The method ``probe``; returns its log."""
    log = Log()
    with registry.registered("methods", "probe", lambda r: Probe(r, log)):
        yield log


@pytest.fixture
def request_(clips, probe, tmp_path):
    """A run of ``probe`` on ``clips``."""
    return RunRequest("probe", "clips", out=str(tmp_path / "run"), page=False)
