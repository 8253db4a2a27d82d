import itertools

import pytest

from refseg.bench.speed import clock as module
from refseg.bench.speed.clock import StageClock, percentiles, told
from refseg.bench.stages import listening, stage


@pytest.fixture
def ticks(monkeypatch):
    """Every look at the clock is one second after the one before."""
    seconds = itertools.count()
    monkeypatch.setattr(StageClock, "_now", staticmethod(lambda: (float(n := next(seconds)), 2.0 * n)))


def test_a_stage_inside_another_is_its_own(ticks):
    clock = StageClock(lambda: None)
    clock.start()
    with listening(clock):
        with stage("visual encoder"):
            with stage("preprocess"):
                pass
            with stage("preprocess"):
                pass
        with stage("text"):
            pass
    # Each border is one look at the clock: the encoder has three stretches, each preprocessing one.
    expected = {"other": 3.0, "visual encoder": 3.0, "preprocess": 2.0, "text": 1.0}
    assert clock.stop().seconds == expected
    assert clock.processor_seconds == {name: 2 * seconds for name, seconds in expected.items()}


def test_the_device_is_waited_for_at_every_border():
    waits = []
    clock = StageClock(lambda: waits.append(1))
    with listening(clock), stage("upsample"):
        pass
    assert len(waits) == 2


def test_a_stage_that_fails_ends(ticks):
    clock = StageClock(lambda: None)
    with listening(clock):
        with pytest.raises(ValueError, match="oh"), stage("text"):
            raise ValueError("oh")
        with stage("write"):
            pass
    assert clock.stop().seconds.keys() == {"other", "text", "write"}


def test_stages_cost_nothing_where_nobody_listens(monkeypatch):
    monkeypatch.setattr(module.time, "perf_counter", None)
    monkeypatch.setattr(module.time, "process_time", None)
    with stage("text"), stage("decode"):
        pass


def test_figures_of_repetitions():
    assert told([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "all": [3.0, 1.0, 2.0]}
    assert percentiles([]) == {"p50": None, "p90": None, "p99": None}
    found = percentiles([0.001 * i for i in range(1, 102)])
    assert found == pytest.approx({"p50": 51, "p90": 91, "p99": 100})
