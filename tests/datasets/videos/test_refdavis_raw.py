"""Ref-DAVIS17 as its authors publish it reads as the converted layout does."""

import json
from pathlib import Path

import pytest

from refseg.bench.errors import InputError

REAL = Path(__file__).parents[4] / "shared/real/refdavis17_valid_meta_expressions.json"
SAID = {
    "dog": {"1": "a dog", "2": "the dog\u2019s leash"},
    "clasic-car": {"1": "a car of the café"},
    "dog-scale": {"1": "first", "2": "second", "3": "third"},
}


@pytest.fixture
def said():
    """Sentences that Latin-1 can hold."""
    return {v: {o: t.replace("\u2019", "'") for o, t in objects.items()} for v, objects in SAID.items()}


def facts(dataset):
    return [
        (v.id, v.frame_ids, v.size, [(e.id, e.text, e.object_ids, e.annotator) for e in v.expressions])
        for v in dataset.videos()
    ]


@pytest.mark.parametrize("places", [{}, {"davis": ""}, {"texts": ""}, {"davis": "", "texts": ""}])
def test_four_files_are_four_annotators_over_davis_s_own_folders(tree, opened, faults, said, scene, places):
    tree.write("davis_raw", said, **places)
    dataset = opened("refdavis17")
    assert [v.id for v in dataset.videos()] == ["dog", "classic-car", "dogs-scale"]
    dog = dataset.videos()[0]
    assert [(e.id, e.object_ids, e.annotator) for e in dog.expressions] == [
        (str(i), (str(i // 4 + 1),), i % 4) for i in range(8)
    ]
    assert dog.frame_ids == ("00000", "00005", "00010") and dataset.info.version == "17"
    assert (dataset.ground_truth("dogs-scale", "9").masks[2] == scene.block(2, 2)).all()
    assert faults("refdavis17") == []


def test_each_file_is_read_in_its_own_encoding(tree, opened, said):
    tree.write("davis_raw", said)
    car = opened("refdavis17").videos()[1]
    assert [e.text for e in car.expressions] == [f"a car of the café, {i}" for i in range(4)]


def test_text_in_the_wrong_encoding_is_told(tree, opened, faults, said):
    tree.write("davis_raw", said)
    first = tree.root / "davis_text_annotations/Davis17_annot1.txt"
    first.write_bytes(first.read_text("utf-8").encode("latin-1"))
    with pytest.raises(InputError, match=r"annot1.txt .* not UTF-8 at line 3"):
        opened("refdavis17")
    tree.write("davis_raw", said)
    second = tree.root / "davis_text_annotations/Davis17_annot2.txt"
    second.write_bytes(second.read_text("latin-1").encode("utf-8"))
    ((kind, _, text),) = faults("refdavis17")
    assert kind == "encoding" and "Expression 2 of video classic-car" in text


def test_objects_are_indexed_in_the_order_of_the_converted_layout(tree, opened):
    tree.write("davis_raw", {"crowd": {str(i): f"person {i}" for i in range(1, 12)}})
    expressions = opened("refdavis17").videos()[0].expressions
    # The converting tool sorts objects as strings, and ids must mean the same in both layouts.
    order = ("1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9")
    assert [(e.id, e.object_ids) for e in expressions] == [(str(i), (order[i // 4],)) for i in range(44)]


def test_blanks_and_marks_are_as_in_the_converted_layout(tree, opened, said):
    tree.write("davis_raw", said)
    path = tree.root / "davis_text_annotations/Davis17_annot1.txt"
    path.write_bytes(path.read_bytes().replace(b'dog 1 "a dog, 0"', b'dog  1 "a  dog  there "\r'))
    assert opened("refdavis17").videos()[0].expressions[0].text == "a dog there "


def test_a_sentence_that_lacks_in_one_file_names_the_video(tree, opened, faults, said):
    tree.write("davis_raw", said)
    path = tree.root / "davis_text_annotations/Davis17_annot2_full_video.txt"
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[1:]) + b"\nno sentence")
    with pytest.raises(InputError, match=r"annot2_full_video.txt .*line 6, is 'no sentence'"):
        opened("refdavis17")
    texts = [t for _, _, t in faults("refdavis17")]
    assert len(texts) == 2 and "video dog are about different objects" in texts[1]


def test_semi_supervised_labels_are_another_version(tree, opened, said):
    tree.write("davis_raw", said)
    (tree.root / "DAVIS/Annotations_unsupervised").rename(tree.root / "DAVIS/Annotations")
    assert opened("refdavis17").info.version == "17 with semi-supervised labels"


@pytest.mark.skipif(not REAL.exists(), reason="the real metadata file is not beside the repository")
def test_the_published_244_sentences_are_the_same_from_text_files(tree, opened):
    content = json.loads(REAL.read_text())
    for video in content["videos"].values():
        video["frames"] = ["00000", "00005", "00010"]
    tree.write("davis_raw", {})
    for i in range(4):
        lines = [
            f'{v} {c["expressions"][k]["obj_id"]} "{c["expressions"][k]["exp"]}"'
            for v, c in content["videos"].items()
            for k in c["expressions"]
            if int(k) % 4 == i
        ]
        name = ("annot1", "annot1_full_video", "annot2", "annot2_full_video")[i]
        tree.path(f"davis_text_annotations/Davis17_{name}.txt").write_text("\n".join(lines))
    tree.path("DAVIS/ImageSets/2017/val.txt").write_text("\n".join(content["videos"]))
    for video in content["videos"]:
        tree.frames("DAVIS/JPEGImages/480p", video)
    (tree.root / "DAVIS/Annotations_unsupervised/480p").mkdir(parents=True)
    raw = facts(opened("refdavis17"))
    tree.json("meta_expressions/valid/meta_expressions.json", content)
    (tree.root / "valid").mkdir()
    (tree.root / "valid/JPEGImages").symlink_to(tree.root / "DAVIS/JPEGImages/480p")
    assert facts(opened("refdavis17")) == raw and sum(len(v[3]) for v in raw) == 244
