"""``bench regress``: an untouched tree passes, and planted faults are each found. No test knows a score."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from refseg.bench import registry
from refseg.bench.regress import RegressRequest, update
from refseg.bench.scoring.packed import bound_pixels
from refseg.bench.store import Recorder
from refseg.bench.types import FramePrediction, MethodInfo

LATE = "oracle --set frames_late=1"


class Toy:
    """A network of six weights that answers with thirds of the frame."""

    def __init__(self, request, outputs=2):
        self.info = MethodInfo(request.name, "1", config={"outputs": outputs}, threshold=0.5)
        self._net = nn.Linear(3, outputs, bias=False)

    def segment(self, video, expressions):
        for frame in range(len(video)):
            with torch.inference_mode():
                self._net(torch.ones(1, 3))
            masks = np.zeros((len(expressions), *video.size), bool)
            for k in range(len(expressions)):
                masks[k, :, k * 20 : k * 20 + 40] = True
            yield FramePrediction(frame, masks, np.ones(len(masks), np.float32))

    def modules(self):
        return {"net": self._net}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A baseline of RefSAM and the truth on two videos, without speed, and its runs."""
    folder = tmp_path_factory.mktemp("baseline")
    request = RegressRequest(
        str(folder / "baseline.json"), ["refsam_tiny", "oracle"], out=str(folder / "runs"), limit=2, rounds=0
    )
    update(request, "for the tests")
    return folder


@pytest.fixture
def regress(bench, made):
    """Compare with that baseline; predictions that did not change are reused, and scored anew."""

    def run(*args, out=made / "runs"):
        base = ("regress", "--baseline", made / "baseline.json", "--out", out, "--no-speed", "--jobs", 1)
        return bench(*base, *args)

    return run


@pytest.fixture
def toy():
    with registry.registered("methods", "toy_tiny", Toy):
        yield "toy_tiny"


def moved(done):
    """Return (label, kind, what) of what a comparison in JSON found; it must have left with 4."""
    assert done.code == 4 and done.json["regressed"]
    return {(row["label"], row["kind"], row["what"].rpartition(": ")[2]) for row in done.json["moved"]}


def test_an_untouched_tree_passes_and_says_what_it_compared(regress, made, tmp_path):
    done = regress("--markdown", tmp_path / "summary.md", "--json", tmp_path / "found.json")
    assert done.code == 0 and (tmp_path / "summary.md").read_text() == done.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert not found["moved"] and {r["label"] for r in found["rows"]} == {"refsam_tiny", "oracle", LATE}
    assert done.out.startswith(f"## None of {len(found['rows'])} figures moved: refshapes val")
    assert "Not in the baseline, so not compared: " in done.out and "(for the tests)" in done.out


def test_finished_runs_are_taken_as_they_are(bench, made):
    done = bench("regress", "--baseline", made / "baseline.json", "--runs", made / "runs", "--json", "-")
    assert done.code == 0 and {r["label"] for r in done.json["rows"]} == {"refsam_tiny", "oracle", LATE}
    done = bench("regress", "--baseline", made / "baseline.json", "--runs", made)
    assert done.code == 0 and "None of" in done.out


def test_a_track_token_that_is_cut_in_the_code_is_found(regress, tmp_path, monkeypatch):
    monkeypatch.setattr("refseg.methods.refsam.model.RefSam.next_track", lambda self, output: None)
    found = moved(regress("--method", "refsam_tiny", "--json", "-", out=tmp_path / "cut"))
    assert {kind for _, kind, _ in found} <= {"accuracy", "items"}
    assert any(kind == "items" for _, kind, _ in found)


def test_a_track_token_that_is_cut_by_an_option_is_found(regress, tmp_path):
    cut = ("--method", "refsam_tiny", "--set", "track_token=false", "--limit", 1)
    done = regress(*cut, "--json", "-", out=tmp_path / "cut")
    assert ("refsam_tiny", "configuration", "config.track_token") in moved(done)
    assert "Only 1 of the baseline's 2 videos are compared." in done.json["notes"]


def test_a_tolerance_of_f_that_is_off_by_one_is_found_and_not_laid_on_the_method_alone(regress, monkeypatch):
    monkeypatch.setattr("refseg.bench.scoring.expressions.bound_pixels", lambda h, w: bound_pixels(h, w) + 1)
    found = moved(regress("--json", "-"))
    assert {("refsam_tiny", "accuracy", "F"), (LATE, "accuracy", "F")} <= found
    assert not any(what == "J" for _, _, what in found) and not any(
        label == "oracle" for label, _, _ in found
    )


