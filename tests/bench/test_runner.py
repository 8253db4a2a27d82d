import errno
import json
import os
from dataclasses import replace

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.atomic import DiskFullError
from refseg.bench.errors import InputError
from refseg.bench.progress import Silent
from refseg.bench.runner import RunRequest, default_name, plan, run
from refseg.bench.store import RunFolder

VIDEOS = ["ant", "bee", "cow"]


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def predictions(folder):
    return {name: data for name, data in files(folder).items() if name.parts[0] == "predictions"}


@pytest.fixture
def out(request_, tmp_path):
    return tmp_path / "run"


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def test_run_predicts_scores_and_records(request_, probe, out):
    result = run(request_)
    assert probe.calls == [(v, ["e1", "e2"]) for v in VIDEOS]
    assert result["protocol"] == "refshapes/per_expression" and len(result["items"]) == 6
    assert 0 < result["metrics"]["J"] < 100
    assert result["failures"] == [] and result["partial"] is False
    assert json.loads((out / "result.json").read_text()) == {k: v for k, v in result.items() if k != "run"}
    record = RunFolder(out).read_record()
    assert record["status"] == "done" and record["method"]["name"] == "probe"
    assert record["counts"] == {"videos": 3, "videos_in_split": 3, "expressions": 6, "frames": 9}
    assert record["pass"]["frames"] == 9 and record["packages"]["numpy"] == np.__version__


def test_finished_run_is_not_predicted_again(request_, probe, out):
    first = run(request_)
    before, probe.calls = predictions(out), []
    assert run(request_) == first
    assert probe.calls == [] and predictions(out) == before


def test_only_what_is_missing_is_predicted_again(request_, probe, out):
    first = run(request_)
    before, probe.calls = predictions(out), []
    RunFolder(out).prediction_path("bee", "e2").unlink()
    assert run(request_)["metrics"] == first["metrics"]
    assert probe.calls == [("bee", ["e2"])] and predictions(out) == before


@pytest.mark.parametrize("damage", [b"", b'{"format": "refseg-pre', b"\x00" * 50])
def test_damaged_file_is_told_and_made_anew(request_, probe, out, damage):
    run(request_)
    before, probe.calls = predictions(out), []
    RunFolder(out).prediction_path("ant", "e1").write_bytes(damage)
    notes = Notes()
    run(request_, progress=notes)
    assert probe.calls == [("ant", ["e1"])] and predictions(out) == before
    assert any("damaged" in text and "computed again" in text for text in notes.said)


def test_other_configuration_is_refused_and_nothing_is_touched(request_, probe, out):
    run(request_)
    before, probe.calls = files(out), []
    with pytest.raises(InputError) as caught:
        run(replace(request_, options={"level": "2"}))
    text = str(caught.value)
    assert "another configuration" in text and "method.config.level" in text and "--fresh" in text
    assert caught.value.exit_code == 2 and "\n" not in text
    assert files(out) == before and probe.calls == []


def test_folder_of_another_split_or_dataset_is_refused(request_, out):
    run(request_)
    for other in (replace(request_, split="test"), replace(request_, dataset="hidden_clips")):
        with pytest.raises(InputError, match=r"dataset\."):
            run(other)


def test_fresh_makes_everything_anew_also_under_another_configuration(request_, probe, out):
    run(request_)
    probe.calls = []
    run(replace(request_, options={"level": "2"}, fresh=True))
    assert probe.videos == VIDEOS
    assert RunFolder(out).read_record()["key_parts"]["method"]["config"] == {"level": "2"}


def test_changed_sources_make_another_run(request_, out, monkeypatch):
    run(request_)
    monkeypatch.setattr("refseg.bench.provenance.source_digest", lambda: "other")
    with pytest.raises(InputError, match="code: "):
        run(request_)


def test_failed_video_is_named_and_costs_only_itself(request_, probe, out):
    def fail(prediction):
        if prediction.frame == 1:
            raise RuntimeError("out of\nmemory")
        return prediction

    probe.wrong["bee"] = fail
    result = run(request_)
    assert result["failures"] == [{"video": "bee", "error": "RuntimeError: out of memory"}]
    assert {i["video"] for i in result["items"]} == {"ant", "cow"}
    assert result["scored"] == {"videos": 2, "of": 3, "in_split": 3}
    assert not any("bee" in str(name) for name in predictions(out))
    # Once it is mended, only that video is predicted, and the result is a whole run's.
    probe.calls, probe.wrong = [], {}
    mended = run(request_)
    assert probe.videos == ["bee"] and mended["failures"] == [] and len(mended["items"]) == 6


def test_run_in_which_all_fail_is_told_and_not_scored(request_, probe):
    probe.wrong = {v: lambda p: 1 / 0 for v in VIDEOS}
    result = run(request_)
    assert len(result["failures"]) == 3 and result["metrics"] == {} and "no video finished" in result["note"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda p: replace(p, masks=p.masks[:, :, :-1]), "masks of shape"),
        (lambda p: replace(p, frame=2 - p.frame), "frame 2 where frame 0"),
        (lambda p: replace(p, scores=p.scores * np.nan), "not finite"),
    ],
)
def test_broken_promise_of_a_method_is_a_failure(request_, probe, wrong, said):
    probe.wrong["ant"] = wrong
    (failure,) = run(request_)["failures"]
    assert failure["video"] == "ant" and said in failure["error"]


