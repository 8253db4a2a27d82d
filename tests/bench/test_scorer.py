"""Scoring what is there: runs, zipped runs and other programs' masks, on real frames."""

import csv
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench import scorer
from refseg.bench.errors import InputError
from refseg.bench.exporter import export_run
from refseg.bench.layouts import EXPORTS
from refseg.bench.progress import Silent
from refseg.bench.runner import RunRequest, run
from refseg.bench.scorer import ScoreRequest, look_at, score
from refseg.bench.store import RunFolder

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
WHOLE = Path(__file__).parents[3] / "shared/real/ref-davis-mini"
GOLDEN = Path(__file__).parents[1] / "data/golden/davis17_unsup_per_object.csv"


@pytest.fixture
def davis(tmp_path):
    """A run of the oracle on real videos; returns its result."""
    return run(RunRequest("oracle", "refdavis17", root=str(MINI), out=str(tmp_path / "run"), page=False))


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def on_davis(predictions, **kwargs):
    return score(ScoreRequest(str(predictions), "refdavis17", root=str(MINI), **kwargs))


def scores(result):
    return {one["protocol"]: one["metrics"] for one in (result, *result["also"])}


def zipped(folder, name):
    return Path(shutil.make_archive(str(folder.parent / name), "zip", folder))


def test_truth_scores_100_under_both_protocols(davis):
    assert [*scores(davis)] == ["refdavis/published", "refdavis/per_expression"]
    for metrics in scores(davis).values():
        assert metrics["J&F"] == metrics["J"] == metrics["F"] == 100


def test_every_form_of_the_same_predictions_scores_the_same(request_, davis, tmp_path):
    run_folder = tmp_path / "run"
    forms = [run_folder, zipped(run_folder, "zipped-run")]
    for layout in EXPORTS:
        for suffix in ("", ".zip"):
            forms.append(export_run(str(run_folder), layout, str(tmp_path / f"{layout}{suffix}"))[0])
    for form in forms:
        result = on_davis(form)
        assert scores(result) == scores(davis), form
        assert len(result["items"]) == len(davis["items"])
        # The files at hand are a part of the published split, and every result of them says so.
        assert result["partial"] and result["coverage"]["videos"] == [2, 30]


def test_other_programs_masks_are_scored_as_an_independent_count_of_pixels_says():
    result = on_davis(MINI / "results/osvos", protocols=("refdavis/published",))
    expected = []
    for video in ("car-shadow", "libby"):
        names = sorted(p.name for p in (MINI / "valid/Annotations" / video).iterdir())
        pairs = [
            [np.array(Image.open(folder / video / n)) == 1 for n in names]
            for folder in (MINI / "valid/Annotations", MINI / "results/osvos")
        ]
        expected.append(np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(*pairs, strict=True)]))
    assert 50 < result["metrics"]["J"] < 100
    assert result["metrics"]["J"] == pytest.approx(100 * np.mean(expected), abs=1e-9)
    assert {i["annotator"] for i in result["items"]} == {0}
    assert (result["layout"], result["annotator"]) == ("davis", 0)
    assert [f["kind"] for f in result["findings"]] == ["one_annotator"]


@pytest.mark.skipif(not WHOLE.exists(), reason="the whole real videos are not beside the repository")
@pytest.mark.parametrize("video", ["libby", "car-shadow"])
def test_real_result_masks_score_as_the_official_evaluator_scored_them(video, tmp_path):
    """The official numbers are of ``rvos`` against ``osvos`` as truth, so a dataset of those is made."""
    root = tmp_path / "root"
    meta = WHOLE / "meta_expressions/valid/meta_expressions.json"
    videos = json.loads(meta.read_text())["videos"]
    (root / "meta_expressions/valid").mkdir(parents=True)
    (root / "meta_expressions/valid/meta_expressions.json").write_text(
        json.dumps({"videos": {video: videos[video]}})
    )
    (root / "valid").mkdir()
    (root / "valid/JPEGImages").symlink_to(WHOLE / "valid/JPEGImages")
    (root / "valid/Annotations").symlink_to(WHOLE / "results/osvos")
    result = score(
        ScoreRequest(
            str(WHOLE / "results/rvos"), "refdavis17", root=str(root), protocols=("refdavis/published",)
        )
    )
    with GOLDEN.open() as file:
        (official,) = (r for r in csv.DictReader(file) if r["sequence_object"] == f"{video}_1")
    for letter in "JF":
        for ours, theirs in (("", "mean"), ("-recall", "recall"), ("-decay", "decay")):
            expected = 100 * float(official[f"{letter}_{theirs}"])
            assert result["metrics"][letter + ours] == pytest.approx(expected, abs=1e-9)


