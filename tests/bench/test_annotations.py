"""The label PNGs in a run folder: what they hold, when they are written, and what becomes of old ones."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench import annotations
from refseg.bench.annotations import write_annotations
from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, plan, run
from refseg.bench.store import encode
from refseg.bench.subset import subset

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


@pytest.fixture
def davis(tmp_path):
    return RunRequest("oracle", "refdavis17", root=str(MINI), out=str(tmp_path / "run"), page=False)


@pytest.fixture
def planned(davis):
    """A finished run on real videos, planned again; its label PNGs are there."""
    run(davis)
    return plan(davis)


def write(planned):
    return write_annotations(planned.folder, planned.key, planned.dataset)


def test_a_run_from_python_leaves_the_truth_s_pixels_in_its_palette(davis, tmp_path):
    result = run(davis)
    folder = Path(result["annotations"])
    assert folder == tmp_path / "run/annotations"
    pngs = sorted(folder.rglob("*.png"))
    assert len(pngs) == 4 * 5
    for png in pngs:
        _, video, frame = png.relative_to(folder).parts
        with Image.open(png) as ours, Image.open(MINI / "valid/Annotations" / video / frame) as truth:
            assert ours.mode == "P" and np.array_equal(np.array(ours), np.array(truth))
            assert ours.getpalette()[:6] == [0, 0, 0, 128, 0, 0]


def test_they_are_written_under_the_run_s_lock_and_before_it_is_done(davis, tmp_path, monkeypatch):
    seen = []

    def spy(folder, key, dataset):
        with open(folder.path / ".lock", "a") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(folder.read_record()["status"])
        return write_annotations(folder, key, dataset)

    monkeypatch.setattr("refseg.bench.runner.write_annotations", spy)
    run(davis)
    assert seen == ["predicted"] and plan(davis).folder.read_record()["status"] == "done"


def test_they_are_written_anew_only_where_predictions_changed(planned):
    png = planned.folder.path / "annotations/anno_0/libby/00000.png"
    stamp = png.stat().st_mtime_ns
    write(planned)
    assert png.stat().st_mtime_ns == stamp
    one = planned.folder.read("libby", "0")
    empty = tuple(encode(np.zeros((3, *one.size), bool)))
    planned.folder.write(replace(one, masks=empty, merged=empty))
    write(planned)
    assert not np.array(Image.open(png)).any()
    assert np.array(Image.open(png.parents[2] / "anno_1/libby/00000.png")).any()


def test_they_appear_whole_or_not_at_all(davis, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="No space is left"):
            run(davis)
    folder = tmp_path / "run"
    assert not [p for p in folder.iterdir() if "annot" in p.name]
    assert (folder / "result.json").is_file()
    # What a killed run left is no obstacle.
    (folder / ".annotations" / ".tmp-1").mkdir(parents=True)
    assert Path(run(davis)["annotations"]).is_dir() and not (folder / ".annotations").exists()


def test_a_fresh_run_deletes_old_ones_first_and_no_folder_of_another_kind(davis, tmp_path, monkeypatch):
    run(davis)

    def fails(*args, **kwargs):
        raise InputError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("refseg.bench.engines.predict_all", fails)
        with pytest.raises(InputError, match="stopped"):
            run(replace(davis, fresh=True))
    folder = tmp_path / "run/annotations"
    assert not folder.exists()
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="annotations cannot be written"):
        run(davis)
    assert os.listdir(folder) == ["notes.txt"]


def test_failed_videos_are_left_out(planned):
    folder = write_annotations(
        planned.folder,
        planned.key,
        subset(planned.dataset, [v for v in planned.videos if v.id == "car-shadow"]),
    )
    assert {p.name for p in (folder / "anno_2").iterdir()} == {"car-shadow"}


def test_datasets_without_annotators_or_with_too_many_objects_have_none(
    request_, davis, tmp_path, monkeypatch
):
    assert "annotations" not in run(request_)
    assert not (tmp_path / "run" / "annotations").exists()
    monkeypatch.setattr(annotations, "MOST_IDS", 0)
    assert "annotations" not in run(replace(davis, out=str(tmp_path / "many")))