def test_a_parameter_count_that_changed_is_found_though_the_weights_no_longer_fit(
    regress, monkeypatch, tmp_path
):
    from refseg.methods.refsam.config import CONFIGS

    wider = replace(CONFIGS["refsam_tiny"], mlp_hidden_dim=CONFIGS["refsam_tiny"].mlp_hidden_dim + 1)
    monkeypatch.setitem(CONFIGS, "refsam_tiny", wider)
    done = regress("--json", "-", out=tmp_path / "wider")
    found = moved(done)
    assert ("refsam_tiny", "parameters", "cross_modal_mlp, learnable") in found
    assert ("refsam_tiny", "failures", "run") in found and not any(label == LATE for label, _, _ in found)


@pytest.fixture
def timed(bench, toy, tmp_path):
    """A baseline of the toy with its speed; returns a comparison in which three times slower is allowed."""
    base = ("regress", "--baseline", tmp_path / "toy.json", "--method", toy, "--rounds", 5)
    done = bench(*base, "--limit", 2, "--update", "--reason", "toy", "--out", tmp_path / "runs")
    assert done.code == 0
    return lambda *args: bench(*base, "--out", tmp_path / "runs", "--slower", 3, "--json", "-", *args)


def test_a_stage_that_became_slow_is_found_and_the_others_are_not(timed, monkeypatch):
    done = timed()
    assert done.code == 0
    stages = {row["what"] for row in done.json["rows"] if row["kind"] == "speed"}
    assert {"read", "store", "time of a few frames"} < stages
    plain = Recorder.add

    def slow(self, prediction):
        for _ in range(20):
            plain(Recorder(self._video, self._expressions, "again"), prediction)
        plain(self, prediction)

    monkeypatch.setattr(Recorder, "add", slow)
    assert moved(timed()) == {("harness", "speed", "store")}


def test_a_method_that_became_slow_or_larger_is_found(timed, monkeypatch):
    plain = Toy.segment

    def slow(self, video, expressions):
        for _ in range(30):
            list(plain(self, video, expressions))
        yield from plain(self, video, expressions)

    monkeypatch.setattr(Toy, "segment", slow)
    assert moved(timed()) == {("toy_tiny", "speed", "time of a few frames")}
    monkeypatch.setattr(Toy, "segment", plain)
    monkeypatch.setattr(Toy.__init__, "__defaults__", (3,))
    done = timed("--fresh")
    found = {(kind, what) for _, kind, what in moved(done)}
    assert found == {
        ("configuration", "config.outputs"),
        *(
            ("parameters", f"{module}, {what}")
            for module in ("net", "all")
            for what in ("learnable", "total")
        ),
    }


def test_an_update_takes_a_reason_and_replaces_only_what_is_named(bench, toy, tmp_path):
    base = ("regress", "--baseline", "b.json", "--update", "--no-speed", "--limit", 2)
    done = bench(*base, "--method", "empty")
    assert done.code == 2 and "say it by --reason TEXT" in done.sentence
    assert bench(*base, "--method", "empty,full", "--reason", "first").code == 0
    first = json.loads((tmp_path / "b.json").read_text())
    assert bench(*base, "--method", toy, "--reason", "a toy  came").code == 0
    second = json.loads((tmp_path / "b.json").read_text())
    assert second["reason"] == "a toy came" and second["methods"].keys() == {"empty", "full", toy}
    assert second["methods"]["full"] == first["methods"]["full"]


def test_a_baseline_of_other_data_is_refused(bench, made, tmp_path):
    content = json.loads((made / "baseline.json").read_text())
    content["dataset"]["version"] = "0"
    (tmp_path / "old.json").write_text(json.dumps(content))
    done = bench("regress", "--baseline", "old.json")
    assert (
        done.code == 2 and "with version 0, and here it is" in done.sentence and "--update" in done.sentence
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--method", "refsam_tny"), "Unknown method of .*Did you mean 'refsam_tiny'"),
        (("--limit", "3"), "holds 2 videos, fewer than --limit 3"),
        (("--set", "a=1"), "--set goes with one method"),
        (("--reason", "x"), "--reason goes with --update"),
        (("--update", "--reason", "x", "--set", "a=1"), "leave --set and --runs out"),
        (("--slower", "0.5"), "is not a number above 1"),
    ],
)
def test_wrong_calls_are_refused_in_one_sentence(regress, args, message):
    done = regress(*args)
    assert done.code == 2 and re.search(message, done.sentence)