def test_missing_predictions_are_an_error_or_empty_masks(davis, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.prediction_path("libby", "0").unlink()
    with pytest.raises(InputError, match=r"missing.*libby.*--on-missing empty"):
        on_davis(tmp_path / "run")
    result = on_davis(tmp_path / "run", on_missing="empty", protocols=("refdavis/per_expression",))
    lost = [i for i in result["items"] if i["J"] == 0]
    assert [(i["video"], i["expression"]) for i in lost] == [("libby", "0")]
    assert result["metrics"]["J"] == pytest.approx(100 * 7 / 8)


def test_missing_frame_of_a_folder_is_told_before_anything_is_scored(davis, tmp_path):
    masks, _ = export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "masks"))
    lost = next((masks / "Annotations/libby/0").iterdir())
    lost.unlink()
    with pytest.raises(InputError, match=rf"libby/0/{lost.name}"):
        on_davis(masks)
    shutil.rmtree(masks / "Annotations/car-shadow")
    with pytest.raises(InputError, match=r"1 of 2 videos is missing.*1 of 20 frames is missing"):
        on_davis(masks)
    assert on_davis(masks, on_missing="empty")["metrics"]["J"] < 100


def test_what_is_found_before_scoring_stands_in_the_result_and_is_told(davis, tmp_path):
    masks, _ = export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "masks"))
    (masks / "notes.txt").write_text("mine")
    shutil.rmtree(masks / "Annotations/libby/0")
    notes = Notes()
    result = score(ScoreRequest(str(masks), "refdavis17", root=str(MINI), on_missing="empty"), progress=notes)
    assert [(f["kind"], f["severity"], f["count"]) for f in result["findings"]] == [
        ("missing_expression", "missing", 1),
        ("extra", "note", 1),
        ("lost_overlap", "note", 1),
    ]
    assert json.loads(json.dumps(result["findings"])) == result["findings"]
    assert notes.said == [f["text"] for f in result["findings"]]
    assert result["layout"] == "ytvos" and result["annotator"] is None and result["missing"] == 1


def test_looking_lists_all_and_scores_nothing(davis, tmp_path):
    masks, _ = export_run(str(tmp_path / "run"), "mevis", str(tmp_path / "masks"))
    request = ScoreRequest(str(masks), "refdavis17", root=str(MINI))
    assert look_at(request)["can_be_scored"] is True
    (masks / "libby/0/00001.png").write_bytes(b"")
    shutil.rmtree(masks / "car-shadow")
    found = look_at(request)
    assert [f["kind"] for f in found["findings"]] == ["missing_video", "damaged", "lost_overlap"]
    assert found["layout"] == "ytvos" and found["can_be_scored"] is False
    # What is missing may be empty; what is damaged may not.
    assert look_at(replace(request, on_missing="empty"))["can_be_scored"] is False
    (masks / "libby/0/00001.png").unlink()
    assert look_at(replace(request, on_missing="empty"))["can_be_scored"] is True


def test_looking_at_a_run_decodes_it(davis, tmp_path):
    request = ScoreRequest(str(tmp_path / "run"), "refdavis17", root=str(MINI))
    assert look_at(request)["findings"] == []
    stored = RunFolder(tmp_path / "run").prediction_path("libby", "1")
    stored.write_bytes(stored.read_bytes()[:-9])
    found = look_at(request)
    assert [f["kind"] for f in found["findings"]] == ["damaged"] and not found["can_be_scored"]


