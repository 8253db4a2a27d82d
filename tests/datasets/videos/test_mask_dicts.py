"""MeViS and ReVOS: unions of annotations by the position of a frame, kinds, paths as ids, versions."""

import json
import random

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.run_lengths import run_lengths
from refseg.datasets.cards.mevis import CARD, VERSION_1
from refseg.datasets.mask_dict import MaskFile

META, MASKS = "valid_u/meta_expressions.json", "valid_u/mask_dict.json"
UVO = "UVO/all/2E4T5NCywcE"


class TestMeViS:
    @pytest.fixture(autouse=True)
    def _whole(self, tree):
        tree.write("mevis")

    def test_truth_is_the_union_of_the_annotations(self, opened, scene):
        dataset = opened("mevis")
        one, two, none = dataset.videos()[0].expressions
        assert (one.object_ids, two.object_ids, none.object_ids) == (("0",), ("1", "2"), ())
        truth = dataset.ground_truth("zoo", "1").masks
        assert (truth[0] == scene.block(1, 0) | scene.block(2, 0)).all()
        # Null is a frame that does not show the object.
        assert (truth[1] == scene.block(2, 1)).all()
        assert not dataset.ground_truth("zoo", "0").masks[0].any()

    def test_sentence_that_nothing_fits_has_an_empty_truth(self, opened, faults):
        assert not opened("mevis").ground_truth("zoo", "2").masks.any()
        assert faults("mevis") == []

    def test_masks_belong_to_the_position_in_the_file_s_list(self, tree, opened, scene):
        tree.change(META, lambda c: c["videos"]["zoo"].update(frames=["00010", "00000", "00005"]))
        dataset = opened("mevis")
        assert dataset.videos()[0].frame_ids == ("00000", "00005", "00010")
        # The second in the list, frame 00000, has the mask of position 1.
        assert (dataset.ground_truth("zoo", "0").masks[0] == scene.block(0, 1)).all()

    def test_versions_are_told_by_the_number_of_sentences(self, tree, opened):
        assert opened("mevis").info.version == "unknown"
        for count, version, split in ((793, "1", VERSION_1), (907, "2", CARD.splits)):
            said = {str(i): {"exp": "x", "obj_id": [0], "anno_id": [7]} for i in range(count)}
            tree.change(META, lambda c, said=said: c["videos"]["zoo"].update(expressions=said))
            info = opened("mevis").info
            assert (info.version, info.expected_expressions) == (version, split["valid_u"].expressions)

    def test_a_part_of_version_1_can_be_told_to_be_one(self, opened):
        assert opened("mevis", release="1").info.version == "1"
        with pytest.raises(InputError, match="release='3'"):
            opened("mevis", release="3")

    def test_validation_labels_are_hidden(self, tree, opened, faults):
        tree.write("mevis", "valid")
        dataset = opened("mevis", "val")
        assert dataset.info.split == "valid" and dataset.ground_truth("zoo", "0") is None
        assert faults("mevis", "valid") == []

    @pytest.mark.parametrize(
        ("change", "kind", "text"),
        [
            (lambda m: m.pop("8"), "id", r"has no '8'"),
            (lambda m: m["8"].pop(), "schema", r"2 masks; video zoo has 3 frames"),
            (lambda m: m.update({"8": None}), "id", r"has no '8'"),
            (lambda m: m["8"][0].update(size=[20, 12]), "size", r"size \[20, 12\].*\[12, 20\]"),
            (lambda m: m["8"][0].update(counts="~~~"), "damaged", r"damaged"),
            (lambda m: m["8"][0].update(counts=m["8"][0]["counts"][:-1]), "damaged", r"do not fill 20x12"),
            (lambda m: m["8"][0].update(counts=[1000]), "damaged", r"do not fill 20x12"),
            (lambda m: m["8"].__setitem__(0, "x"), "schema", r"no run-length code"),
            (lambda m: m.update({"7": [None] * 3}), "truth", r"would score 100"),
        ],
    )
    def test_faults_of_masks_are_named(self, tree, opened, faults, change, kind, text):
        tree.change(MASKS, change)
        ((found, file, _),) = faults("mevis")
        assert (found, file) == (kind, MASKS)
        dataset = opened("mevis")
        with pytest.raises(InputError, match=text):
            for i in range(3):
                dataset.ground_truth("zoo", str(i))

    def test_a_quick_look_finds_missing_annotations_and_decodes_none(self, tree, faults):
        tree.change(MASKS, lambda m: (m.pop("9"), m["8"][0].update(counts="~~~")))
        assert [f[:2] for f in faults("mevis", quick=True)] == [("id", MASKS)]

    def test_uncompressed_run_lengths_are_read(self, tree, opened, scene):
        mask = scene.block(0, 1)
        flat = mask.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *changes, flat.size]).tolist()
        if flat[0]:
            counts = [0, *counts]
        tree.change(MASKS, lambda m: m["7"][1].update(counts=counts))
        assert (opened("mevis").ground_truth("zoo", "0").masks[1] == mask).all()


