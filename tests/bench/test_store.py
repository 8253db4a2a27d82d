import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from refseg.bench.errors import InputError
from refseg.bench.store import (
    DamagedPredictionError,
    Recorder,
    RunFolder,
    SavedRun,
    encode,
    missing_expressions,
)
from refseg.bench.types import Expression, FramePrediction, Video

SIZE = (4, 5)
HOSTILE = ["../../x", "/abs", "a/b", "..", "", "é\u0301", "x" * 300]


def video(name="v", expressions=("0", "1"), frames=2, size=SIZE, **kwargs):
    said = tuple(Expression(e, "text", **kwargs) for e in expressions)
    return Video(name, tuple(map(str, range(frames))), size, said, lambda i: None)


def stored(clip, masks, key="k"):
    """Return what is stored of (K, T, H, W) masks."""
    recorder = Recorder(clip, clip.expressions, key)
    for t in range(masks.shape[1]):
        recorder.add(FramePrediction(t, masks[:, t], np.linspace(0, 1, len(masks), dtype=np.float32)))
    return list(recorder.finished())


def random_masks(clip, seed=0):
    shape = (len(clip.expressions), len(clip), *clip.size)
    return np.random.default_rng(seed).random(shape) < 0.5


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=4, max_dims=4, max_side=7)))
def test_masks_come_back_as_they_were(masks):
    clip = video(
        expressions=tuple(map(str, range(masks.shape[0]))), frames=masks.shape[1], size=masks.shape[2:]
    )
    found = stored(clip, masks)
    assert [p.expression for p in found] == [e.id for e in clip.expressions]
    for one, expected in zip(found, masks, strict=True):
        decoded = one.decode()
        assert decoded.dtype == bool and np.array_equal(decoded, expected)
        # And through the text of a file.
        again = replace(one, masks=tuple(json.loads(json.dumps(one.masks))))
        assert np.array_equal(again.decode(), expected)


def test_run_lengths_are_coco_s():
    # Column by column, zeros first: 1 zero, 2 ones, 3 zeros.
    mask = np.array([[0, 1, 0], [1, 0, 0]], bool)
    assert encode(mask[None]) == ["123"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ids_stay_in_the_folder_and_come_back(folder, name):
    clip = video(name, expressions=(name,))
    masks = random_masks(clip)
    for one in stored(clip, masks):
        folder.write(one)
    inside = [p for p in folder.path.parent.rglob("*") if p.is_file()]
    assert len(inside) == 1 and inside[0].parent.parent == folder.path / "predictions"
    assert np.array_equal(folder.read(name, name).decode(), masks[0])
    assert folder.read(name, "other") is None


def test_damage_is_never_a_mask(folder):
    """Any file cut short, or with a digit changed, is told of; no wrong mask is read."""
    clip = video()
    masks = random_masks(clip)
    one = stored(clip, masks)[0]
    folder.write(one)
    path = folder.prediction_path("v", "0")
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedPredictionError, match=r"damaged.*bench run"):
            folder.read("v", "0")
    for i, byte in enumerate(whole):
        if chr(byte).isdecimal():
            path.write_bytes(whole[:i] + str((byte - 47) % 10).encode() + whole[i + 1 :])
            with pytest.raises(DamagedPredictionError):
                folder.read("v", "0")
    path.write_bytes(whole)
    assert folder.read("v", "0") == one


def test_extras_come_back_by_frame_and_leave_files_without_as_they_were(folder):
    clip = video()
    masks, box = random_masks(clip), {"box": [1.5, 0, 3, 2], "phrase": "é"}
    recorder = Recorder(clip, clip.expressions, "k")
    for t, extras in enumerate(([{}, box], None)):
        recorder.add(FramePrediction(t, masks[:, t], np.ones(2, np.float32), extras=extras))
    for one in recorder.finished():
        folder.write(one)
    saved = SavedRun(folder, "k")
    assert [saved.extras(clip, e) for e in clip.expressions] == [{}, {"0": box}]
    assert b"extras" not in folder.prediction_path("v", "0").read_bytes()
    path = folder.prediction_path("v", "1")
    path.write_bytes(path.read_bytes().replace(b"1.5", b"2.5"))
    with pytest.raises(DamagedPredictionError):
        folder.read("v", "1")
    content = json.loads(path.read_bytes())
    for broken in ([1], "ab", {"0": 3}, 7, None):
        path.write_text(json.dumps(content | {"extras": broken}))
        with pytest.raises(DamagedPredictionError):
            folder.read("v", "1")


def test_file_of_another_expression_is_refused(folder):
    clip = video()
    for one in stored(clip, random_masks(clip)):
        folder.write(one)
    folder.prediction_path("v", "0").replace(folder.prediction_path("v", "1"))
    with pytest.raises(DamagedPredictionError, match="holds v/0"):
        folder.read("v", "1")


