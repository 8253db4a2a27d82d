"""What it costs to know a large folder or zip before anything is decoded, beside a plain walk with a stat a file.

Run it by ``pytest -m big tests/benchmarks/test_listing.py``.
"""

import os
import time
import zipfile

import pytest

from refseg.bench.layouts import lint, open_masks, open_source
from refseg.bench.types import DatasetInfo, Expression, Video

VIDEOS, EXPRESSIONS, FRAMES = 100, 10, 100


class Large:
    """A hundred thousand masks."""

    info = DatasetInfo("large", "1", "val", ())

    def __init__(self):
        said = tuple(Expression(str(e), "x") for e in range(EXPRESSIONS))
        frames = tuple(f"{f:05d}" for f in range(FRAMES))
        self._videos = [Video(f"v{v}", frames, (4, 5), said, lambda i: None) for v in range(VIDEOS)]

    def videos(self):
        return self._videos

    def ground_truth(self, video_id, expression_id):
        return None


@pytest.fixture(scope="module")
def dataset():
    return Large()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("large")
    for video in dataset.videos():
        for expression in video.expressions:
            path = folder / video.id / expression.id
            path.mkdir(parents=True)
            for frame in video.frame_ids:
                os.close(os.open(f"{path}/{frame}.png", os.O_CREAT | os.O_WRONLY))
    return folder


@pytest.fixture(scope="module")
def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for parent, _, names in os.walk(folder):
            for name in names:
                file.write(os.path.join(parent, name), os.path.relpath(os.path.join(parent, name), folder))
    return path


def with_a_stat_each(folder):
    sizes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            sizes[path] = os.stat(path).st_size
    return sizes


@pytest.mark.big
@pytest.mark.parametrize("form", ["folder", "zipped"])
def test_names_of_a_hundred_thousand_masks(benchmark, request, folder, dataset, form):
    path = request.getfixturevalue(form)

    def look():
        return lint(open_masks(open_source(path), dataset), dataset, depth="names")

    assert benchmark.pedantic(look, rounds=3, warmup_rounds=1) == []
    walks = []
    for _ in range(3):
        start = time.perf_counter()
        assert len(with_a_stat_each(folder)) == VIDEOS * EXPRESSIONS * FRAMES
        walks.append(time.perf_counter() - start)
    benchmark.extra_info["walks with a stat each that take as long"] = benchmark.stats["min"] / min(walks)
    print(f"{form}: {benchmark.stats['min']:.2f} s, {benchmark.stats['min'] / min(walks):.2f} plain walks")
