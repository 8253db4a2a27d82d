"""Ref-DAVIS17 on small trees made here: every trap of the layout, and what is said about broken copies."""

import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest, LabelledDataset
from refseg.datasets.refdavis import build

H, W = 12, 20
SHADES = (38, 75, 113)
"""What DAVIS's first three colours become in grey."""


def write_png(path, labels, mode="P"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0] * 756)
    image.save(path)


def write_jpg(path, seed=0, size=(H, W), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = () if mode == "L" else (3,)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8)
    Image.fromarray(noise, mode).save(path, quality=95)


def write_meta(root, videos):
    path = root / "meta_expressions/valid/meta_expressions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"videos": videos}))
    return path


def label_map(*ids):
    """Objects side by side, four columns each."""
    labels = np.zeros((H, W), np.uint8)
    for k, i in enumerate(ids):
        labels[2:9, 4 * k : 4 * k + 4] = i
    return labels


def sentences(*object_ids):
    """Four sentences an object, ids as the layout has them."""
    return {
        str(4 * index + slot): {"exp": f"object {obj} by {slot}", "obj_id": obj}
        for index, obj in enumerate(object_ids)
        for slot in range(4)
    }


@pytest.fixture
def root(tmp_path):
    """Videos "zoo" (3 objects, 12 sentences, 3 frames) and "ant" (1 object, 2 frames)."""
    frames = {"zoo": ["00000", "00001", "00002"], "ant": ["00000", "00001"]}
    write_meta(
        tmp_path,
        {
            "zoo": {"expressions": sentences("1", "2", "3"), "frames": frames["zoo"]},
            "ant": {"expressions": sentences("1"), "frames": frames["ant"]},
        },
    )
    for video, names in frames.items():
        for i, name in enumerate(names):
            write_jpg(tmp_path / f"valid/JPEGImages/{video}/{name}.jpg", i)
            # Object 3 is not there in the first frame.
            ids = ((1, 2, 3) if i else (1, 2)) if video == "zoo" else (1,)
            write_png(tmp_path / f"valid/Annotations/{video}/{name}.png", label_map(*ids))
    return tmp_path


def opened(root, split=None):
    return build(DatasetRequest("refdavis17", split=split, root=str(root)))


def change_meta(root, change):
    path = root / "meta_expressions/valid/meta_expressions.json"
    content = json.loads(path.read_text())
    change(content["videos"])
    path.write_text(json.dumps(content))


class TestOpening:
    def test_videos_stand_in_the_file_s_order_with_their_facts(self, root):
        zoo, ant = opened(root).videos()
        assert (zoo.id, ant.id) == ("zoo", "ant")
        assert zoo.frame_ids == ("00000", "00001", "00002")
        assert zoo.size == (H, W)
        assert len(ant) == 2

    def test_slot_is_the_annotator_and_expression_id_is_not_the_object_s(self, root):
        expressions = opened(root).videos()[0].expressions
        assert [e.annotator for e in expressions] == [0, 1, 2, 3] * 3
        assert [e.object_ids for e in expressions] == [(o,) for o in "111122223333"]
        assert expressions[5].text == "object 2 by 1"

    def test_ids_are_ordered_as_numbers(self, root):
        def shuffled(videos):
            items = list(videos["zoo"]["expressions"].items())
            random.Random(0).shuffle(items)
            videos["zoo"]["expressions"] = dict(items)
            videos["zoo"]["frames"].reverse()

        change_meta(root, shuffled)
        zoo = opened(root).videos()[0]
        assert [e.id for e in zoo.expressions] == [str(i) for i in range(12)]
        assert zoo.frame_ids == ("00000", "00001", "00002")

    def test_objects_out_of_order_keep_their_own_ids(self, root):
        change_meta(root, lambda v: v["zoo"].update(expressions=sentences("3", "1", "2")))
        dataset = opened(root)
        assert [e.object_ids[0] for e in dataset.videos()[0].expressions] == list("333311112222")
        assert (dataset.ground_truth("zoo", "0").masks == (dataset.label_maps("zoo") == 3)).all()

    def test_without_obj_id_the_object_follows_from_the_id(self, root):
        def bare(videos):
            for expression in videos["zoo"]["expressions"].values():
                del expression["obj_id"]

        change_meta(root, bare)
        assert [e.object_ids[0] for e in opened(root).videos()[0].expressions] == list("111122223333")

    def test_obj_id_as_a_number_is_read(self, root):
        change_meta(root, lambda v: v["ant"]["expressions"]["0"].update(obj_id=1))
        assert opened(root).videos()[1].expressions[0].object_ids == ("1",)

    def test_info_names_protocols_and_published_counts(self, root):
        info = opened(root).info
        assert info.protocols == ("refdavis/published", "refdavis/per_expression")
        assert (info.expected_videos, info.expected_expressions) == (30, 244)
        assert (info.name, info.version, info.split) == ("refdavis17", "17", "valid")

    def test_val_is_valid(self, root):
        assert opened(root, "val").info == opened(root, "valid").info == opened(root).info

    def test_nothing_is_decoded_on_opening(self, root):
        # Headers stay whole, so only decoding would fail.
        for path in root.glob("valid/JPEGImages/*/*.jpg"):
            path.write_bytes(path.read_bytes()[:-200])
        for path in root.glob("valid/Annotations/*/*.png"):
            path.write_bytes(b"")
        dataset = opened(root)
        assert dataset.videos()[0].size == (H, W)
        assert dataset.info.fingerprint

    def test_fingerprints_change_with_metadata_and_with_a_videos_own_frames(self, root):
        def prints():
            dataset = opened(root)
            return {"": dataset.info.fingerprint, **{v.id: v.fingerprint for v in dataset.videos()}}

        first = prints()
        (root / "notes.txt").write_text("x")
        (root / "valid/JPEGImages/zoo/Thumbs.db").write_text("x")
        assert prints() == first
        write_jpg(root / "valid/JPEGImages/zoo/00001.jpg", 7, (H, W + 8))
        second = prints()
        assert [k for k in first if second[k] != first[k]] == ["zoo"]
        change_meta(root, lambda v: v["ant"]["expressions"]["0"].update(exp="else"))
        assert prints()[""] != first[""]

    def test_a_dataset_goes_to_another_process(self, root):
        dataset = opened(root)
        dataset.label_maps("zoo")
        copy = pickle.loads(pickle.dumps(dataset))
        assert list(copy.videos()) == list(dataset.videos())
        assert (copy.label_maps("zoo") == dataset.label_maps("zoo")).all()
        assert (copy.videos()[0].read(1) == dataset.videos()[0].read(1)).all()