def test_only_what_fits_in_key_frames_and_size_is_reused(folder):
    clip = video()
    masks = random_masks(clip)
    for one in stored(clip, masks):
        folder.write(one)
    assert missing_expressions(folder, "k", clip) == ([], [])
    missing, notes = missing_expressions(folder, "other key", clip)
    assert [e.id for e in missing] == ["0", "1"] and all("another configuration" in n for n in notes)
    for other in (replace(clip, frame_ids=("0", "9")), replace(clip, size=(5, 4))):
        assert [e.id for e in missing_expressions(folder, "k", other)[0]] == ["0", "1"]
    folder.prediction_path("v", "1").write_bytes(b"{")
    missing, notes = missing_expressions(folder, "k", clip)
    assert [e.id for e in missing] == ["1"] and "computed again" in notes[0]


def test_saved_run_refuses_another_key_and_another_version(folder):
    clip = video()
    masks = random_masks(clip)
    for one in stored(clip, masks):
        folder.write(one)
    expression = clip.expressions[1]
    assert np.array_equal(SavedRun(folder, "k").masks(clip, expression), masks[1])
    assert SavedRun(folder, "other").masks(clip, expression) is None
    with pytest.raises(InputError, match="another version"):
        SavedRun(folder, "k").masks(replace(clip, size=(5, 4)), expression)


def annotated(objects="12", annotators=(0, 1)):
    said = tuple(
        Expression(f"{a}-{o}", "text", (o,), annotator=a) for a in annotators for o in reversed(objects)
    )
    return Video("v", ("0", "1"), SIZE, said, lambda i: None)


def test_label_maps_hold_each_annotator_s_objects(folder):
    clip = annotated()
    masks = random_masks(clip)
    for one in stored(clip, masks):
        folder.write(one)
    saved = SavedRun(folder, "k")
    for annotator in (0, 1):
        rows = {
            e.object_ids[0]: m
            for e, m in zip(clip.expressions, masks, strict=True)
            if e.annotator == annotator
        }
        expected = np.where(rows["1"], 1, np.where(rows["2"], 2, 0))
        assert np.array_equal(saved.label_maps(clip, annotator), expected)
    assert saved.label_maps(clip, 2) is None


def test_expressions_that_are_merged_are_made_anew_together(folder):
    clip = annotated()
    for one in stored(clip, random_masks(clip)):
        folder.write(one)
    folder.prediction_path("v", "0-1").unlink()
    assert SavedRun(folder, "k").label_maps(clip, 0) is None
    assert [e.id for e in missing_expressions(folder, "k", clip)[0]] == ["0-2", "0-1"]


def test_folder_has_one_writer_and_is_free_afterwards(folder):
    with folder.locked():
        folder.write_record({"key": "k"})
        with pytest.raises(InputError, match="Another run is at work"), RunFolder(folder.path).locked():
            pass
    with folder.locked():
        assert folder.read_record() == {"key": "k"}


def test_files_of_a_killed_run_are_swept(folder):
    with folder.locked():
        folder.write_record({"key": "k"})
    left = [folder.path / ".tmp-1-ab", folder.path / "predictions" / "v" / ".tmp-2-cd"]
    left[1].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"half")
    with folder.locked():
        assert not any(p.exists() for p in left)


def test_foreign_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"no run folder \(thesis.tex"), RunFolder(tmp_path).locked():
        pass
    with pytest.raises(InputError, match="is a file"), RunFolder(tmp_path / "thesis.tex").locked():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_clear_takes_only_what_a_run_wrote(folder):
    clip = video()
    for one in stored(clip, random_masks(clip)):
        folder.write(one)
    folder.write_record({"key": "k"})
    mine = folder.path / "predictions" / "v" / "notes.json"
    mine.write_text('{"by": "me"}')
    kept = folder.path / "thoughts.md"
    kept.write_text("mine")
    folder.clear()
    assert mine.exists() and kept.exists()
    assert folder.read_record() is None and folder.read("v", "0") is None


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"no": "key"}', b"\xff"])
def test_broken_record_is_told(folder, content):
    folder.path.mkdir()
    (folder.path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=r"run\.json"):
        folder.read_record()


def test_memory_holds_run_lengths_only():
    # A frame's masks must not be kept: the same array is filled anew for each frame.
    clip, masks = video(), np.zeros((2, *SIZE), bool)
    recorder = Recorder(clip, clip.expressions, "k")
    for t in range(2):
        masks[:] = t
        recorder.add(SimpleNamespace(masks=masks, scores=np.zeros(2), probabilities=None, extras=None))
    assert [p.decode().mean(axis=(1, 2)).tolist() for p in recorder.finished()] == [[0, 1]] * 2
