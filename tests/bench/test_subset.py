"""A dataset narrowed to some of its videos: the same ones in the same order, looked for once."""

from collections.abc import Sequence

import numpy as np
import pytest

from refseg.bench.subset import subset
from refseg.bench.types import DatasetInfo, Video


class Made(Sequence):
    """Videos that are made when they are asked for, and how often that was."""

    def __init__(self, many):
        self.many, self.made = many, 0

    def __len__(self):
        return self.many

    def __getitem__(self, index):
        if not 0 <= index < self.many:
            raise IndexError(index)
        self.made += 1
        return Video(f"v{index}", ("0",), (4, 4), (), lambda frame: np.zeros((4, 4, 3), np.uint8))


class Plain:
    def __init__(self, many):
        self.all = Made(many)
        self.info = DatasetInfo("plain", "1", "val", ())

    def videos(self):
        return self.all

    def ground_truth(self, video_id, expression_id):
        return (video_id, expression_id)


def test_videos_are_those_that_are_named_in_the_dataset_s_order():
    dataset = Plain(30)
    narrow = subset(dataset, {"v7", "v3", "v20", "nobody"})
    assert [v.id for v in narrow.videos()] == ["v3", "v7", "v20"] and len(narrow.videos()) == 3
    assert [v.id for v in narrow.videos()[1:]] == ["v7", "v20"] and narrow.videos()[-1].id == "v20"
    assert narrow.info is dataset.info and narrow.ground_truth("v3", "0") == ("v3", "0")
    with pytest.raises(IndexError):
        narrow.videos()[3]


def test_videos_are_looked_for_once_however_often_they_are_asked_for():
    dataset = Plain(200)
    narrow = subset(dataset, {f"v{i}" for i in range(100)})
    for place in range(100):
        assert narrow.videos()[place].id == f"v{place}"
    assert dataset.all.made == 200 + 100