def test_limit_is_marked_and_a_full_run_goes_on_from_it(request_, probe):
    part = run(replace(request_, limit=2))
    assert part["partial"] is True and part["scored"] == {"videos": 2, "of": 2, "in_split": 3}
    probe.calls = []
    whole = run(request_)
    assert probe.videos == ["cow"] and whole["partial"] is False
    assert run(replace(request_, limit=99))["partial"] is False


@pytest.mark.parametrize("at", [1, 4, 7, 9])
def test_interrupted_run_goes_on_to_the_same_result(request_, probe, out, tmp_path, at):
    whole = run(replace(request_, out=str(tmp_path / "whole")))
    seen = []

    def interrupt(prediction):
        seen.append(prediction)
        if len(seen) == at:
            raise KeyboardInterrupt
        return prediction

    probe.wrong = {v: interrupt for v in VIDEOS}
    with pytest.raises(KeyboardInterrupt):
        run(request_)
    done = (at - 1) // 3
    assert RunFolder(out).read_record()["status"] == "predicting"
    assert len(predictions(out)) == 2 * done
    probe.calls, probe.wrong = [], {}
    resumed = run(request_)
    assert probe.videos == VIDEOS[done:]
    assert predictions(out) == predictions(tmp_path / "whole")
    assert {**resumed, "run": ""} == {**whole, "run": ""}


@pytest.mark.parametrize("write", range(1, 10))
def test_full_disk_keeps_what_is_done_and_the_same_call_goes_on(request_, probe, out, monkeypatch, write):
    """The disk is full at any of the writes: record, predictions, result."""
    fsync, writes = os.fsync, []

    def full(file):
        writes.append(file)
        if len(writes) >= write:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskFullError, match="No space is left"):
            run(request_)
    for path in out.rglob("*.json"):
        json.loads(path.read_bytes())
    assert len(predictions(out)) == min(max(write - 2, 0), 6)
    probe.calls = []
    assert run(request_)["failures"] == []
    # A video whose second file did not fit is asked for that expression only.
    assert probe.videos == VIDEOS[min(max(write - 2, 0), 6) // 2 :]


def test_second_run_in_a_folder_is_told_so(request_, out):
    run(request_)
    with RunFolder(out).locked(), pytest.raises(InputError, match="Another run is at work"):
        run(request_)


def test_hidden_labels_are_predicted_and_not_scored(request_, probe, tmp_path):
    result = run(replace(request_, dataset="hidden_clips", out=str(tmp_path / "hidden")))
    assert (
        probe.videos == VIDEOS
        and result["metrics"] == {}
        and "labels of this split are hidden" in result["note"]
    )


def test_breakdown_is_the_mean_by_attribute(request_):
    result = run(request_)
    for value, said in ((True, "yes"), (False, "no")):
        own = [i["J"] for i in result["items"] if (i["expression"] == "e1") == value]
        found = result["breakdown"]["odd"][said]
        assert found["n"] == 3 and found["J"] == pytest.approx(np.mean(own))


def test_plan_says_what_would_run_and_writes_nothing(request_, probe, out):
    planned = plan(request_).describe()
    assert (planned["videos"], planned["expressions"], planned["frames"]) == (3, 6, 9)
    assert planned["expressions_to_predict"] == 6 and not out.exists() and probe.calls == []
    run(request_)
    RunFolder(out).prediction_path("cow", "e1").unlink()
    assert plan(request_).describe()["expressions_to_predict"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "prob"}, "Unknown method 'prob'.*'probe'"),
        ({"dataset": "clip"}, "Unknown dataset 'clip'.*'clips'"),
        ({"protocols": ("refshapes",)}, "Unknown protocol"),
        ({"limit": 0}, "leaves no video"),
        ({"root": "/nowhere/at/all"}, "does not exist"),
    ],
)
def test_wrong_call_is_told_before_anything_is_written(request_, probe, out, change, said):
    with pytest.raises(InputError, match=said):
        run(replace(request_, **change))
    assert not out.exists() and probe.calls == []


def test_default_folders_tell_configurations_apart():
    plain = RunRequest("m", "d")
    assert default_name(plain, "val") == "m-d-val"
    others = [
        plain,
        replace(plain, options={"a": "1"}),
        replace(plain, options={"a": "2"}),
        replace(plain, dtype="float16"),
    ]
    assert len({default_name(r, "val") for r in others}) == 4
    assert "/" not in default_name(replace(plain, method="../m"), "val")


def test_dataset_options_go_to_the_dataset(request_, clips):
    seen = []

    def build(request):
        seen.append(request.options)
        return clips(request, hidden=False)

    with registry.registered("datasets", "optional", build):
        planned = plan(replace(request_, dataset="optional", options={"dataset.size": "2", "level": "1"}))
    assert seen == [{"size": "2"}] and planned.method.info.config == {"level": "1"}
