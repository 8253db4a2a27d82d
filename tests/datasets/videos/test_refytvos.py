"""Refer-YouTube-VOS: which videos are validation, what hides labels, and the traps of its label maps."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.types import LabelledDataset
from refseg.datasets.refytvos import pinned_ids

REAL = Path(__file__).parents[4] / "shared/real/refytvos-meta"
VALID = "meta_expressions/valid/meta_expressions.json"
TEST = "meta_expressions/test/meta_expressions.json"


def test_truth_is_the_pixels_of_obj_id_and_not_of_the_expressions_id(tree, opened, scene):
    tree.write("ytvos")
    dataset = opened("refytvos", "train")
    for i in range(6):
        truth = dataset.ground_truth("zoo", str(i))
        assert dataset.videos()[0].expressions[i].object_ids == (str(i // 2 + 1),)
        for t in range(1, 3):
            assert (truth.masks[t] == scene.block(i // 2, t)).all()
    # The third object is not there in frame 0, which is no fault and is scored.
    assert dataset.ground_truth("zoo", "4").masks.any((1, 2)).tolist() == [False, True, True]


def test_ids_are_ordered_as_numbers(tree, opened):
    tree.write("ytvos")

    def many(content):
        said = [(str(i), {"exp": f"s{i}", "obj_id": "1"}) for i in range(12)]
        content["videos"]["zoo"]["expressions"] = dict(sorted(said))
        content["videos"]["zoo"]["frames"].reverse()

    tree.change("meta_expressions/train/meta_expressions.json", many)
    zoo = opened("refytvos", "train").videos()[0]
    assert [e.text for e in zoo.expressions] == [f"s{i}" for i in range(12)]
    assert zoo.frame_ids == ("00000", "00005", "00010")


class TestValidation:
    def test_videos_of_the_test_file_are_not_validation(self, tree, opened):
        tree.write("ytvos", "valid", ("zoo", "ant", "bee"), hidden=True)
        tree.write("ytvos", "test", ("ant",), hidden=True)
        dataset = opened("refytvos")
        assert [v.id for v in dataset.videos()] == ["zoo", "bee"] and dataset.info.split == "valid"
        assert [v.id for v in opened("refytvos", "test").videos()] == ["ant"]

    def test_without_the_test_file_the_pinned_list_tells(self, tree, opened):
        assert len(pinned_ids()) == 202
        known = sorted(pinned_ids())[0]
        tree.write("ytvos", "valid", (known, "of-test"), hidden=True)
        assert [v.id for v in opened("refytvos").videos()] == [known]

    def test_other_videos_are_told_to_be_a_folder(self, tree, opened):
        tree.write("ytvos", "valid", hidden=True)
        with pytest.raises(InputError, match=r"none of the 202 validation videos.*`folder`"):
            opened("refytvos")

    def test_test_frames_may_lie_with_the_validation_frames(self, tree, opened):
        tree.write("ytvos", "valid", ("zoo", "ant"), hidden=True)
        tree.write("ytvos", "test", ("ant",), hidden=True)
        shutil.rmtree(tree.root / "test")
        assert opened("refytvos", "test").videos()[0].read(2).shape == (12, 20, 3)

    @pytest.mark.skipif(not REAL.exists(), reason="the real metadata file is not beside the repository")
    @pytest.mark.parametrize("by", ["test file", "pinned list"])
    def test_the_real_file_holds_202_videos_834_sentences_and_5486_frames(self, tree, opened, by):
        content = json.loads((REAL / "valid_meta_expressions.json").read_text())
        tree.json(VALID, content)
        (tree.root / "valid/JPEGImages").mkdir(parents=True)
        ids = set((REAL / "valid_video_ids.txt").read_text().split())
        if by == "test file":
            tree.json(TEST, {"videos": {v: c for v, c in content["videos"].items() if v not in ids}})
        dataset = opened("refytvos")
        entries = dataset._entries.values()
        assert {e.id for e in entries} == ids and len(dataset.videos()) == dataset.info.expected_videos == 202
        assert sum(len(e.sentences) for e in entries) == dataset.info.expected_expressions == 834
        assert sum(len(e.frame_ids) for e in entries) == dataset.info.expected_frames == 5486


class TestHiddenLabels:
    def test_they_are_hidden_where_only_sentences_are_there(self, tree, opened):
        tree.write("ytvos", "valid", (min(pinned_ids()),), hidden=True)
        dataset = opened("refytvos")
        assert dataset.ground_truth(dataset.videos()[0].id, "0") is None
        assert dataset.videos()[0].expressions[0].object_ids == ()

    def test_first_frames_of_youtube_vos_are_no_truth(self, tree, opened, faults):
        video = min(pinned_ids())
        tree.write("ytvos", "valid", (video,), hidden=True)
        tree.label_maps("valid/Annotations", video, (1, 2, 3), frames=("00000",))
        assert opened("refytvos").ground_truth(video, "0") is None
        assert faults("refytvos") == []

    def test_posted_label_maps_are_read(self, tree, opened, scene):
        video = min(pinned_ids())
        tree.write("ytvos", "valid", (video,))
        assert (opened("refytvos").ground_truth(video, "2").masks[1] == scene.block(1, 1)).all()

    def test_posted_masks_of_expressions_are_read(self, tree, opened, faults, scene):
        video = min(pinned_ids())
        tree.write("ytvos", "valid", (video,), hidden=True)
        for i in range(6):
            for t, frame in enumerate(("00000", "00005", "00010")):
                tree.mask(f"valid/Annotations/{video}/{i}/{frame}.png", scene.block(i % 3, t))
        assert (opened("refytvos").ground_truth(video, "4").masks[2] == scene.block(1, 2)).all()
        assert faults("refytvos") == []
        (tree.root / f"valid/Annotations/{video}/4/00005.png").unlink()
        with pytest.raises(InputError, match=r"4/00005.png is missing"):
            opened("refytvos").ground_truth(video, "4")
        assert [f[:2] for f in faults("refytvos", quick=True)] == [
            ("missing", f"valid/Annotations/{video}/4/00005.png")
        ]


class TestFaults:
    """What real copies have wrong with them: each is named with its file, and strict reading refuses it."""

    @pytest.fixture(autouse=True)
    def _whole(self, tree, faults):
        tree.write("ytvos")
        assert faults("refytvos", "train") == []

    def found(self, faults, **kwargs):
        return [f[:2] for f in faults("refytvos", "train", **kwargs)]

    def test_listed_frames_and_masks_that_are_not_there(self, tree, faults):
        (tree.root / "train/JPEGImages/zoo/00005.jpg").unlink()
        (tree.root / "train/Annotations/ant/00010.png").unlink()
        wanted = [
            ("missing", "train/JPEGImages/zoo/00005.jpg"),
            ("missing", "train/Annotations/ant/00010.png"),
        ]
        assert self.found(faults) == self.found(faults, quick=True) == wanted

    def test_damaged_files(self, tree, faults):
        frame, mask = (
            tree.root / "train/JPEGImages/zoo/00005.jpg",
            tree.root / "train/Annotations/zoo/00005.png",
        )
        for path in (frame, mask):
            path.write_bytes(path.read_bytes()[:-30])
        wanted = [
            ("damaged", "train/JPEGImages/zoo/00005.jpg"),
            ("damaged", "train/Annotations/zoo/00005.png"),
        ]
        assert self.found(faults) == wanted
        # Their headers are whole, and a quick look decodes nothing.
        assert self.found(faults, quick=True) == []
        frame.write_bytes(b"")
        assert self.found(faults, quick=True) == [("damaged", "train/JPEGImages/zoo/00005.jpg")]

    def test_a_mask_of_853_columns_beside_a_frame_of_854(self, tree, faults, opened):
        for video in ("zoo", "ant"):
            tree.frames("train/JPEGImages", video, size=(480, 854))
            tree.label_maps("train/Annotations", video, (1, 2, 3), size=(480, 854))
        tree.label_maps("train/Annotations", "ant", (1, 2, 3), frames=("00000",), size=(480, 853))
        wanted = ("size", "train/Annotations/ant/00000.png")
        assert self.found(faults) == self.found(faults, quick=True) == [wanted]
        with pytest.raises(InputError, match=r"853x480.*854x480"):
            opened("refytvos", "train").ground_truth("ant", "0")

    def test_frames_of_two_sizes(self, tree, faults):
        tree.frame("train/JPEGImages/ant/00005.jpg", size=(12, 18))
        assert self.found(faults) == [("size", "train/JPEGImages/ant/00005.jpg")]

    def test_palette_that_became_luminance(self, tree, faults):
        path = tree.root / "train/Annotations/ant/00005.png"
        Image.open(path).convert("L").save(path)
        assert np.unique(np.asarray(Image.open(path)))[1] == 38
        ((kind, file, text),) = faults("refytvos", "train")
        assert (kind, file) == ("encoding", "train/Annotations/ant/00005.png") and "converted to grey" in text

    def test_masks_of_0_and_255_beside_ids(self, tree, faults, opened):
        for t, frame in enumerate(("00000", "00005", "00010")):
            tree.mask(f"train/Annotations/ant/{frame}.png", np.zeros((12, 20), bool) | (t == 1))
        found = faults("refytvos", "train")
        assert [f[:2] for f in found] == [("encoding", "train/Annotations/ant/00005.png")]
        assert "0/255" in found[0][2]
        with pytest.raises(InputError, match="0/255"):
            opened("refytvos", "train").ground_truth("ant", "0")

    def test_grey_frame(self, tree, faults):
        Image.new("L", (20, 12)).save(tree.root / "train/JPEGImages/zoo/00000.jpg")
        assert self.found(faults) == [("encoding", "train/JPEGImages/zoo/00000.jpg")]

    def test_object_that_no_label_map_holds_would_score_100_when_empty(self, tree, faults, opened):
        tree.label_maps("train/Annotations", "ant", (1, 2))
        ((kind, file, text),) = faults("refytvos", "train")
        assert (kind, file) == ("truth", "train/Annotations/ant") and "Object 3" in text
        with pytest.raises(InputError, match=r"Object 3 .*would score 100"):
            opened("refytvos", "train").ground_truth("ant", "4")

    def test_every_fault_of_the_metadata_is_found_in_one_go(self, tree, faults, opened):
        def spoil(content):
            zoo, ant = content["videos"]["zoo"], content["videos"]["ant"]
            zoo["expressions"]["1"] = {"obj_id": "1"}
            zoo["expressions"]["2"]["obj_id"] = "red"
            zoo["expressions"]["3"]["exp"] = " "
            zoo["expressions"]["4"]["exp"] = "na\u00c3\u00afve dog"
            ant["frames"].append("00005")
            content["videos"]["../up"] = {"expressions": {}, "frames": ["0"]}

        tree.change("meta_expressions/train/meta_expressions.json", spoil)
        found = faults("refytvos", "train")
        name = "meta_expressions/train/meta_expressions.json"
        assert sorted((kind, file) for kind, file, _ in found) == [
            ("duplicate", name),
            ("encoding", ""),
            ("id", name),
            ("id", name),
            ("schema", ""),
            ("schema", name),
        ]
        with pytest.raises(InputError, match=r'no "exp" with a sentence'):
            opened("refytvos", "train")

    def test_keys_that_stand_twice(self, tree, faults):
        path = tree.root / "meta_expressions/train/meta_expressions.json"
        path.write_text(path.read_text().replace('"ant"', '"zoo"'))
        assert self.found(faults) == [("duplicate", "meta_expressions/train/meta_expressions.json")]


def test_labels_can_be_read_frame_by_frame_exactly_where_they_are_public(tree, opened):
    tree.write("ytvos")
    dataset = opened("refytvos", "train")
    whole = dataset.label_maps("zoo")
    assert all((dataset.label_map("zoo", t) == whole[t]).all() for t in range(3))
    assert (dataset.ground_truth("zoo", "5").masks == (whole == dataset.label_ids("zoo", "5")[0])).all()
    before = [dataset.truth_fingerprint(v) for v in ("zoo", "ant")]
    path = tree.root / "train/Annotations/zoo/00005.png"
    os.utime(path, ns=(1, 1))
    after = [dataset.truth_fingerprint(v) for v in ("zoo", "ant")]
    assert after[0] != before[0] and after[1] == before[1]
    tree.write("ytvos", "valid", (min(pinned_ids()),), hidden=True)
    hidden = opened("refytvos")
    assert isinstance(dataset, LabelledDataset) and not isinstance(hidden, LabelledDataset)
    assert not hasattr(hidden, "label_map")


def test_a_training_sentence_without_obj_id_is_a_fault(tree, opened, faults):
    tree.write("ytvos")
    name = "meta_expressions/train/meta_expressions.json"
    tree.change(name, lambda c: c["videos"]["zoo"]["expressions"]["3"].pop("obj_id"))
    assert [f[:2] for f in faults("refytvos", "train")] == [("id", name)]
    with pytest.raises(InputError, match=r"expression '3' of video 'zoo' is None"):
        opened("refytvos", "train")