class TestTruth:
    def test_masks_are_the_pixels_of_the_object_s_index(self, root):
        dataset = opened(root)
        assert isinstance(dataset, LabelledDataset)
        truth = dataset.ground_truth("zoo", "4")
        assert truth.masks.dtype == bool
        assert (truth.masks[2] == (label_map(1, 2, 3) == 2)).all()
        assert truth.void is None

    def test_object_absent_in_frame_0_is_there_later(self, root):
        masks = opened(root).ground_truth("zoo", "8").masks
        assert masks.any((1, 2)).tolist() == [False, True, True]

    def test_void_pixels_are_told_apart(self, root):
        labels = label_map(1)
        labels[0] = 255
        write_png(root / "valid/Annotations/ant/00001.png", labels)
        dataset = opened(root)
        truth = dataset.ground_truth("ant", "0")
        assert truth.void is not None and truth.void.sum() == W
        assert not (truth.masks & truth.void).any()
        assert (dataset.label_maps("ant")[1] == labels).all()

    def test_grey_png_with_small_ids_is_read(self, root):
        write_png(root / "valid/Annotations/ant/00000.png", label_map(1), mode="L")
        assert opened(root).ground_truth("ant", "0").masks[0].sum() == 28

    def test_only_the_last_video_is_kept_and_it_cannot_be_written(self, root):
        dataset = opened(root)
        first = dataset.label_maps("zoo")
        assert dataset.label_maps("zoo") is first
        assert dataset.label_maps("ant") is not first
        assert dataset.label_maps("zoo") is not first
        with pytest.raises(ValueError, match="read-only"):
            first[0, 0, 0] = 1

    @pytest.mark.parametrize("shade", SHADES)
    def test_palette_turned_into_grey_is_refused(self, root, shade):
        write_png(root / "valid/Annotations/ant/00001.png", label_map(shade), mode="L")
        with pytest.raises(InputError, match=rf"ant/00001.png.*value {shade}.*converted to grey"):
            opened(root).ground_truth("ant", "0")

    @pytest.mark.parametrize("mode", ["L", "P"])
    def test_0_255_masks_are_no_ids(self, root, mode):
        for i in range(2):
            write_png(root / f"valid/Annotations/ant/0000{i}.png", label_map(255), mode)
        with pytest.raises(InputError, match="0/255 mask"):
            opened(root).ground_truth("ant", "0")

    def test_coloured_labels_are_refused(self, root):
        path = root / "valid/Annotations/ant/00000.png"
        Image.open(path).convert("RGB").save(path)
        with pytest.raises(InputError, match=r"ant/00000.png.*mode RGB.*palette PNG"):
            opened(root).label_maps("ant")

    def test_another_size_than_the_frame_names_both(self, root):
        write_png(root / "valid/Annotations/ant/00001.png", label_map(1)[:, :-1])
        with pytest.raises(InputError, match=r"valid/Annotations/ant/00001.png.*19x12.*20x12"):
            opened(root).label_maps("ant")

    def test_an_object_that_is_nowhere_is_an_error_and_no_100(self, root):
        change_meta(root, lambda v: v["ant"].update(expressions=sentences("2")))
        with pytest.raises(InputError, match=r"Object 2 of video ant .* none of its 2 label maps"):
            opened(root).ground_truth("ant", "0")

    @pytest.mark.parametrize("cut", [None, 0, 30, -20])
    def test_missing_or_truncated_label_map_is_named(self, root, cut):
        path = root / "valid/Annotations/ant/00001.png"
        data = path.read_bytes()
        path.unlink()
        if cut is not None:
            path.write_bytes(data[:cut])
        with pytest.raises(InputError, match=r"valid/Annotations/ant/00001.png .*(missing|empty|damaged)"):
            opened(root).label_maps("ant")

    def test_unknown_names_are_told(self, root):
        with pytest.raises(InputError, match=r"Unknown video.*'zo'.*Did you mean 'zoo'"):
            opened(root).label_maps("zo")
        with pytest.raises(InputError, match=r"Unknown expression of video ant '9'"):
            opened(root).ground_truth("ant", "9")
        with pytest.raises(InputError, match="Unknown video"):
            opened(root).ground_truth("zo", "0")


