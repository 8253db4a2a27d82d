"""A2D-Sentences on copies made by the published schemas."""

import pickle

import h5py
import numpy as np
import pytest

from refseg.bench.datacheck import check_dataset
from refseg.bench.errors import InputError
from refseg.bench.reading import ReadAhead
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetRequest
from refseg.datasets import a2d as module
from refseg.datasets import clips

MASKS = "text_annotations/a2d_annotation_with_instances"


def check(copy, **options):
    report = check_dataset(DatasetRequest("a2d", None, str(copy.root)), workers=1, **options)
    report["problems"] = [p for p in report["problems"] if p["kind"] != "count"]
    assert report["faults"].pop("count") == 2, "rows of both lists"
    return report


def grey(frame):
    return frame.reshape(-1, 3).mean(axis=0)


class TestReading:
    def test_clips_are_videos_of_their_labelled_frames(self, a2d):
        videos = a2d.write().open().videos()
        assert [(v.id, v.frame_ids, v.size) for v in videos] == [
            ("-aB_1", ("00010", "00015"), (24, 32)),
            ("zoo", ("00003",), (24, 32)),
        ]
        said = [(e.id, e.text, e.object_ids) for e in videos[0].expressions]
        assert said == [("0", "a man in red, running", ("0",)), ("1", "the dog", ("1",))]
        # An instance that no frame shows cannot be scored, so its sentence is left out, as by every reader.
        assert [e.id for e in videos[1].expressions] == ["2"]

    def test_splits_follow_videoset_without_the_clips_that_the_authors_left_out(self, a2d):
        a2d.write()
        assert [v.id for v in a2d.open("train").videos()] == ["tr"]
        assert "gone" not in [v.id for v in a2d.open("test").videos()]
        assert a2d.open().info.split == "test"
        with pytest.raises(InputError, match="Unknown split of a2d"):
            a2d.open("val")

    def test_frames_are_counted_from_1_and_rgb(self, a2d):
        video = a2d.write().open().videos()[0]
        for i, number in enumerate((10, 15)):
            assert grey(video.read(i)) == pytest.approx(12 * (number - 1), abs=6)
        path = a2d.root / "Release/clips320H/-aB_1.mp4"
        write_red(path)
        red = a2d.open().videos()[0].read(1)[12, 16]
        assert red[0] > 150 and red[2] < 60

    def test_frames_are_exact_in_any_order(self, a2d):
        video = a2d.write().open(frames="all").videos()[0]
        assert video.frame_ids == tuple(f"{n:05d}" for n in range(1, 16))
        in_order = [video.read(i) for i in range(15)]
        assert [round(grey(f)[0] / 12) for f in in_order] == list(range(15))
        fresh = a2d.open(frames="all").videos()[0]
        for i in (14, 0, 7, 7, 3):
            assert (fresh.read(i) == in_order[i]).all()

    def test_threads_that_read_ahead_get_their_frames_in_one_pass_a_clip(self, a2d, draw, monkeypatch):
        for n in range(6):
            a2d.videoset.append(f"clip{n},1,2,3,4,5,6,7,1")
            a2d.sentences.append((f"clip{n}", "0", "it"))
            a2d.masks[f"clip{n}"] = {number: {0: draw.box(0, 0, 4, 4)} for number in (2, 9, 16)}
        opened = []
        open_clip = clips._Clip._open
        monkeypatch.setattr(
            clips._Clip, "_open", lambda self: (opened.append(self._name), open_clip(self))[1]
        )
        with ReadAhead(a2d.write().open().videos()) as videos:
            for video in videos:
                for i, name in enumerate(video.frame_ids):
                    assert grey(video.read(i)) == pytest.approx(12 * (int(name) - 1), abs=6)
        assert sorted(opened) == sorted(f"Release/clips320H/{v.id}.mp4" for v in videos)

    @pytest.mark.parametrize("frames", ["labelled", "all"])
    def test_only_frames_that_hold_the_instance_count(self, a2d, draw, frames):
        dataset = a2d.write().open(frames=frames)
        video = dataset.videos()[0]
        man, dog = (dataset.ground_truth("-aB_1", i) for i in "01")
        labelled = {"0": (10,), "1": (10, 15)}
        for truth, key in ((man, "0"), (dog, "1")):
            void = truth.void if truth.void is not None else np.zeros_like(truth.masks)
            for t, name in enumerate(video.frame_ids):
                assert void[t].all() != (int(name) in labelled[key]) and void[t].any() == void[t].all()
        at = {name: t for t, name in enumerate(video.frame_ids)}
        assert (man.masks[at["00010"]] == draw.box(2, 3, 9, 20)).all()
        assert (dog.masks[at["00015"]] == draw.box(18, 2, 26, 6)).all()
        assert man.masks.sum() == draw.box(2, 3, 9, 20).sum()

    def test_masks_are_transposed_also_for_one_instance(self, a2d, draw):
        a2d.write()
        stored = h5py.File(a2d.h5("-aB_1", 15))["reMask"]
        assert stored.shape == (32, 24), "one instance: no first axis, width before height"
        assert (a2d.open().ground_truth("-aB_1", "1").masks[1] == draw.box(18, 2, 26, 6)).all()

    def test_options_are_in_the_fingerprint(self, a2d):
        labelled, everything = a2d.write().open().info, a2d.open(frames="all").info
        assert labelled.fingerprint != everything.fingerprint
        with pytest.raises(InputError, match="frames='some'"):
            a2d.open(frames="some")

    def test_the_other_folder_of_clips(self, a2d):
        assert grey(a2d.write(clips="Release/CLIPS320").open().videos()[1].read(0))[0] == pytest.approx(
            16, abs=5
        )

    def test_it_goes_to_other_processes(self, a2d):
        dataset = a2d.write().open()
        frame = dataset.videos()[0].read(0)
        other = pickle.loads(pickle.dumps(dataset))
        assert (other.videos()[0].read(0) == frame).all()
        assert (other.ground_truth("zoo", "2").masks == dataset.ground_truth("zoo", "2").masks).all()


