"""Sites that tests look at, and their data as the pages' scripts get it."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import FramePrediction, MethodInfo
from refseg.reports.site import write_site

NAMED = re.compile(r'refseg\.take\(("[^"]*"),(.*)\);\n', re.DOTALL)


class Staged:
    """A method with a detector that may be the truth's: then it answers with the truth, else with part of it."""

    def __init__(self, request):
        given = request.options.get("detector") == "oracle"
        config = {"detector": "oracle" if given else "boxes", "size": request.options.get("size", "s")}
        self.info = MethodInfo("staged", "1", config=config, uses_truth=given)
        self._given = given

    def bind(self, dataset):
        self._dataset = dataset

    def segment(self, video, expressions) -> Iterator[FramePrediction]:
        truths = [self._dataset.ground_truth(video.id, e.id).masks for e in expressions]
        for t in range(len(video)):
            masks = np.stack([m[t] for m in truths])
            if not self._given:
                masks = masks & (np.arange(masks.shape[2]) % 3 > 0)
            extras = [{"box": [1.0, 2.0, 30.0, 40.5]} for _ in expressions]
            yield FramePrediction(t, masks, np.ones(len(masks), np.float32), extras=extras)

    def modules(self):
        return {}


@pytest.fixture(autouse=True, scope="session")
def _nobody_s_computer(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFSEG_CONFIG", str(tmp_path_factory.mktemp("config") / "config.json"))
        patch.setenv("REFSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("REFSEG_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """Runs on RefShapes: two of a method with and without an oracle stage, two controls, one of them a part."""
    folder = tmp_path_factory.mktemp("runs")
    with registry.registered("methods", "staged", Staged):
        for name, request in (
            ("plain", RunRequest("staged", "refshapes", limit=12)),
            ("given", RunRequest("staged", "refshapes", limit=12, options={"detector": "oracle"})),
            ("empty", RunRequest("empty", "refshapes", limit=12)),
            ("full", RunRequest("full", "refshapes", limit=3)),
        ):
            run(replace(request, out=str(folder / name), page=False))
    return folder


@pytest.fixture(scope="session")
def shapes(runs, tmp_path_factory) -> Path:
    """The site over ``runs``."""
    out = tmp_path_factory.mktemp("shapes") / "site"
    assert write_site([(p.name, p) for p in sorted(runs.iterdir())], out).notes == ()
    return out


@pytest.fixture
def site(tmp_path):
    """Return a function that writes a site over run folders."""

    def write(paths: Sequence[Path], out: Path = tmp_path / "site"):
        return write_site([(p.name, p) for p in paths], out)

    return write


@pytest.fixture
def data():
    """Return a function that reads a data file, as the script that it is."""

    def read(path: Path):
        text = path.read_bytes().decode("ascii")
        found = NAMED.fullmatch(text)
        assert found, text[:80]
        return json.loads(found[2])

    return read
