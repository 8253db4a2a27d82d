"""JHMDB-Sentences on copies made by the published schemas."""

import json
import pickle

import numpy as np
import pytest
import scipy.io
from PIL import Image

from refseg.bench.datacheck import check_dataset
from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest


def check(copy, **options):
    report = check_dataset(DatasetRequest("jhmdb", None, str(copy.root)), workers=1, **options)
    report["problems"] = [p for p in report["problems"] if p["kind"] != "count"]
    assert report["faults"].pop("count") == 4
    return report


def test_clips_are_videos_of_their_three_scored_frames(jhmdb):
    dataset = jhmdb.write().open()
    videos = dataset.videos()
    assert [(v.id, v.frame_ids, v.size) for v in videos] == [
        ("Walk_u_1", ("00002", "00005", "00007"), (24, 32)),
        ("swing_2", ("00001", "00003", "00004"), (24, 32)),
    ]
    assert [(e.id, e.text, e.object_ids) for e in videos[0].expressions] == [("0", "a man, walking", ("1",))]
    info = dataset.info
    assert (info.split, info.expected_videos, info.expected_expressions, info.expected_frames) == (
        "test",
        928,
        928,
        2784,
    )


def test_frames_and_masks_are_counted_from_1(jhmdb):
    dataset = jhmdb.write().open()
    truth = dataset.ground_truth("Walk_u_1", "0")
    assert truth.void is None
    for i, number in enumerate((2, 5, 7)):
        assert dataset.videos()[0].read(i)[0, 0].tolist() == [number, 0, 0]
        assert (truth.masks[i] == jhmdb.mask(number)).all()


def test_the_whole_clip_is_shown_up_to_its_last_scored_frame(jhmdb):
    dataset = jhmdb.write().open(frames="all")
    video = dataset.videos()[1]
    assert video.frame_ids == ("00001", "00002", "00003", "00004")
    truth = dataset.ground_truth("swing_2", "0")
    assert (
        truth.void.any(axis=(1, 2)).tolist()
        == truth.void.all(axis=(1, 2)).tolist()
        == [False, True, False, False]
    )
    assert not truth.masks[1].any() and (truth.masks[2] == jhmdb.mask(3)).all()
    assert dataset.info.fingerprint != jhmdb.open().info.fingerprint


def test_it_goes_to_other_processes(jhmdb):
    other = pickle.loads(pickle.dumps(jhmdb.write().open()))
    assert other.videos()[0].read(0)[0, 0, 0] == 2 and other.ground_truth("swing_2", "0").masks.any()