class TestFrames:
    def test_frames_are_rgb(self, root):
        Image.new("RGB", (W, H), (250, 10, 30)).save(root / "valid/JPEGImages/ant/00001.jpg")
        frame = opened(root).videos()[1].read(1)
        assert frame.shape == (H, W, 3) and frame.dtype == np.uint8
        assert frame[..., 0].min() > 200 > 60 > frame[..., 1].max()

    @pytest.mark.parametrize("cut", [None, 0, 100, -60])
    @pytest.mark.parametrize("frame", [0, 1])
    def test_missing_or_truncated_frame_is_named_and_the_rest_reads(self, root, cut, frame):
        path = root / f"valid/JPEGImages/ant/0000{frame}.jpg"
        data = path.read_bytes()
        path.unlink()
        if cut is not None:
            path.write_bytes(data[:cut])
        zoo, ant = opened(root).videos()
        with pytest.raises(InputError, match=rf"valid/JPEGImages/ant/0000{frame}.jpg .*copy it again"):
            ant.read(frame)
        assert ant.read(1 - frame).shape == zoo.read(0).shape == (H, W, 3)

    def test_wrong_size_names_both(self, root):
        write_jpg(root / "valid/JPEGImages/ant/00001.jpg", 0, (H, W - 1))
        with pytest.raises(InputError, match=r"ant/00001.jpg.*19x12.*20x12"):
            opened(root).videos()[1].read(1)

    def test_grey_frame_is_refused(self, root):
        write_jpg(root / "valid/JPEGImages/ant/00001.jpg", 0, (H, W), "L")
        with pytest.raises(InputError, match=r"ant/00001.jpg.*mode L.*RGB"):
            opened(root).videos()[1].read(1)

    def test_a_video_without_any_frame_is_an_error(self, root):
        for path in root.glob("valid/JPEGImages/ant/*"):
            path.unlink()
        with pytest.raises(InputError, match=r"valid/JPEGImages/ant/00000.jpg is missing"):
            opened(root).videos()[1]


