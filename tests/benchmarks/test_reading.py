"""Does a model wait for decoding? Real 480p JPEGs, a model of 30 frames a second that leaves the processor alone.

    pytest tests/benchmarks/test_reading.py --benchmark-only --benchmark-columns=median -s

``share_waited`` in the results is the share of the pass in which the model waited for frames, with and without
reading ahead, in one run.
"""

import time
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")

from refseg.bench.reading import AHEAD, ReadAhead
from refseg.bench.types import DatasetRequest, Video
from refseg.datasets.refdavis import build

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
FRAMES, MODEL_SECONDS = 20, 1 / 30


@pytest.fixture
def videos():
    """Two videos of 20 real frames, those of the repository in turn."""
    real = build(DatasetRequest("refdavis17", root=str(MINI))).videos()[0]
    ids = tuple(map(str, range(FRAMES)))
    return [Video(str(v), ids, real.size, (), lambda i: real.read(i % len(real))) for v in range(2)]


def one_pass(videos, ahead):
    """Return the share of a pass over the videos in which the model waited."""
    start = time.perf_counter()
    with ReadAhead(videos, ahead=ahead) as reader:
        for video in reader:
            for i in range(len(video)):
                video.read(i)
                time.sleep(MODEL_SECONDS)
    return reader.waited / (time.perf_counter() - start)


@pytest.mark.parametrize("ahead", [0, AHEAD], ids=["not ahead", "ahead"])
def test_share_of_a_pass_in_which_the_model_waits(benchmark, videos, ahead):
    share = benchmark.pedantic(one_pass, (videos, ahead), rounds=1, warmup_rounds=0)
    benchmark.extra_info["share_waited"] = round(share, 4)
    print(f"\nahead {ahead}: the model waited in {share:.2%} of the pass")
    assert 0 <= share < 1
