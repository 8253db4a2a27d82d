"""Small runs of a dataset whose sentences and names are hostile, with no trace of the user's own set-up."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetInfo, Expression, FramePrediction, GroundTruth, MethodInfo, Video

SIZE, FRAMES = (24, 32), 5

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'quoted' onload=x",
    "so " + "very " * 400 + "long",
    "x" * 3000,
    "الكرة الحمراء على اليسار",
    "the 🦊 left of the 🧑‍🚀, \u202e reversed \u2066",
    "nul \x00, bell \x07, lone \ud800, lines\n\n\tand tabs",
    "",
    "line \u2028 paragraph \u2029 </script><!-- <b>",
)
IDS = ("../../escaped", "/etc/passwd", "a\nb", "</td><img src=x>", "..", "ü", "e6", "e7", "e8\u2028")


class Hostile:
    """One video an id; the object of expression k is a square that moves right, k pixels down."""

    def __init__(self, name: str, *, hidden: bool = False) -> None:
        self.info = DatasetInfo(name, "1", "val", ("refshapes/per_expression",), fingerprint="f")
        self._hidden = hidden

    def videos(self) -> list[Video]:
        said = tuple(
            Expression(i, text, (str(k),), attributes={"<b>kind</b>": "<i>odd</i>" if k % 2 else "even"})
            for k, (i, text) in enumerate(zip(IDS, HOSTILE, strict=True))
        )
        frames = tuple(f"{t:05d}" for t in range(FRAMES))
        return [Video(name, frames, SIZE, said, _read) for name in IDS[:3]]

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        return None if self._hidden else GroundTruth(square(IDS.index(expression_id)))


def _read(t: int) -> np.ndarray:
    ramp = np.add.outer(np.arange(SIZE[0]), np.arange(SIZE[1])) * 3 + 9 * t
    return np.stack([ramp, ramp // 2, 255 - ramp], -1).astype(np.uint8)


def square(down: int) -> np.ndarray:
    masks = np.zeros((FRAMES, *SIZE), bool)
    for t in range(FRAMES):
        masks[t, 2 + down : 10 + down, 3 + 2 * t : 11 + 2 * t] = True
    return masks


class Late:
    """Predicts the squares too far right, more so for later expressions; videos in ``failing`` raise."""

    def __init__(self, failing: tuple[str, ...]) -> None:
        self.info = MethodInfo("late", "1", config={"<u>size</u>": 3}, weights={"w.safetensors": "ab" * 32})
        self._failing = failing

    def segment(self, video, expressions):
        if video.id in self._failing:
            raise ValueError("cannot read /home/someone/secret/file.png <script>")
        for t in range(len(video)):
            masks = np.stack([np.roll(square(IDS.index(e.id))[t], IDS.index(e.id), 1) for e in expressions])
            yield FramePrediction(t, masks, np.ones(len(expressions), np.float32))

    def modules(self):
        return {}


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs ``late`` on the hostile dataset, without a page, and gives the run folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("REFSEG_DATA", raising=False)

    def make(name: str = "run", *, data: str = "hostile", failing: tuple[str, ...] = (), limit=None) -> Path:
        late: Callable[..., Late] = lambda request: Late(failing)  # noqa: E731
        with registry.registered("methods", "late", late):
            run(RunRequest("late", data, out=str(tmp_path / name), limit=limit, page=False))
        return tmp_path / name

    with (
        registry.registered("datasets", "hostile", lambda request: Hostile("hostile")),
        registry.registered("datasets", "hidden", lambda request: Hostile("hidden", hidden=True)),
    ):
        yield make


@pytest.fixture(params=HOSTILE, ids=[f"text{i}" for i in range(len(HOSTILE))])
def hostile_text(request: pytest.FixtureRequest) -> str:
    return request.param
