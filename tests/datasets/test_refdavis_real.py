"""Ref-DAVIS17 on real frames: a few in the repository, and the four videos beside it where they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench.types import DatasetRequest
from refseg.datasets.metadata import Schema, read_metadata
from refseg.datasets.refdavis import build

TESTS = Path(__file__).parents[1]
FEW = TESTS / "data/ref-davis-mini"
REAL = TESTS.parents[1] / "shared/real"


@pytest.fixture(
    params=[FEW, pytest.param(REAL / "ref-davis-mini", id="four videos")],
    ids=lambda p: "few frames" if p is FEW else None,
)
def root(request):
    if not request.param.exists():
        pytest.skip("the four real videos are not beside the repository")
    return request.param


def test_real_videos_open_and_read(root):
    dataset = build(DatasetRequest("refdavis17", root=str(root)))
    for video in dataset.videos():
        assert video.size == (480, 854)
        assert [e.annotator for e in video.expressions] == [0, 1, 2, 3]
        frame = video.read(1)
        with Image.open(root / f"valid/JPEGImages/{video.id}/00001.jpg") as image:
            assert (frame == np.asarray(image)).all()


def test_real_label_maps_are_palette_indices(root):
    dataset = build(DatasetRequest("refdavis17", root=str(root)))
    labels = dataset.label_maps("libby")
    assert np.unique(labels).tolist() == [0, 1]
    truth = dataset.ground_truth("libby", "3")
    assert (truth.masks == (labels == 1)).all()
    # Read as grey, the object would be 38.
    with Image.open(root / "valid/Annotations/libby/00000.png") as image:
        assert np.unique(np.asarray(image.convert("L"))).tolist() == [0, 38]


def test_a_subset_is_told_by_its_counts(root):
    dataset = build(DatasetRequest("refdavis17", root=str(root)))
    assert len(dataset.videos()) < dataset.info.expected_videos


def test_the_whole_validation_file_has_the_published_counts():
    path = REAL / "refdavis17_valid_meta_expressions.json"
    if not path.exists():
        pytest.skip("the real metadata file is not beside the repository")
    entries, _ = read_metadata(path.parent, path.name, Schema(), pytest.fail)
    assert len(entries) == 30
    assert sum(len(e.sentences) for e in entries) == 244
    assert sum(len(e.frame_ids) for e in entries) == 1999
    assert [e.id for e in entries] == list(json.loads(path.read_text())["videos"])
    assert all(s.object_ids == (str(int(s.id) // 4 + 1),) for e in entries for s in e.sentences)


def test_the_real_refer_youtube_vos_file_is_read_too():
    path = REAL / "refytvos-meta/valid_meta_expressions.json"
    if not path.exists():
        pytest.skip("the real metadata file is not beside the repository")
    entries, _ = read_metadata(path.parent, path.name, Schema(), pytest.fail)
    assert (len(entries), sum(len(e.sentences) for e in entries)) == (507, 2096)
    assert {s.object_ids for e in entries for s in e.sentences} == {None}
    many = next(e for e in entries if len(e.sentences) > 10)
    assert [s.id for s in many.sentences] == sorted((s.id for s in many.sentences), key=int)