def write_red(path):
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (32, 24))
    for _ in range(20):
        writer.write(np.full((24, 32, 3), (0, 0, 255), np.uint8))
    writer.release()


def test_files_of_masks_are_looked_into_once(a2d, monkeypatch):
    looks = []
    look = module._look
    monkeypatch.setattr(module, "_look", lambda root, name: (looks.append(name), look(root, name))[1])
    first = a2d.write().open().info
    assert len(looks) == 3
    assert a2d.open().info == first and len(looks) == 3
    a2d.masks["zoo"][3] = {5: a2d.masks["zoo"][3][2]}
    a2d.write()
    assert [e.id for e in a2d.open().videos()[1].expressions] == ["5"]


class TestFaults:
    def test_a_whole_copy_has_no_fault_but_its_counts(self, a2d):
        a2d.write()
        for quick in (True, False):
            assert check(a2d, quick=quick)["faults"] == {}

    def test_each_is_named_with_its_file(self, a2d, draw):
        a2d.masks["zoo"][9] = {2: draw.box(0, 0, 4, 4, size=(20, 32))}
        a2d.masks["zoo"][12] = {2: draw.box(0, 0, 0, 0)}
        a2d.masks["zoo"][14] = {2: draw.box(0, 0, 4, 4)}
        a2d.write()
        (a2d.root / "Release/clips320H/-aB_1.mp4").unlink()
        a2d.h5("zoo", 14).write_bytes(b"no HDF5")
        report = check(a2d)
        assert report["faults"] == {"missing": 1, "damaged": 1, "size": 1, "truth": 1}
        files = {p["kind"]: p["file"] for p in report["problems"]}
        assert files == {
            "missing": "Release/clips320H/-aB_1.mp4",
            "damaged": f"{MASKS}/zoo/00014.h5",
            "size": f"{MASKS}/zoo/00009.h5",
            "truth": f"{MASKS}/zoo/00012.h5",
        }
        assert check(a2d, quick=True)["faults"] == {"missing": 1, "damaged": 1}
        with pytest.raises(InputError, match=r"00014.h5 .* is damaged"):
            a2d.open()

    def test_clips_that_are_short_resized_or_no_video(self, a2d, draw):
        a2d.write()
        clips = a2d.root / "Release/clips320H"
        draw.write_clip(clips / "-aB_1.mp4", 12)
        draw.write_clip(clips / "zoo.mp4", 20, size=(48, 32))
        report = check(a2d)
        assert report["faults"] == {"damaged": 1, "size": 1}
        assert "ends after 12 frames; frame 15 is wanted" in report["problems"][0]["text"]
        assert "zoo.mp4" in report["problems"][1]["text"] and "32x48" in report["problems"][1]["text"]
        (clips / "zoo.mp4").write_bytes(b"no video")
        with pytest.raises(InputError, match="not a video that opencv can read"):
            a2d.open().videos()[1].read(0)

    @pytest.mark.parametrize(
        ("harm", "kind", "said"),
        [
            (
                lambda c: c.sentences.append(("zoo", "x", "a bird")),
                "schema",
                "line 9 is not video_id,instance_id",
            ),
            (
                lambda c: c.sentences.append(("zoo", "2", "a bird")),
                "duplicate",
                "second sentence about instance 2 of",
            ),
            (lambda c: c.videoset.append(c.videoset[3]), "duplicate", "line 5 is a second one about zoo"),
            (lambda c: c.videoset.append("odd,1,2"), "schema", "line 5 must have 9 columns"),
            (lambda c: c.videoset.append("new,1,2,3,4,5,6,7,2"), "schema", "the last 0 (train) or 1 (test)"),
            (
                lambda c: (c.videoset.append("bare,1,2,3,4,5,6,7,1"), c.sentences.append(("bare", "0", "a"))),
                "missing",
                f"{MASKS}/bare in",
            ),
        ],
    )
    def test_faults_of_the_lists(self, a2d, harm, kind, said):
        harm(a2d)
        a2d.write()
        with pytest.raises(InputError) as caught:
            a2d.open()
        assert said in str(caught.value)
        report = check(a2d)
        assert report["faults"] == {kind: 1} and said in report["problems"][0]["text"]

    def test_names_cannot_leave_the_folder(self, a2d):
        a2d.videoset.append("../../x,1,2,3,4,5,6,7,1")
        with pytest.raises(InputError, match="cannot name a file in its folder"):
            a2d.write().open()

    def test_masks_of_another_form_are_told(self, a2d):
        a2d.write()
        path = a2d.h5("zoo", 3)
        with h5py.File(path, "w") as file:
            file["instance"] = np.array([1.0, 2.0])
            file["reMask"] = np.zeros((32, 24), np.uint8)
        with pytest.raises(InputError, match=r"holds 2 instances and masks of shape \(1, 32, 24\)"):
            a2d.open()
        with h5py.File(path, "w") as file:
            file["instance"] = np.array([1.0])
            file.create_dataset("reMask", (1, 2**20, 2**20), np.uint8, chunks=True)
        with pytest.raises(InputError, match=r"reMask is \(1, 1048576, 1048576\)"):
            a2d.open()
        with h5py.File(path, "w") as file:
            file["other"] = np.zeros(3)
        with pytest.raises(InputError, match="damaged or not as published"):
            a2d.open()

    def test_the_tree_is_shown_where_something_is_missing(self, a2d):
        a2d.write()
        (a2d.root / "Release/videoset.csv").unlink()
        with pytest.raises(
            InputError, match=r"(?s)Release/videoset.csv is missing.*expected as\n.*<frame>.h5"
        ):
            a2d.open()

    def test_a_list_without_its_header_is_refused(self, a2d):
        path = a2d.write().root / "text_annotations/a2d_annotation.txt"
        path.write_text("zoo,2,bird\n")
        with pytest.raises(InputError, match="must begin with video_id, instance_id"):
            a2d.open()
        path.write_bytes(b"video_id,instance_id,query\nzoo,2,caf\xe9\n")
        with pytest.raises(InputError, match="is not UTF-8"):
            a2d.open()


@pytest.mark.parametrize("frames", ["labelled", "all"])
def test_a_run_scores_the_same_frames_whatever_the_method_is_shown(a2d, tmp_path, frames):
    a2d.write()
    for method, score in (("oracle", 100.0), ("full", None)):
        request = RunRequest(
            method,
            "a2d",
            root=str(a2d.root),
            out=str(tmp_path / method),
            options={"dataset.frames": frames},
            protocols=("ris/per_sentence",),
            page=False,
        )
        result = run(request)
        found = {(i["video"], i["expression"]): (i["intersection"], i["union"]) for i in result["items"]}
        pixels = 24 * 32
        assert [u for _, u in found.values()] == (
            [119, 64, 10] if method == "oracle" else [pixels, 2 * pixels, pixels]
        )
        assert score is None or result["metrics"]["mIoU"] == score
