"""``bench speed`` on the tiny model, and Table X beside published figures."""

import pytest

from refseg.bench.cli.parser import build_parser
from refseg.bench.speed.report import gate_text, table_x
from refseg.reports.published_speed import published_speeds

SMALL = ("--dataset", "refshapes", "--limit", "1", "--frames", "2", "--expressions", "1,2")


def test_speed_of_the_tiny_model(bench):
    done = bench("speed", "--method", "refsam_tiny", *SMALL, "--json", "-")
    assert done.code == 0, done.err
    result = done.json
    stages = {"decode", "preprocess", "text", "visual encoder", "decoder/tracker", "upsample", "write"}
    assert stages <= result["stages_ms_per_frame"].keys()
    assert result["gate"]["passed"] and result["gate"]["kept"] == pytest.approx(1, abs=1e-3)
    assert result["gate"]["reference"]["encoder"] == "official"
    counted = result["flops"]["counted"]["visual encoder"]
    # Ours leaves padded windows out and has adapters and maps beside SAM's encoder.
    assert counted == pytest.approx(result["flops"]["formula"]["segment_anything's image encoder"], rel=0.2)
    assert result["parameters"]["active_per_frame"] < result["parameters"]["total"]
    for word in ("fps_single", "visual encoder", "Latency", "Accuracy gate: passed", "GFLOP", "Peak memory"):
        assert word in done.err


def test_all_names_what_it_cannot_measure(bench):
    done = bench("speed", "--all", *SMALL)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("Table X") and "its hardware" in lines[0]
    row = next(line for line in lines if line.startswith("RefSAM, ViT-H"))
    assert "4.8" in row and "not stated" in row and row.endswith("–")
    assert any(line.startswith("refsam_vit_h: ") for line in lines)


def test_table_x_marks_a_speed_that_does_not_count():
    result = {
        "method": "refsam_vit_b",
        "fps_single": {"median": 1.25},
        "fps_amortised": {"1": {"median": 1.25}, "16": {"median": 9.5}},
        "hardware": {"device_name": "", "cpu": "a processor"},
        "threads": 2,
        "gate": {"passed": False},
    }
    row = next(
        line
        for line in table_x(published_speeds(), [result]).splitlines()
        if line.startswith("RefSAM, ViT-B")
    )
    assert "1.25 (gate failed)" in row and "9.5 (K=16)" in row and "a processor, 2 threads" in row
    text = gate_text({"passed": False, "kept": 0.5, "by": "J&F", "iou_to_reference": 0.4})
    assert "FAILED" in text and "50.000 %" in text


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--method", "refsam_tiny", "--expressions", "1,x"), "--expressions 1,x is no list"),
        (("--method", "refsam_tiny", "--repetitions", "2"), "shows no spread"),
        (("--method", "nothing"), "nothing"),
        ((), "required"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(bench, args, words):
    done = bench("speed", *args, "--dataset", "refshapes")
    assert done.code == 2 and words in done.sentence


def test_one_of_method_and_all():
    from refseg.bench.errors import InputError

    with pytest.raises(InputError):
        build_parser().parse_args(["speed", "--all", "--method", "x", "--dataset", "y"])