class TestFaults:
    def test_a_whole_copy_has_no_fault_but_its_counts(self, jhmdb):
        jhmdb.write()
        for quick in (True, False):
            assert check(jhmdb, quick=quick)["faults"] == {}

    def test_each_is_named_with_its_file(self, jhmdb):
        jhmdb.clips["third"] = ("walk", "a girl")
        jhmdb.scored["third"] = (1, 2, 6)
        jhmdb.write()
        frames = jhmdb.root / "Rename_Images/walk/Walk_u_1"
        (frames / "00005.png").unlink()
        Image.new("RGB", (30, 24)).save(frames / "00007.png")
        jhmdb.mat("swing_2").write_bytes(jhmdb.mat("swing_2").read_bytes()[:150])
        masks = np.zeros((24, 32, 7), np.uint8)
        masks[2:4, 2:4, :5] = 1
        scipy.io.savemat(jhmdb.mat("third"), {"part_mask": masks})
        report = check(jhmdb)
        assert report["faults"] == {"missing": 1, "damaged": 1, "size": 1, "truth": 1}
        assert {p["kind"]: p["file"].rsplit("/", 2)[-2:] for p in report["problems"]} == {
            "missing": ["Walk_u_1", "00005.png"],
            "size": ["Walk_u_1", "00007.png"],
            "damaged": ["swing_2", "puppet_mask.mat"],
            "truth": ["third", "puppet_mask.mat"],
        }
        assert check(jhmdb, quick=True)["faults"] == {"missing": 1, "size": 1}

    def test_masks_that_end_before_a_scored_frame(self, jhmdb):
        jhmdb.scored["Walk_u_1"] = (1, 2, 8)
        dataset = jhmdb.write().open()
        with pytest.raises(InputError, match="ends at frame 7; frame 8 is scored"):
            dataset.ground_truth("Walk_u_1", "0")
        assert check(jhmdb)["faults"] == {"truth": 1}

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ({"other": np.zeros(3)}, "it has no part_mask"),
            ({"part_mask": np.zeros((24, 32))}, r"its part_mask is \(24, 32\)"),
            ({"part_mask": np.array([["a"]], object)}, "its part_mask is"),
            ({"part_mask": np.ones((20, 32, 7))}, r"holds masks of \(20, 32\), its frames are \(24, 32\)"),
        ],
    )
    def test_masks_of_another_form_are_told(self, jhmdb, content, said):
        dataset = jhmdb.write().open()
        scipy.io.savemat(jhmdb.mat("swing_2"), content)
        with pytest.raises(InputError, match=said):
            dataset.ground_truth("swing_2", "0")
        jhmdb.mat("swing_2").unlink()
        with pytest.raises(InputError, match="there is no such file"):
            dataset.ground_truth("swing_2", "0")
        assert check(jhmdb, quick=True)["faults"] == {"missing": 1}

    @pytest.mark.parametrize(
        ("change", "kind", "said"),
        [
            (lambda rows: rows.pop(0) and rows.pop(0) and rows.pop(0), "id", "has the clip 'Walk_u_1'"),
            (lambda rows: rows.append(rows[0]), "duplicate", "lists frame 5 of Walk_u_1 twice"),
            (
                lambda rows: rows.append(["Walk_u_1", "00003.png"]),
                "schema",
                "must list [video, path of the frame",
            ),
            (lambda rows: rows.append(["Walk_u_1", "a/b/other/00003.png"]), "schema", "must list [video"),
            (lambda rows: rows.append(["swing_2", "a/walk/swing_2/00000.png"]), "schema", "must list [video"),
            (lambda rows: rows.append(7), "schema", "must list [video"),
        ],
    )
    def test_faults_of_the_list_of_frames(self, jhmdb, change, kind, said):
        path = jhmdb.write().root / "jhmdb_sentences_samples_metadata.json"
        rows = jhmdb.samples()
        change(rows)
        path.write_text(json.dumps(rows))
        with pytest.raises(InputError) as caught:
            jhmdb.open()
        assert said in str(caught.value)
        report = check(jhmdb)
        assert report["faults"] == {kind: 1} and said in report["problems"][0]["text"]

    def test_faults_of_the_sentences(self, jhmdb):
        path = jhmdb.write().root / "jhmdb_annotation.txt"
        path.write_text(path.read_text() + "swing_2,again\nswing_2,too,many\n")
        with pytest.raises(InputError, match="line 4 is a second sentence about 'swing_2'"):
            jhmdb.open()
        assert check(jhmdb)["faults"] == {"duplicate": 1, "schema": 1}

    def test_names_cannot_leave_the_folder(self, jhmdb):
        path = jhmdb.write().root / "jhmdb_sentences_samples_metadata.json"
        path.write_text(json.dumps([["..", "./x/walk/../00001.png"]]))
        with pytest.raises(InputError, match="cannot name a file in its folder"):
            jhmdb.open()

    def test_the_missing_list_is_said_where_it_is_published(self, jhmdb):
        (jhmdb.write().root / "jhmdb_sentences_samples_metadata.json").unlink()
        with pytest.raises(InputError, match=r"(?s)is missing in .*github.com/mttr2021/MTTR.*expected as\n"):
            jhmdb.open()
