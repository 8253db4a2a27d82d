"""A dataset narrowed to some of its videos: they are handed over, and the whole is not looked through."""

from dataclasses import replace

import numpy as np
import pytest

from refseg.bench.subset import subset
from refseg.bench.types import DatasetInfo, Expression, LabelledDataset, Video


class Plain:
    info = DatasetInfo("plain", "1", "val", ())

    def videos(self):
        pytest.fail("the whole dataset is looked through")

    def ground_truth(self, video_id, expression_id):
        return (video_id, expression_id)


class Labelled(Plain):
    def label_maps(self, video_id):
        return np.full((1, 4, 4), int(video_id[1:]), np.uint8)


def video(number):
    said = tuple(Expression(str(k), "it") for k in range(3))
    return Video(f"v{number}", ("0",), (4, 4), said, lambda frame: np.zeros((4, 4, 3), np.uint8))


def test_it_has_the_videos_that_are_handed_over_and_the_truth_of_the_whole():
    dataset = Plain()
    part = [video(3), replace(video(7), expressions=video(7).expressions[1:])]
    narrow = subset(dataset, part)
    for _ in range(2):
        assert [(v.id, [e.id for e in v.expressions]) for v in narrow.videos()] == [
            ("v3", ["0", "1", "2"]),
            ("v7", ["1", "2"]),
        ]
    assert narrow.info is dataset.info and narrow.ground_truth("v3", "0") == ("v3", "0")


def test_it_has_label_maps_exactly_where_the_whole_has():
    assert not isinstance(subset(Plain(), [video(3)]), LabelledDataset)
    narrow = subset(Labelled(), [video(3)])
    assert isinstance(narrow, LabelledDataset) and narrow.label_maps("v3").max() == 3
