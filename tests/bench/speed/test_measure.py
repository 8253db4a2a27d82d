import json
from dataclasses import replace
from pathlib import Path

import pytest

from refseg.bench.errors import InputError
from refseg.bench.params import count_method
from refseg.bench.speed.flops import counted
from refseg.bench.speed.measure import PARAMETERS, SpeedRequest, measure
from refseg.bench.speed.passes import chosen_expressions, shortened, timed_pass
from refseg.bench.types import DatasetRequest, Expression, MethodRequest
from refseg.datasets.refshapes import build as build_refshapes

REQUEST = SpeedRequest("squares", "refshapes", videos=2, frames=3, expressions=(1, 4))


@pytest.fixture(scope="module")
def videos():
    return [shortened(v, 3) for v in build_refshapes(DatasetRequest("refshapes", "val")).videos()[:2]]


def test_a_video_gets_as_many_expressions_as_asked_for(videos):
    video = replace(videos[0], expressions=tuple(Expression(i, f"text {i}") for i in "ab"))
    found = chosen_expressions(video, 5)
    assert [e.id for e in found] == ["a", "b", "a~1", "b~1", "a~2"]
    assert [e.text for e in found] == ["text a", "text b"] * 2 + ["text a"]
    assert chosen_expressions(video, 1) == [video.expressions[0]]


def test_a_pass_counts_frames_and_waits_for_the_device(squares, videos):
    waits = []
    work = [(v, chosen_expressions(v, 4)) for v in videos]
    times = timed_pass(squares(MethodRequest("squares")), work, lambda: waits.append(1))
    assert (times.frames, times.expression_frames) == (6, 24)
    assert (len(times.first_masks), len(times.latencies)) == (2, 4)
    assert len(waits) == 1 + 6
    assert sum(times.first_masks) + sum(times.latencies) <= times.seconds
    assert times.fps == pytest.approx(24 / times.seconds)


def test_a_result_has_what_the_protocol_asks_for(squares, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = json.loads(json.dumps(measure(REQUEST), allow_nan=False))
    assert result["fps_amortised"].keys() == {"1", "4"}
    assert result["fps_single"] == result["fps_amortised"]["1"]
    assert all(len(v["all"]) == 3 for v in result["fps_amortised"].values())
    assert {"decode", "text", "visual encoder", "write", "other"} == result["stages_ms_per_frame"].keys()
    assert result["latency_ms"].keys() == {"p50", "p90", "p99"}
    assert result["peak_memory"]["process_mib"] > 10
    assert {"clocks", "threads", "flags", "hardware", "packages", "load_average"} <= result.keys()
    assert result["measured_on"]["frames"] == 6 and result["measured_on"]["partial"]
    assert result["gate"]["passed"] and result["gate"]["kept"] == 1
    # A timing pass leaves nothing behind that another could go on from.
    assert not [*Path(tmp_path).iterdir()]


def test_operations_are_counted_by_stage(squares, videos):
    method = squares(MethodRequest("squares"))
    found = counted(method, videos[0], chosen_expressions(videos[0], 2))
    assert found == {"text": 2 * 2 * 3 * 5, "visual encoder": 2 * 7 * 2}


def test_parameters_by_what_they_are_for(squares):
    counts = count_method("squares")
    expected = {"total": 20 + 14, "learnable": 20 + 14, "active_per_frame": 14, "text_encoder": 20}
    assert {name: counts[name] for name in PARAMETERS} == expected


def test_other_masks_than_the_reference_s_fail_the_gate(squares):
    result = measure(replace(REQUEST, options={"wrong": "true"}))
    assert not result["gate"]["passed"]
    assert result["gate"]["reference"] == {"dtype": "float32", "wrong": "false"}
    assert "gate" not in measure(replace(REQUEST, options={"wrong": "true"}, gate=False))


def test_the_reference_needs_no_second_look(squares):
    result = measure(replace(REQUEST, options={"wrong": "false"}))
    assert result["gate"] == {"passed": True, "by": "it is the reference"}


def test_a_number_of_expressions_that_a_method_refuses_is_told():
    result = measure(replace(REQUEST, method="oracle", expressions=(1, 100)))
    assert result["fps_amortised"].keys() == {"1"} and "100" in str(result["not_measured"])


def test_two_repetitions_show_no_spread(squares):
    with pytest.raises(InputError, match="--repetitions 2 shows no spread"):
        measure(replace(REQUEST, repetitions=2))
