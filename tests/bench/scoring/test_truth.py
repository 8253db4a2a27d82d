"""Truth that is kept on disk: used only where it is that of these label maps, and never trusted blindly."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from refseg.bench.scoring import truth as module
from refseg.bench.scoring.frames import Runs
from refseg.bench.scoring.truth import dump_runs, expression_truths, load_runs, video_labels
from refseg.bench.types import DatasetRequest, GroundTruth, framewise
from refseg.datasets.refdavis import build

MINI = Path(__file__).parents[2] / "data/ref-davis-mini"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    shutil.copytree(MINI, tmp_path / "root")
    return tmp_path / "root"


def opened(root):
    dataset = build(DatasetRequest("refdavis17", root=str(root)))
    return dataset, next(v for v in dataset.videos() if v.id == "libby")


def read(root):
    dataset, video = opened(root)
    frames = video_labels(dataset, video)
    return np.stack(
        [sum(i * frames(t).unpacked(r) for r, i in enumerate(frames(t).ids)) for t in range(len(video))]
    )


def kept(root):
    return [*(root.parent / "cache").rglob("*.runs")]


def test_kept_truth_is_used_without_decoding(root, monkeypatch):
    before = read(root)
    assert (before == opened(root)[0].label_maps("libby")).all() and len(kept(root)) == 1
    monkeypatch.setattr(type(opened(root)[0]), "label_map", lambda *args: pytest.fail("decoded again"))
    assert (read(root) == before).all()


def test_changed_label_map_is_read_again(root):
    read(root)
    files = sorted((root / "valid/Annotations/libby").glob("*.png"))
    shutil.copy(files[0], files[1])
    changed = read(root)
    assert (changed[0] == changed[1]).all() and (changed == opened(root)[0].label_maps("libby")).all()


def test_damaged_file_is_made_anew(root):
    before = read(root)
    (path,) = kept(root)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    flipped = bytearray(whole)
    flipped[int(rng.integers(len(whole) // 2, len(whole)))] ^= 4
    for broken in (b"", b"{}\n", whole[:-3], whole + b"0", bytes(flipped), b"null\n", b"\xff" * 99):
        path.write_bytes(broken)
        assert (read(root) == before).all() and path.read_bytes() == whole


def test_any_bit_of_a_kept_file_counts():
    labels = np.random.default_rng(0).integers(0, 3, (2, 5, 9), dtype=np.uint8)
    content = dump_runs(Runs.of(labels), "k")
    path = Path("kept.runs")
    for at in range(content.index(b"\n") + 1, len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert load_runs(path, "k", (5, 9), 2) is None
    path.write_bytes(content)
    assert load_runs(path, "other", (5, 9), 2) is None
    assert len(load_runs(path, "k", (5, 9), 2)) == 2


def test_nothing_is_kept_where_nothing_can_or_shall_be(root, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", "")
    before = read(root)
    monkeypatch.setenv("REFSEG_CACHE", str(root / "meta_expressions/valid/meta_expressions.json"))
    assert (read(root) == before).all() and not kept(root)


def test_oldest_files_go_where_there_are_too_many(root, monkeypatch):
    read(root)
    old = kept(root)[0].with_name("old.runs")
    old.write_bytes(b"x" * 100)
    os.utime(old, (1, 1))
    monkeypatch.setattr(module, "MOST_BYTES", sum(p.stat().st_size for p in kept(root)) - 50)
    module._make_room.cache_clear()
    module._make_room(root.parent / "cache/truth")
    assert not old.exists() and len(kept(root)) == 1


def test_annotators_of_one_object_share_its_truth(root):
    dataset, video = opened(root)
    assert len({*expression_truths(dataset, video)}) < len(video.expressions)


def test_void_is_kept_apart_in_truths_that_come_as_masks():
    class Plain:
        def ground_truth(self, video_id, expression_id):
            masks, void = np.zeros((2, 1, 4, 6), bool)
            masks[0, :2], void[0, 1] = True, True
            return GroundTruth(masks, void)

    _, video = opened(MINI)
    video = type(video)(video.id, video.frame_ids[:1], (4, 6), video.expressions[:1], video.read)
    (found,) = expression_truths(Plain(), video)
    assert found.frames(0).of(*found.ids).unpacked(0).sum() == 6
    assert found.frames(0).of(255).unpacked(0).sum() == 6
    assert framewise(Plain()) is None
