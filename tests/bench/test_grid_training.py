"""Grids whose settings are trained first: a recipe that writes what it was asked, and a method that reads it."""

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from refseg.bench import registry
from refseg.bench.ablation import GridRequest, run_grid, welch
from refseg.bench.cli import main
from refseg.bench.errors import InputError
from refseg.bench.grids import Grid, Setting, Training

IMAGES = Training(
    "images", "learn", {"phase": "images", "steps": "9"}, takes=("dense", "seed"), quick={"steps": "1"}
)
CLIPS = Training("final", "learn", {"phase": "clips", "start": "{images}"})


class Recipe:
    """Writes its options as its weights; ``wrong`` says what happens in its call of that number."""

    def __init__(self):
        self.requests, self.wrong, self.salt = [], {}, ""

    def __call__(self, request):
        self.requests.append(request)
        out = Path(request.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "log.csv").write_text("step,figure,value\n1,val_J&F,50\n2,val_J&F,60\n")
        if (what := self.wrong.get(len(self.requests))) is not None:
            (out / "checkpoint.pt").write_bytes(b"half")
            raise what
        options = {k: v for k, v in request.options.items() if k != "start"}
        (out / "w.safetensors").write_text(json.dumps([options, self.salt], sort_keys=True))
        return {"loss": 1.0}

    def asked(self, key):
        return [r.options.get(key) for r in self.requests]


def grid(**more):
    settings = (
        Setting("words", "probe", seeded=True, switches={"dense": "none"}, published="MLP"),
        Setting("both", "probe", seeded=True, switches={"dense": "hda"}, published="HDA"),
        Setting(
            "tracked",
            "probe",
            seeded=True,
            switches={"dense": "hda", "itm": "iou"},
            training={"clip_frames": "3"},
        ),
    )
    given = {"trainings": (IMAGES, CLIPS), "base": "both", "table": "III", "curve": "val_J&F"} | more
    return Grid("trained", "A trained grid", "clips", settings, **given)


@pytest.fixture
def learn(clips, probe):
    recipe = Recipe()
    with registry.registered("recipes", "learn", recipe), registry.registered("grids", "trained", grid):
        yield recipe


@contextmanager
def another_grid(**more):
    with registry.registered("grids", "other", lambda: grid(**more)):
        yield


def test_trainings_that_settings_share_are_made_once(learn, probe):
    table = run_grid(GridRequest("trained"))
    assert learn.asked("phase") == ["images", "clips", "images", "clips", "clips"]
    assert learn.asked("dense") == ["none", "none", "hda", "hda", "hda"]
    # What tracks is none of an image's business; clips learn on from its weights.
    assert learn.asked("itm") == [None, None, None, None, "iou"]
    starts = [Path(s) for s in learn.asked("start") if s]
    assert len(set(starts)) == 2 and all(s.read_text() for s in starts)
    runs = [json.loads((Path(r["runs"][0]) / "run.json").read_text()) for r in table["rows"]]
    for row, record in zip(table["rows"], runs, strict=True):
        config = record["method"]["config"]
        assert config["dense"] == row["options"]["dense"] and "clip_frames" not in config
        assert row["trainings"][0][-1]["facts"]["figures"] == {"loss": 1.0}


def test_what_is_trained_is_not_trained_again(learn, probe):
    first, learn.requests, probe.calls = run_grid(GridRequest("trained")), [], []
    assert run_grid(GridRequest("trained")) == first
    assert learn.requests == [] and probe.calls == []
    run_grid(GridRequest("trained", fresh=True))
    assert len(learn.requests) >= 5


def test_other_code_runs_anew_with_the_weights_that_are_there(learn, probe, monkeypatch):
    run_grid(GridRequest("trained"))
    monkeypatch.setattr("refseg.bench.ablation.source_digest", lambda: "f" * 64)
    learn.requests, probe.calls = [], []
    table = run_grid(GridRequest("trained"))
    assert learn.requests == [] and len(probe.calls) == 9 and not any(r["error"] for r in table["rows"])


