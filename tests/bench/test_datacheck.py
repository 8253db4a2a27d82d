"""The check of a copy: counts, every file on all cores, what is named and what is counted, and what runs say of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from refseg.bench import registry
from refseg.bench.datacheck import QUICK_THREADS, check_dataset, describe_dataset
from refseg.bench.errors import DataError, Fault
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetRequest

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


@pytest.fixture
def davis(tmp_path):
    """A copy of the real videos that a test may break."""
    shutil.copytree(MINI, tmp_path / "davis")
    return tmp_path / "davis"


def check(root, **kwargs):
    return check_dataset(DatasetRequest("refdavis17", root=str(root)), **kwargs)


def named(report):
    return [(p["kind"], p["file"]) for p in report["problems"] if p["kind"] != "count"]


def test_what_is_published_and_not_there_is_counted(davis):
    report = check(davis, workers=1)
    assert report["faults"] == {"count": 4}
    assert [p["text"] for p in report["problems"]] == [
        "2 videos were found; 30 are published.",
        "2 objects were found; 61 are published.",
        "8 expressions were found; 244 are published.",
        "5 frames were found; 1999 are published.",
    ]


def test_faults_are_the_same_in_this_process_and_in_several(davis):
    (davis / "valid/JPEGImages/libby/00001.jpg").unlink()
    path = davis / "valid/Annotations/car-shadow/00001.png"
    path.write_bytes(path.read_bytes()[:-40])
    one, several = check(davis, workers=1), check(davis, workers=2)
    assert one == several
    assert named(one) == [
        ("missing", "valid/JPEGImages/libby/00001.jpg"),
        ("damaged", "valid/Annotations/car-shadow/00001.png"),
    ]


def test_first_faults_of_each_kind_are_named_and_the_rest_is_counted(davis):
    for path in davis.glob("valid/JPEGImages/*/*.jpg"):
        if path.stem != "00000":
            path.unlink()
    for path in davis.glob("valid/Annotations/*/*.png"):
        path.write_bytes(b"no png")
    report = check(davis, workers=1, keep=1)
    assert report["faults"] == {"missing": 3, "damaged": 5, "count": 4}
    assert len(report["problems"]) == 3 and len(named(report)) == 2


def test_a_video_that_cannot_be_opened_costs_only_itself(davis):
    for path in davis.glob("valid/JPEGImages/libby/*"):
        path.unlink()
    report = check(davis, workers=1)
    assert named(report) == [("missing", "valid/JPEGImages/libby/00000.jpg")]
    # It is in the metadata, so it counts as a video; its frames are not there to be counted.
    assert (report["videos"], report["frames"]) == (2, 2)


def test_quick_decodes_nothing(davis, monkeypatch):
    monkeypatch.setattr("refseg.datasets.videos.read_frame", lambda *a: pytest.fail("a frame is decoded"))
    monkeypatch.setattr(
        "refseg.datasets.label_maps.read_label_map", lambda *a: pytest.fail("labels are decoded")
    )
    assert check(davis, quick=True)["faults"] == {"count": 4} and QUICK_THREADS > 1


def test_a_dataset_without_a_check_of_its_own_is_read_through_its_interface(clips):
    class Bad(clips):
        def videos(self):
            good = super().videos()

            def read(i):
                if i == 1:
                    raise DataError(Fault("damaged", "x.jpg", "x.jpg is damaged"))
                return good[0].read(i)[:, :-1]

            return [replace(good[0], read=read), *good[1:]]

    with registry.registered("datasets", "bad", lambda r: Bad(r, hidden=False)):
        report = check_dataset(DatasetRequest("bad"))
    assert report["faults"] == {"damaged": 1, "size": 2}
    assert report["problems"][1]["text"].startswith("Frame 00000 of video ant is (6, 7, 3)")


class TestRunsSayWhatWasChecked:
    def run(self, davis, tmp_path):
        request = RunRequest(
            "empty", "refdavis17", root=str(davis), out=str(tmp_path / "run"), page=False, fresh=True
        )
        result = run(request)
        return result, json.loads((tmp_path / "run/run.json").read_text())

    def test_nothing_was_checked(self, davis, tmp_path):
        _, record = self.run(davis, tmp_path)
        assert record["dataset"]["checked"] is None and len(record["dataset"]["content"]) == 64

    def test_a_check_of_the_same_files_is_named_with_its_faults(self, davis, tmp_path):
        report = check(davis, quick=True)
        _, record = self.run(davis, tmp_path)
        checked = record["dataset"]["checked"]
        assert checked["quick"] is True and checked["faults"] == {"count": 4} and checked["when"]
        assert record["dataset"]["content"] == report["content"]

    def test_a_quick_look_takes_no_full_check_back(self, davis, tmp_path):
        check(davis, workers=1)
        check(davis, quick=True)
        assert self.run(davis, tmp_path)[1]["dataset"]["checked"]["quick"] is False
        (davis / "valid/JPEGImages/libby/00001.jpg").unlink()
        check(davis, quick=True)
        assert self.run(davis, tmp_path)[1]["dataset"]["checked"]["faults"] == {"missing": 1, "count": 4}

    @pytest.mark.parametrize(
        "file",
        [
            "valid/Annotations/libby/00001.png",
            "valid/JPEGImages/libby/00001.jpg",
            "meta_expressions/valid/meta_expressions.json",
        ],
    )
    def test_a_check_of_other_files_is_none(self, davis, tmp_path, file):
        check(davis, quick=True)
        with (davis / file).open("ab") as stream:
            stream.write(b"\n")
        _, record = self.run(davis, tmp_path)
        assert record["dataset"]["checked"] is None

    def test_a_damaged_receipt_is_none(self, davis, tmp_path):
        check(davis, quick=True)
        (receipt,) = (tmp_path / "cache/checks").iterdir()
        receipt.write_text("{")
        assert self.run(davis, tmp_path)[1]["dataset"]["checked"] is None

    def test_parts_of_a_split_are_marked_in_result_and_record(self, davis, tmp_path):
        result, record = self.run(davis, tmp_path)
        short = {"videos": [2, 30], "expressions": [8, 244], "frames": [5, 1999]}
        assert result["partial"] is record["partial"] is True
        assert result["coverage"] == record["coverage"] == short
        assert all(one["partial"] for one in result["also"])


def test_description_counts_objects_once_a_video(davis):
    facts = describe_dataset(registry.build_dataset(DatasetRequest("refdavis17", root=str(davis))))
    assert (facts["videos"], facts["objects"], facts["expressions"], facts["frames"]) == (2, 2, 8, 5)
