"""Long-RVOS and data of one's own."""

import shutil

import pytest

from refseg.bench.errors import InputError


class TestLongRvos:
    @pytest.fixture(autouse=True)
    def _whole(self, tree, faults):
        tree.write("longrvos")
        assert faults("longrvos") == []

    def test_a_frame_without_a_mask_does_not_show_the_object(self, opened, scene):
        dataset = opened("longrvos")
        truth = dataset.ground_truth("zoo", "1").masks
        assert truth.any((1, 2)).tolist() == [True, False, False] and (truth[0] == scene.block(1, 0)).all()
        assert dataset.ground_truth("zoo", "2").masks.any((1, 2)).all()
        assert [e.attributes["type"] for e in dataset.videos()[0].expressions] == [
            "static",
            "dynamic",
            "hybrid",
        ]

    def test_an_object_without_any_mask_is_a_fault(self, tree, opened, faults, scene):
        shutil.rmtree(tree.root / "valid/Annotations/zoo/2")
        assert [f[:2] for f in faults("longrvos", quick=True)] == [("missing", "valid/Annotations/zoo/2")]
        with pytest.raises(InputError, match="would score 100"):
            opened("longrvos").ground_truth("zoo", "1")
        tree.mask("valid/Annotations/zoo/2/00000.png", scene.block(1, 0) & False)
        assert [f[:2] for f in faults("longrvos")] == [("truth", "valid/Annotations/zoo/2")]

    def test_masks_that_hold_ids_are_refused(self, tree, faults, scene):
        tree.palette("valid/Annotations/zoo/1/00005.png", scene.labels((1, 2), 1))
        assert [f[:2] for f in faults("longrvos")] == [("encoding", "valid/Annotations/zoo/1/00005.png")]

    def test_object_ids_cannot_leave_the_folder(self, tree, opened):
        name = "valid/meta_expressions.json"
        tree.change(name, lambda c: c["videos"]["zoo"]["expressions"]["0"].update(obj_id="../../secret"))
        with pytest.raises(InputError, match="object id"):
            opened("longrvos").ground_truth("zoo", "0")

    def test_test_labels_may_be_hidden(self, tree, opened):
        tree.write("longrvos", "test")
        shutil.rmtree(tree.root / "test/Annotations")
        assert opened("longrvos", "test").ground_truth("zoo", "0") is None


class TestFolder:
    def test_any_names_and_no_list_of_frames(self, tree, opened, faults, scene):
        names = ("2", "10", "1")
        said = {"dog-left": {"exp": "der Hund links", "obj_id": "2"}}
        tree.json(
            "meta_expressions/mine/meta_expressions.json", {"videos": {"mein video": {"expressions": said}}}
        )
        for name in names:
            tree.frame(f"mine/JPEGImages/mein video/{name}.png", int(name) % 7)
            tree.palette(f"mine/Annotations/mein video/{name}.png", scene.labels((1, 2), int(name) % 3))
        dataset = opened("folder", version="dogs-3")
        (video,) = dataset.videos()
        assert video.frame_ids == ("1", "2", "10")
        assert (dataset.info.name, dataset.info.version, dataset.info.split) == ("folder", "dogs-3", "mine")
        assert (dataset.ground_truth("mein video", "dog-left").masks[1] == scene.block(1, 2)).all()
        assert faults("folder") == [] and faults("folder", quick=True) == []

    def test_labels_are_hidden_without_annotations(self, tree, opened):
        tree.write("ytvos", "val")
        shutil.rmtree(tree.root / "val/Annotations")
        assert opened("folder").ground_truth("zoo", "0") is None

    def test_several_splits_must_be_told_apart(self, tree, opened):
        tree.write("ytvos", "a")
        tree.write("ytvos", "b")
        with pytest.raises(InputError, match=r"splits a, b; give --split"):
            opened("folder")
        assert opened("folder", "b").info.split == "b"
        with pytest.raises(InputError, match=r"Unknown split .*'c'.*Known: a, b"):
            opened("folder", "c")

    def test_a_folder_of_something_else_shows_the_tree(self, tree, opened):
        tree.root.mkdir()
        with pytest.raises(InputError, match=r"(?s)holds no split.*meta_expressions/<split>"):
            opened("folder")

    def test_a_video_without_frames_is_told(self, tree, opened):
        tree.json("meta_expressions/mine/meta_expressions.json", {"videos": {"v": {"expressions": {}}}})
        (tree.root / "mine/JPEGImages").mkdir(parents=True)
        with pytest.raises(InputError, match="holds no frame"):
            opened("folder").videos()[0]
