"""RefCOCO's family on copies made by the published schemas: what is read, what is refused, what a check names."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from refseg.bench.cards import find_card
from refseg.bench.cli import main
from refseg.bench.datacheck import check_dataset
from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetRequest
from refseg.datasets.refcoco import records


def check(copy, split=None, **options):
    request = DatasetRequest(copy.name, split, str(copy.root))
    report = check_dataset(request, workers=1, **options)
    # A copy of four references has not the published counts.
    report["faults"].pop("count", None)
    report["problems"] = [p for p in report["problems"] if p["kind"] != "count"]
    return report


class TestOpening:
    @pytest.mark.parametrize("protocol", [0, 2])
    def test_images_are_videos_of_one_frame_with_every_sentence(self, refer, protocol):
        videos = refer.write(protocol=protocol).open().videos()
        assert [(v.id, v.frame_ids, v.size) for v in videos] == [
            ("7", ("COCO_train2014_000000000007",), (24, 32)),
            ("10", ("COCO_train2014_000000000010",), (24, 32)),
        ]
        assert [(e.id, e.text, e.object_ids) for e in videos[0].expressions] == [
            ("0", "man in blue", ("100",)),
            ("1", "caf\xe9 owner", ("100",)),
            ("2", "lower right one", ("101",)),
        ]

    def test_raw_sentences_are_an_option_and_another_content(self, refer):
        cleaned, raw = refer.write().open(), refer.open(text="raw")
        assert raw.videos()[0].expressions[0].text == "Man in Blue."
        assert cleaned.info.fingerprint != raw.info.fingerprint

    def test_frames_are_rgb_also_where_the_jpeg_is_grey(self, refer):
        colour, grey = (v.read(0) for v in refer.write().open().videos())
        assert colour.shape == grey.shape == (24, 32, 3) and grey.dtype == np.uint8
        assert (grey[..., 0] == grey[..., 1]).all() and not (colour[..., 0] == colour[..., 1]).all()

    def test_truth_is_the_annotation_s_mask(self, refer, draw):
        dataset = refer.write().open()
        truth = dataset.ground_truth("7", "0")
        assert truth.void is None and truth.masks.shape == (1, 24, 32)
        assert (truth.masks[0] == draw.box(2, 3, 12, 9)).all()
        assert (
            dataset.ground_truth("7", "2").masks[0] == (draw.box(10, 4, 20, 12) | draw.box(16, 8, 26, 20))
        ).all()
        assert (
            dataset.ground_truth("10", "5").masks[0] == (draw.box(1, 1, 6, 5) | draw.box(20, 10, 30, 20))
        ).all()
        assert (refer.open("testB").ground_truth("11", "9").masks[0] == draw.box(0, 0, 4, 24)).all()

    def test_info_has_the_published_counts(self, refer):
        info = refer.write().open("testB").info
        assert (info.expected_videos, info.expected_expressions, info.expected_objects) == (750, 5095, 1810)
        assert info.protocols == ("ris/per_sentence",)

    @pytest.mark.parametrize("place", ["images/train2014", "train2014", "coco/train2014"])
    def test_images_lie_where_repositories_put_them(self, refer, place):
        assert refer.write(images=place).open().videos()[0].read(0).shape == (24, 32, 3)

    def test_the_root_may_be_the_dataset_s_own_folder(self, refer):
        refer.write()
        whole = refer.open().info.fingerprint
        refer.root = refer.folder
        assert refer.open().info.fingerprint == whole
        assert refer.open().videos()[0].read(0).shape == (24, 32, 3)

    def test_images_may_be_named(self, refer, tmp_path):
        refer.write(images="far/away")
        with pytest.raises(InputError, match=r"(?s)none of the usual places.*--set dataset.images=DIR"):
            refer.open()
        assert refer.open(images=str(refer.root / "far/away")).videos()[0].read(0).shape == (24, 32, 3)
        with pytest.raises(InputError, match="is no folder"):
            refer.open(images=str(tmp_path / "nowhere"))


class TestSplits:
    def test_google_s_splits_have_names_of_their_own(self, make_refer):
        copy = make_refer("refcocog", "umd")
        copy.refs["google"] = [r | {"split": "val"} for r in copy.refs["umd"][3:]]
        copy.write()
        assert [v.id for v in copy.open("val").videos()] == ["7", "10"]
        for dataset in (copy.open("google_val"), copy.open("val", split_by="google")):
            assert [v.id for v in dataset.videos()] == ["11"]
            assert (dataset.info.split, dataset.info.expected_expressions) == ("google_val", 9536)
        assert copy.open("test", split_by="umd").info.split == "test"

    @pytest.mark.parametrize(
        ("name", "split", "options", "said"),
        [
            ("refcoco", "tetsA", {}, "Did you mean 'testA'"),
            ("refcocog", "testA", {}, "Unknown split of refcocog 'testA'"),
            ("refcoco+", "google_val", {}, "Unknown split"),
            ("refcoco+", "val", {"split_by": "google"}, "Unknown split of refcoco\\+ 'google_val'"),
            ("refcoco", "val", {"split_by": "umd"}, "split_by=umd does not go with"),
            ("refcoco", "google_val", {"split_by": "unc"}, "split_by=unc does not go with"),
            ("refcoco", "val", {"split_by": "berkeley"}, "not one of"),
            ("refcoco", "google_val", {}, r"refs\(google\).p is missing"),
            ("refcoco", "testA", {}, r"no reference of split 'testA'; it holds testB, val"),
        ],
    )
    def test_wrong_splits_are_refused(self, make_refer, name, split, options, said):
        copy = make_refer(name, "umd" if name == "refcocog" else "unc").write()
        with pytest.raises(InputError, match=said):
            copy.open(split, **options)

    @pytest.mark.parametrize(
        ("name", "objects", "sentences"),
        [("refcoco", 50_000, 142_210), ("refcoco+", 49_856, 141_564), ("refcocog", 49_822, 95_010)],
    )
    def test_published_counts_add_up_to_the_datasets(self, name, objects, sentences):
        splits = find_card(name).splits
        own = [s for n, s in splits.items() if not n.startswith("google_")]
        assert (sum(s.objects for s in own), sum(s.expressions for s in own)) == (objects, sentences)
        google = [s for n, s in splits.items() if n.startswith("google_")]
        assert sum(s.objects for s in google) in (0, objects)


class TestGrefcoco:
    @pytest.fixture
    def copy(self, make_refer, draw):
        copy = make_refer("grefcoco")
        copy.annotations.append(draw.annotation(104, 7, draw.run_lengths(draw.box(0, 20, 32, 24)), iscrowd=1))
        copy.refs["unc"] = [
            draw.reference(1, [100, 101], 7, "val", (0, "both men")),
            draw.reference(2, [-1], 7, "val", (1, "the elephant")),
            draw.reference(3, [100], 7, "val", (2, "man")),
            draw.reference(4, [100, 104], 7, "val", (3, "man and crowd")),
            draw.reference(5, [102], 10, "val", (4, "crowd alone")),
        ]
        return copy.write()

    def test_sentences_have_none_one_or_several_targets(self, copy, draw):
        dataset = copy.open()
        said = {
            e.id: (e.object_ids, e.attributes["targets"]) for v in dataset.videos() for e in v.expressions
        }
        assert said["0"] == (("100", "101"), "several")
        assert said["1"] == ((), "none")
        assert said["2"] == (("100",), "one")
        man = draw.box(2, 3, 12, 9)
        both = man | draw.box(10, 4, 20, 12) | draw.box(16, 8, 26, 20)
        assert (dataset.ground_truth("7", "0").masks[0] == both).all()
        assert not dataset.ground_truth("7", "1").masks.any()
        assert (dataset.ground_truth("7", "2").masks[0] == man).all()

    def test_crowds_count_only_where_nothing_else_is_meant(self, copy, draw):
        dataset = copy.open()
        assert (dataset.ground_truth("7", "3").masks[0] == draw.box(2, 3, 12, 9)).all()
        assert dataset.ground_truth("10", "4").masks.any()

    def test_a_pickle_of_python_3_is_read_too(self, copy):
        path = copy.folder / "grefs(unc).json"
        (copy.folder / "grefs(unc).p").write_bytes(pickle.dumps(json.loads(path.read_text())))
        from_json = copy.open().info.fingerprint
        path.unlink()
        assert copy.open().info.fingerprint == from_json


class TestIndex:
    @pytest.fixture
    def reads(self, monkeypatch):
        """Counts readings of instances.json."""
        found = []
        read = records._read_instances
        monkeypatch.setattr(records, "_read_instances", lambda path: (found.append(path), read(path))[1])
        return found

    def index(self, tmp_path):
        (path,) = (tmp_path / "cache/indices").glob("*.zip")
        return path

    def test_metadata_is_read_once_for_all_splits(self, refer, reads):
        first = refer.write().open()
        for split in ("val", "testB", "val"):
            refer.open(split)
        assert len(reads) == 1
        again = refer.open()
        assert again.info == first.info
        assert (again.ground_truth("7", "2").masks == first.ground_truth("7", "2").masks).all()
        assert len(reads) == 1

    def test_changed_metadata_is_read_again_and_replaces_the_index(self, refer, reads, tmp_path):
        before = refer.write().open()
        old = self.index(tmp_path)
        refer.annotations[0]["segmentation"][0][0] = 4
        refer.write()
        after = refer.open()
        assert len(reads) == 2 and self.index(tmp_path) != old
        assert before.info.fingerprint != after.info.fingerprint

    @pytest.mark.parametrize("harm", ["cut", "empty", "flip", "text"])
    def test_damaged_index_is_made_again(self, refer, reads, tmp_path, harm):
        whole = refer.write().open()
        path = self.index(tmp_path)
        data = bytearray(path.read_bytes())
        if harm == "flip":
            # Inside the compressed sentences, where only a checksum can tell.
            data[zipfile.ZipFile(path).getinfo("val.json").header_offset + 80] ^= 0xFF
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "flip": data, "text": b"{}"}[harm])
        again = refer.open()
        assert again.info == whole.info and list(again.videos()) == list(whole.videos())
        assert again.ground_truth("7", "0").masks.sum() == 60
        assert len(reads) == 2
        refer.open().ground_truth("7", "0")
        assert len(reads) == 2

    def test_without_a_place_for_it_opening_still_works(self, refer, reads, tmp_path):
        (tmp_path / "cache").write_text("a file where the folder should be")
        refer.write().open()
        assert refer.open().ground_truth("7", "0").masks.any()
        assert len(reads) >= 2


class TestFaults:
    @pytest.mark.parametrize(
        ("harm", "kind", "said"),
        [
            (
                lambda refs: refs[0].update(ann_id=999),
                "id",
                "annotation 999, which instances.json does not hold",
            ),
            (
                lambda refs: refs[0].update(ann_id=102),
                "id",
                "annotation 102 of another image: instances.json has",
            ),
            (
                lambda refs: refs[0].update(image_id=5),
                "id",
                'about image 5, which "images" of instances.json does',
            ),
            (
                lambda refs: refs[0].update(ann_id="100"),
                "schema",
                'must have numbers "image_id" and "ann_id"',
            ),
            (
                lambda refs: refs[0]["sentences"][0].pop("sent"),
                "schema",
                'a sentence without "sent_id", "sent" or',
            ),
            (
                lambda refs: refs[2]["sentences"][0].update(sent_id=0),
                "duplicate",
                "sentence 0 of image 7 a second",
            ),
            (lambda refs: refs.append(dict(refs[1])), "duplicate", "sentence 5 of image 10 a second time"),
        ],
    )
    def test_faults_of_references_stop_a_run_and_are_named_by_a_check(self, refer, harm, kind, said):
        harm(refer.refs["unc"])
        refer.write()
        for _ in ("from the files", "from the index"):
            with pytest.raises(InputError) as caught:
                refer.open()
            assert said in str(caught.value) and "refs(unc).p: reference" in str(caught.value)
        # The other split is whole.
        refer.open("testB")
        report = check(refer)
        assert report["faults"] == {kind: 1}
        assert (
            said in report["problems"][0]["text"] and report["problems"][0]["file"] == "refcoco/refs(unc).p"
        )

    @pytest.mark.parametrize(
        ("segmentation", "said"),
        [
            ([[]], "Annotation 100 of image 7 (COCO_train2014_000000000007.jpg)"),
            ([[50, 50, 60, 50, 60, 60, 50, 60]], "encloses no pixel"),
        ],
    )
    def test_objects_without_a_mask_cost_their_sentences_only(self, refer, segmentation, said):
        refer.annotations[0]["segmentation"] = segmentation
        dataset = refer.write().open()
        with pytest.raises(InputError) as caught:
            dataset.ground_truth("7", "0")
        assert said in str(caught.value)
        assert dataset.ground_truth("7", "2").masks.any()
        report = check(refer)
        assert report["faults"] == {"truth": 1} and said in report["problems"][0]["text"]

    def test_a_whole_copy_has_no_fault(self, refer):
        refer.write()
        for quick in (True, False):
            assert check(refer, quick=quick)["faults"] == {}

    def test_missing_damaged_and_resized_images_are_named_each(self, refer):
        refer.images[2]["id"] = 12
        refer.annotations[3]["image_id"] = refer.refs["unc"][3]["image_id"] = 12
        for ref in refer.refs["unc"]:
            ref["split"] = "val"
        refer.images[0]["width"] = 40
        refer.write()
        folder = refer.root / "images/mscoco/images/train2014"
        (folder / refer.images[2]["file_name"]).unlink()
        path = folder / refer.images[1]["file_name"]
        path.write_bytes(path.read_bytes()[:-200])
        report = check(refer)
        assert report["faults"]["missing"] == report["faults"]["damaged"] == report["faults"]["size"] == 1
        assert {p["file"] for p in report["problems"] if p["kind"] != "truth"} == {
            i["file_name"] for i in refer.images
        }
        # A cut file has its header still, so only decoding tells.
        quick = check(refer, quick=True)["faults"]
        assert quick == {"missing": 1, "size": 1}

    def test_counts_are_compared_with_the_published_ones(self, refer):
        refer.write()
        report = check_dataset(DatasetRequest("refcoco", "val", str(refer.root)), workers=1)
        assert report["faults"] == {"count": 4}
        assert report["problems"][0]["text"] == "2 videos were found; 1500 are published."

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "no whole pickle"),
            (pickle.dumps({}), "must hold a list of references"),
            (pickle.dumps([]), "must hold a list of references, not empty"),
            (pickle.dumps([1, {"split": 3}]), '2 of 2 references name no "split"'),
            (b"cos\nsystem\n(S'true'\ntR.", "is refused: its pickle holds the instruction GLOBAL"),
        ],
    )
    def test_other_pickles_are_refused_in_one_sentence(self, refer, content, said):
        refer.write()
        (refer.folder / "refs(unc).p").write_bytes(content)
        with pytest.raises(InputError, match=said) as caught:
            refer.open()
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda c: c.pop("images"), 'must hold lists "images" and "annotations"'),
            (lambda c: c["images"][0].pop("height"), "not of COCO's form"),
            (lambda c: c["annotations"][0].pop("segmentation"), "not of COCO's form"),
            (lambda c: c["images"][0].update(width=10**9), "is 1000000000x24 pixels"),
            (
                lambda c: c["images"][0].update(file_name="../../secret.jpg"),
                "cannot name a file in its folder",
            ),
            (lambda c: c["images"].append(c["images"][0]), "lists an image or annotation id twice"),
            (lambda c: c["annotations"].append(c["annotations"][0]), "lists an image or annotation id twice"),
        ],
    )
    def test_broken_instances_are_refused(self, refer, change, said):
        path = refer.write().folder / "instances.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=said):
            refer.open()
        path.write_text("[1, 2")
        with pytest.raises(InputError, match="broken JSON"):
            refer.open()

    def test_the_tree_is_shown_where_something_is_missing(self, refer):
        refer.root.mkdir(parents=True)
        with pytest.raises(InputError, match=r"(?s)refs\(unc\).p is missing.*expected as\n.*/instances.json"):
            refer.open()
        refer.write()
        (refer.folder / "instances.json").unlink()
        with pytest.raises(InputError, match=r"instances.json is missing"):
            refer.open()
        with pytest.raises(InputError, match="has no image '8'"):
            refer.write().open().ground_truth("8", "0")
        with pytest.raises(InputError, match="expression of image 7"):
            refer.open().ground_truth("7", "8")


@pytest.mark.parametrize(("method", "score"), [("oracle", 100.0), ("empty", 0.0)])
def test_a_run_scores_every_sentence(refer, tmp_path, method, score):
    refer.write()
    request = RunRequest(method, "refcoco", "val", str(refer.root), out=str(tmp_path / "run"), page=False)
    result = run(request)
    assert result["protocol"] == "ris/per_sentence" and len(result["items"]) == 4
    assert result["metrics"]["oIoU"] == result["metrics"]["mIoU"] == score
    assert result["partial"] and result["split"] == "val"


def test_the_command_line_runs_a_split_and_checks_a_copy(refer, tmp_path, capsys):
    refer.annotations[3]["segmentation"] = [[]]
    root = str(refer.write().root)
    there = [
        "--dataset",
        "refcoco",
        "--root",
        root,
        "--no-page",
        "--out",
        str(tmp_path / "run"),
        "--json",
        "-",
    ]
    assert main(["run", "--method", "oracle", "--split", "val", *there]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["oIoU"] == 100.0
    assert main(["data", "check", "refcoco", "--root", root, "--split", "testB", "--jobs", "1"]) == 2
    told = capsys.readouterr().out
    assert "truth: 1" in told and "Annotation 103 of image 11" in told and "750 are published" in told
    assert main(["data", "describe", "refcoco", "--set", "split_by=google", "--split", "val"]) == 0
    assert "google_val" in capsys.readouterr().out


def test_refsam_runs_on_images_that_are_handed_to_it_together(refer, tmp_path, monkeypatch):
    from refseg.methods.refsam.method import RefSamMethod

    batches = []
    segment_images = RefSamMethod.segment_images
    monkeypatch.setattr(
        RefSamMethod,
        "segment_images",
        lambda self, videos: (batches.append([v.id for v in videos]), segment_images(self, videos))[1],
    )
    request = RunRequest(
        "refsam_tiny", "refcoco", root=str(refer.write().root), out=str(tmp_path / "run"), page=False
    )
    result = run(request)
    assert batches == [["7", "10"]]
    assert [i["expression"] for i in result["items"]] == ["0", "1", "2", "5"]
    assert not result["failures"]