def test_places_in_a_mask_file_are_those_of_a_json_parser(tmp_path):
    choose = random.Random(0)
    signs = "".join(
        chr(c) for c in range(48, 112)
    )  # what run lengths are made of, backslash and bracket included
    for indent in (None, 1):
        content = {
            str(k): [
                choose.choice([None, {"size": [4, 5], "counts": "".join(choose.choices(signs, k=20))}])
                for _ in range(choose.randint(0, 4))
            ]
            for k in range(40)
        }
        (tmp_path / "mask_dict.json").write_text(json.dumps(content, indent=indent))
        file = MaskFile(tmp_path, "mask_dict.json")
        assert {k: file.value(k) for k in content} == content
        with pytest.raises(InputError, match="has no '40'"):
            file.value("40")


def test_run_lengths_are_those_that_pycocotools_encodes(scene):
    choose = np.random.default_rng(0)
    for density in (0, 0.02, 0.5, 1):
        mask = choose.random((37, 53)) < density
        flat = mask.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *changes, flat.size]).tolist()
        assert run_lengths(scene.rle(mask)["counts"]) == ([0, *runs] if flat[0] else runs)


class TestReVos:
    @pytest.fixture(autouse=True)
    def _whole(self, tree, faults):
        tree.write("revos")
        assert faults("revos") == []

    def test_ids_are_paths_and_kinds_are_named(self, opened):
        video = opened("revos").videos()[0]
        assert video.id == UVO and video.read(0).shape == (12, 20, 3)
        assert [e.attributes["type"] for e in video.expressions] == [
            "referring",
            "reasoning",
            "hallucination",
        ]
        assert opened("revos", "train").videos()[0].id == "LVVIS/train/00000"

    def test_truth_has_what_the_official_measures_need(self, opened, scene):
        truth = opened("revos").ground_truth(UVO, "1")
        assert (truth.masks[2] == scene.block(1, 2)).all() and (truth.layers == truth.masks).all()
        expected = [sum(scene.block(k, t).astype(int) for k in range(3) if k != t) for t in range(3)]
        assert (truth.foreground == np.stack(expected)).all()

    def test_ids_cannot_leave_the_folder(self, tree, opened):
        tree.change(
            "meta_expressions_valid_.json",
            lambda c: c["videos"].update({"UVO/../../x": c["videos"].pop(UVO)}),
        )
        with pytest.raises(InputError, match=r"video id '\.\.'"):
            opened("revos")

    def test_unknown_type_and_missing_foreground_are_faults(self, tree, faults):
        tree.change(
            "meta_expressions_valid_.json",
            lambda c: c["videos"][UVO]["expressions"]["0"].update(type_id=7),
        )
        tree.change("mask_dict_foreground.json", lambda c: c.pop(UVO))
        assert [f[:2] for f in faults("revos")] == [
            ("schema", "meta_expressions_valid_.json"),
            ("id", "mask_dict_foreground.json"),
        ]