def test_a_bad_file_that_the_sample_missed_is_told_with_the_command_that_lists_all(
    davis, tmp_path, monkeypatch
):
    masks, _ = export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "masks"))
    bad = masks / "Annotations/libby/0/00001.png"
    with Image.open(bad) as image:
        Image.fromarray(np.array(image) // 2).save(bad)
    with pytest.raises(
        InputError, match=r"^.* cannot be scored as it is: .*00001\.png.* holds the values 0, 127"
    ):
        on_davis(masks)
    monkeypatch.setattr(scorer, "lint", lambda *args, **kwargs: [])
    with pytest.raises(InputError, match=r"00001\.png.* holds the values 0, 127; .*--lint-only` lists every"):
        on_davis(masks)


def test_label_maps_of_an_annotator_that_does_not_exist_are_told(tmp_path):
    shutil.copytree(MINI / "results/osvos", tmp_path / "anno_7")
    with pytest.raises(InputError, match=r"of annotator 7, but the annotators of refdavis17 are 0, 1, 2, 3"):
        on_davis(tmp_path / "anno_7")


def test_a_zipped_run_is_read_where_it_is(davis, tmp_path, monkeypatch):
    form = zipped(tmp_path / "run", "zipped-run")
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *args, **kwargs: pytest.fail("something is unpacked"))
    before = sorted(tmp_path.rglob("*"))
    assert scores(on_davis(form)) == scores(davis)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "damage",
    [{"counts": {}}, {"method": None}, {"key_parts": []}, {"dataset": {"name": "x"}}, {"failures": [1]}],
)
def test_a_record_of_another_form_is_one_sentence(davis, tmp_path, damage):
    record = tmp_path / "run/run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | damage))
    with pytest.raises(InputError, match=r"run\.json is not as `bench run` writes it"):
        on_davis(tmp_path / "run")
    with pytest.raises(InputError, match=r"run\.json is not as `bench run` writes it"):
        export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "out"))


def test_truncated_png_is_told_by_its_name(davis, tmp_path):
    masks, _ = export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "masks"))
    bad = masks / "Annotations/libby/0/00001.png"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"libby/0/00001\.png"):
        on_davis(masks)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"layout": "davs"}, "Unknown layout 'davs'.*'davis'"),
        ({"layout": "ytvos"}, "not of layout ytvos; it looks like davis"),
        ({"layout": "run"}, "no run"),
        ({"protocols": ("refdavis/publishd",)}, "Unknown protocol"),
        ({"split": "trian"}, "Unknown split"),
    ],
)
def test_wrong_call_is_told(kwargs, said):
    with pytest.raises(InputError, match=said):
        on_davis(MINI / "results/osvos", **kwargs)


def test_predictions_that_are_not_there_or_of_nothing_are_told(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        on_davis(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no PNG"):
        on_davis(tmp_path / "empty")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match="no zip or is damaged"):
        on_davis(tmp_path / "text.zip")


def test_run_on_another_dataset_is_told(request_, tmp_path):
    run(request_)
    with pytest.raises(InputError, match="made on clips val, version 1"):
        score(ScoreRequest(str(tmp_path / "run"), "hidden_clips"))
    with pytest.raises(InputError, match="made on clips val"):
        score(ScoreRequest(str(tmp_path / "run"), "clips", split="test"))


def test_videos_that_failed_stay_out_of_the_score_unless_they_count_as_empty(request_, probe, tmp_path):
    probe.wrong["bee"] = lambda p: 1 / 0
    made = run(request_)
    again = score(ScoreRequest(str(tmp_path / "run"), "clips"))
    assert again["metrics"] == made["metrics"] and [f["video"] for f in again["failures"]] == ["bee"]
    strict = score(ScoreRequest(str(tmp_path / "run"), "clips", on_missing="empty"))
    assert strict["metrics"]["J"] == pytest.approx(made["metrics"]["J"] * 2 / 3)


def test_limited_run_is_scored_as_partial(request_, tmp_path):
    made = run(replace(request_, limit=1))
    again = score(ScoreRequest(str(tmp_path / "run"), "clips"))
    assert again["partial"] and again["metrics"] == made["metrics"]


def test_export_is_of_a_whole_run_or_says_what_it_lacks(request_, probe, tmp_path):
    run(replace(request_, limit=2))
    written, counts = export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "out"))
    assert counts == {"videos": 2, "in_split": 3}
    assert {p.name for p in (written / "Annotations").iterdir()} == {"ant", "bee"}
    RunFolder(tmp_path / "run").prediction_path("bee", "e1").unlink()
    with pytest.raises(InputError, match="expression e1 of video bee is missing"):
        export_run(str(tmp_path / "run"), "ytvos", str(tmp_path / "more"))
    assert not (tmp_path / "more").exists()
    with pytest.raises(InputError, match="no run"):
        export_run(str(tmp_path / "out"), "ytvos", str(tmp_path / "more"))


def test_export_finds_a_dataset_that_moved(davis, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(MINI, moved)
    run(RunRequest("full", "refdavis17", root=str(moved), out=str(tmp_path / "full"), page=False))
    moved.rename(tmp_path / "away")
    with pytest.raises(InputError, match="does not exist"):
        export_run(str(tmp_path / "full"), "davis", str(tmp_path / "out"))
    assert export_run(str(tmp_path / "full"), "davis", str(tmp_path / "out"), root=str(tmp_path / "away"))[
        0
    ].is_dir()