class TestRoots:
    def test_no_root_says_what_is_expected(self):
        with pytest.raises(InputError, match=r"(?s)--root DIR.*meta_expressions/valid/meta_expressions.json"):
            build(DatasetRequest("refdavis17"))

    @pytest.mark.parametrize("missing", ["", "meta_expressions", "valid/JPEGImages"])
    def test_missing_parts_show_the_tree(self, root, missing, tmp_path_factory):
        kept = tmp_path_factory.mktemp("copy") / "x"
        if missing:
            kept.mkdir()
            for part in ("meta_expressions", "valid/JPEGImages"):
                if part != missing:
                    (kept / part).parent.mkdir(exist_ok=True)
                    (kept / part).symlink_to(root / part)
        with pytest.raises(
            InputError, match=r"(?s)(missing in|does not exist).*JPEGImages/<video>/<frame>.jpg"
        ):
            opened(kept)

    def test_a_file_as_root(self, root):
        with pytest.raises(InputError, match="is a file"):
            opened(root / "meta_expressions/valid/meta_expressions.json")

    def test_a_part_of_the_raw_layout_is_told_what_is_missing(self, tmp_path):
        (tmp_path / "Davis17_annot1.txt").write_text('dog 1 "a dog"\n')
        with pytest.raises(
            InputError, match=r"(?s)ImageSets/2017/val.txt is missing.*Annotations_unsupervised"
        ):
            opened(tmp_path)

    def test_unknown_split_and_option(self, root):
        with pytest.raises(InputError, match="Unknown split of refdavis17 'tset'"):
            opened(root, "tset")
        with pytest.raises(InputError, match="Unknown option of dataset refdavis17 'fast'"):
            build(DatasetRequest("refdavis17", root=str(root), options={"fast": "1"}))


class TestMetadata:
    def test_broken_json_names_file_line_and_column(self, root):
        path = root / "meta_expressions/valid/meta_expressions.json"
        path.write_text('{"videos": {\n  "zoo": oops}}')
        with pytest.raises(InputError, match=r"meta_expressions.json.*line 2, column 10"):
            opened(root)

    def test_not_utf8(self, root):
        (root / "meta_expressions/valid/meta_expressions.json").write_bytes(b'{"videos": "\xe9"}')
        with pytest.raises(InputError, match="not UTF-8"):
            opened(root)

    def test_byte_order_mark_is_passed_over(self, root):
        path = root / "meta_expressions/valid/meta_expressions.json"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert len(opened(root).videos()) == 2

    def test_a_key_twice_is_refused(self, root):
        path = root / "meta_expressions/valid/meta_expressions.json"
        path.write_text('{"videos": {"zoo": {}, "zoo": {}}}')
        with pytest.raises(InputError, match="'zoo' twice"):
            opened(root)

    @pytest.mark.parametrize(
        "content", ["[]", "{}", '{"videos": []}', '{"videos": {}}', '{"videos": {"a": 1}}', "[" * 100000]
    )
    def test_another_form_is_refused(self, root, content):
        (root / "meta_expressions/valid/meta_expressions.json").write_text(content)
        with pytest.raises(InputError, match=r"meta_expressions.json"):
            opened(root)

    @pytest.mark.parametrize(
        "change",
        [
            {"frames": []},
            {"frames": None},
            {"frames": [1, 2]},
            {"frames": ["00000", "00000"]},
            {"expressions": ["a"]},
            {"expressions": {"0": "a"}},
            {"expressions": {"0": {"obj_id": "1"}}},
            {"expressions": {"0": {"exp": "a", "obj_id": ["1"]}}},
            {"expressions": {"0": {"exp": "a", "obj_id": True}}},
            {"expressions": {"0": {"exp": "a", "obj_id": "0"}}},
            {"expressions": {"0": {"exp": "a", "obj_id": "255"}}},
            {"expressions": {"0": {"exp": "a", "obj_id": "dog"}}},
            {"expressions": {"first": {"exp": "a", "obj_id": "1"}}},
            {"expressions": {"0": {"exp": "a", "obj_id": "1"}, "4": {"exp": "b", "obj_id": "1"}}},
        ],
    )
    def test_a_wrong_field_is_named_with_its_video(self, root, change):
        change_meta(root, lambda v: v["ant"].update(change))
        with pytest.raises(InputError, match=r"meta_expressions.json.*'ant'"):
            opened(root)

    @pytest.mark.parametrize(
        "bad", ["../zoo", "/etc", "a/b", "a\\b", "..", ".", "", "C:", "a\nb", " a", "x" * 300]
    )
    @pytest.mark.parametrize("what", ["video", "frame", "expression"])
    def test_ids_that_leave_the_folder_are_refused(self, root, bad, what):
        def change(videos):
            if what == "video":
                videos[bad] = videos.pop("ant")
            elif what == "frame":
                videos["ant"]["frames"] = ["00000", bad]
            else:
                videos["ant"]["expressions"] = {bad: {"exp": "a", "obj_id": "1"}}

        change_meta(root, change)
        with pytest.raises(InputError, match="cannot name a file"):
            opened(root)


def test_no_frame_outside_the_root_is_reached_by_a_name(root):
    """The paths that are read stand below the root."""
    video = opened(root).videos()[0]
    names = video.read.args[1]
    assert all((root / n).resolve().is_relative_to(Path(root).resolve()) for n in names)