def test_an_interrupted_training_goes_on(learn):
    learn.wrong[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run_grid(GridRequest("trained"))
    learn.wrong = {}
    table = run_grid(GridRequest("trained"))
    assert [r.resume for r in learn.requests] == [False, False, True, False, False, False]
    assert not any(row["error"] for row in table["rows"])
    assert not list(Path("runs/trained/trainings").rglob("checkpoint.pt"))


def test_a_setting_that_fails_does_not_stop_the_others(learn, capsys):
    learn.wrong[3] = InputError("no more disk")
    table = run_grid(GridRequest("trained"))
    assert [row["error"] for row in table["rows"]] == ["", "no more disk", ""]
    assert table["rows"][1]["metrics"] == {} and table["rows"][2]["metrics"]
    assert table["rows"][0]["against_base"] is None
    learn.wrong[len(learn.requests) + 1] = ValueError("odd")
    assert main(["ablate", "trained", "--out", "again"]) == 3
    report = Path("again/report.md").read_text()
    assert "words failed: ValueError: odd" in report and "| both |" in report
    assert Path("again/curve.png").read_bytes().startswith(b"\x89PNG")
    assert {*Path("again/report.csv").read_text().splitlines()[0].split(",")} >= {
        "setting",
        "J&F",
        "verdict",
        "error",
    }
    assert "report.md, report.csv, curve.png" in capsys.readouterr().out


def test_nothing_that_runs_is_an_error(learn):
    learn.wrong = dict.fromkeys(range(1, 9), InputError("no data"))
    with pytest.raises(InputError, match="No setting of trained could be run; the first says: no data"):
        run_grid(GridRequest("trained"))


def test_seeds_repeat_trainings_and_their_spread_is_the_noise(learn):
    table = run_grid(GridRequest("trained", seeds=2))
    assert {*learn.asked("seed")} == {"0", "1"} and len(learn.requests) == 10
    for row in table["rows"]:
        assert len(row["runs"]) == 2 and row["deviations"]["J&F"] >= 0
    assert table["rows"][0]["against_base"]["noise"] == "seeds"
    assert table["rows"][1]["against_base"] is None


def test_one_seed_is_compared_over_videos(learn):
    row = run_grid(GridRequest("trained"))["rows"][0]
    assert row["against_base"]["noise"].startswith("videos") and len(row["against_base"]["interval"]) == 2


def test_quick_takes_few_steps_apart_from_the_rest(learn):
    table = run_grid(GridRequest("trained", quick=True))
    assert table["quick"] and table["partial"] is True
    assert learn.asked("steps") == ["1", None, "1", None, None]
    assert all(r.out.startswith("runs/trained-quick") for r in learn.requests)


def test_other_weights_before_mean_another_training_after(learn):
    run_grid(GridRequest("trained"))
    learn.salt, learn.requests = "other", []
    for folder in Path("runs/trained/trainings").glob("images-*"):
        (folder / "trained.json").unlink()
    run_grid(GridRequest("trained"))
    assert learn.asked("phase").count("clips") == 3


def test_another_dataset_takes_the_full_size(learn):
    full = replace(grid(), settings=(Setting("full", "probe", switches={"dense": "hda"}),), base="full")
    with another_grid(full_size=full):
        assert [r["label"] for r in run_grid(GridRequest("other"))["rows"]] == ["words", "both", "tracked"]
        with pytest.raises(InputError, match="No setting of trained"):
            run_grid(GridRequest("other", dataset="no_such_data"))
        assert learn.asked("dense")[-1] == "hda"


def test_an_unknown_recipe_is_told_at_once(learn, probe):
    with (
        another_grid(trainings=(IMAGES, replace(CLIPS, recipe="learnn"))),
        pytest.raises(InputError, match="learn"),
    ):
        run_grid(GridRequest("other"))
    assert learn.requests == [] and probe.calls == []


def test_a_folder_that_is_no_training_is_not_deleted(learn):
    run_grid(GridRequest("trained"))
    out = Path(learn.requests[0].out)
    for path in out.iterdir():
        path.unlink()
    (out / "thesis.tex").write_text("mine")
    table = run_grid(GridRequest("trained", fresh=True))
    assert "no training's folder" in table["rows"][0]["error"] and (out / "thesis.tex").exists()


def test_welch_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(60, 1, 4).tolist(), rng.normal(62, 2, 3).tolist()
    found = welch(a, b)
    expected = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert found["interval"] == pytest.approx([expected.low, expected.high])
    assert welch([1, 1], [2, 2]) == {"difference": 1, "interval": [1, 1], "verdict": "higher"}
    assert welch([1, 1.1], [1, 1.1])["verdict"] == "within noise"
