"""Ablation figures from trainings and runs, and figures of runs side by side."""

import io

import numpy as np
import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.reports.claims import load_claims
from refseg.reports.figures import ablation_figure, read_curves
from refseg.reports.measured import Measured
from refseg.reports.paper import SPECS
from refseg.reports.qualitative import figure

VIDEO = "../../escaped"


def scored(layers: int, value: float) -> Measured:
    return Measured(
        "scores",
        f"mlp_layers/run-{layers}",
        "refsam_tiny",
        "refsam_tiny",
        {"J&F": value},
        {"mlp_layers": layers},
        dataset="refshapes",
        split="val",
        version="1",
        protocol="refshapes/per_expression",
        intervals={"J&F": (value - 2, value + 2)},
    )


@pytest.fixture
def trained(tmp_path):
    for name, top in (("$1e-4$", 50), ("1e-5", 30)):
        folder = tmp_path / "mlp_layers" / name
        folder.mkdir(parents=True)
        rows = [f"{s},loss,{1 / (1 + s)}\n{s},dev_video_J,{top * s / 100}" for s in (0, 50, 100)]
        (folder / "log.csv").write_text("step,figure,value\n" + "\n".join(rows) + "\n")
    (tmp_path / "mlp_layers" / "broken").mkdir()
    (tmp_path / "mlp_layers" / "broken" / "log.csv").write_text("step,figure\n1,loss\nx")
    return tmp_path


def test_curves_are_what_was_evaluated(trained):
    curves = read_curves(trained / "mlp_layers")
    assert [(c.label, c.figure, c.steps, c.values) for c in curves] == [
        ("$1e-4$", "dev_video_J", (0, 50, 100), (0, 25, 50)),
        ("1e-5", "dev_video_J", (0, 50, 100), (0, 15, 30)),
    ]


def test_ablation_figure_draws_curves_and_scores_and_is_the_same_each_time(trained):
    measured = [scored(n, 40 + n) for n in (2, 0, 1)]
    drawn = [ablation_figure(SPECS["fig5"], load_claims(), measured, trained) for _ in range(2)]
    assert drawn[0] == drawn[1] and drawn[0]["pdf"].startswith(b"%PDF")
    both = Image.open(io.BytesIO(drawn[0]["png"])).width
    alone = ablation_figure(SPECS["fig5"], load_claims(), measured, trained / "none")["png"]
    assert both == 2 * Image.open(io.BytesIO(alone)).width


def test_nothing_is_drawn_of_nothing(tmp_path):
    assert ablation_figure(SPECS["fig4"], load_claims(), [scored(1, 40)], tmp_path) == {}


def test_runs_stand_side_by_side_with_hostile_sentences(make_run):
    runs = [make_run("a"), make_run("b")]
    drawn = figure(runs, [VIDEO], frames=2, names=["$x$", "b_1"])
    with Image.open(io.BytesIO(drawn["png"])) as image:
        assert abs(image.width - 7.16 * 300) <= 1
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # A white gap stands between the three columns: the truth and two runs.
    frames = pixels[70:300].min(axis=(0, 2))
    assert (frames[150:-150] == 255).sum() > 0 and drawn["pdf"].startswith(b"%PDF")
    assert drawn == figure(runs, [VIDEO], frames=2, names=["$x$", "b_1"])
    taller = Image.open(io.BytesIO(figure(runs, [VIDEO], frames=3)["png"]))
    assert taller.height > Image.open(io.BytesIO(drawn["png"])).height


def test_hidden_labels_leave_the_truth_out(make_run):
    run = make_run("a", data="hidden")
    with_truth, without = (figure([run], [VIDEO], truth=truth)["png"] for truth in (True, False))
    assert with_truth == without


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"videos": ["nowhere"]}, "Unknown video of hostile val 'nowhere'"),
        ({"expressions": ["e9"]}, "Unknown expression of .*escaped 'e9'"),
        ({"names": ["a", "b"]}, "2 names are given for 1 runs"),
    ],
)
def test_what_is_not_there_is_named(make_run, change, told):
    with pytest.raises(InputError, match=told):
        figure([make_run("a")], **{"videos": [VIDEO], **change})


def test_runs_of_different_data_are_refused(make_run):
    with pytest.raises(InputError, match="give runs of the same sentences"):
        figure([make_run("a"), make_run("b", data="hidden")], [VIDEO])
