"""A data set of two small videos in memory, and perfect predictions for it."""

import warnings
import zipfile

import numpy as np
import pytest

from refseg.bench.types import DatasetInfo, Expression, GroundTruth, Video

SIZE = (6, 9)
OBJECTS = {"zoo": (1, 2), "ant": (1,)}
FRAMES = {"zoo": ("00000", "00005", "00010"), "ant": ("00000", "00005")}


class TinyDataset:
    """ "zoo" with two objects and eight expressions, "ant" with one and four; objects move by a column a frame."""

    info = DatasetInfo("tiny", "1", "val", ("refdavis/published",))

    def videos(self):
        return [
            Video(
                name,
                FRAMES[name],
                SIZE,
                tuple(
                    Expression(str(4 * k + slot), f"object {obj}", (str(obj),), slot)
                    for k, obj in enumerate(objects)
                    for slot in range(4)
                ),
                lambda i: np.zeros((*SIZE, 3), np.uint8),
            )
            for name, objects in OBJECTS.items()
        ]

    def label_maps(self, video_id):
        labels = np.zeros((len(FRAMES[video_id]), *SIZE), np.uint8)
        for t in range(len(labels)):
            for obj in OBJECTS[video_id]:
                labels[t, 1:4, t + 3 * (obj - 1) : t + 3 * obj - 1] = obj
        return labels

    def ground_truth(self, video_id, expression_id):
        obj = OBJECTS[video_id][int(expression_id) // 4]
        return GroundTruth(self.label_maps(video_id) == obj)


class Perfect:
    """Predictions that equal the truth; those of the names in ``without`` are missing."""

    def __init__(self, dataset, without=()):
        self._dataset, self._without = dataset, without

    def masks(self, video, expression):
        if f"{video.id}/{expression.id}" in self._without:
            return None
        return self._dataset.ground_truth(video.id, expression.id).masks

    def label_maps(self, video, annotator):
        if any(f"{video.id}/{e.id}" in self._without for e in video.expressions if e.annotator == annotator):
            return None
        return self._dataset.label_maps(video.id)


@pytest.fixture
def dataset():
    return TinyDataset()


@pytest.fixture
def zoo(dataset):
    return dataset.videos()[0]


@pytest.fixture
def perfect(dataset):
    return Perfect(dataset)


@pytest.fixture
def incomplete(dataset):
    """Predictions that lack one expression of the second annotator."""
    return Perfect(dataset, without=("zoo/5",))


@pytest.fixture
def zipped(tmp_path):
    """Make ``x.zip`` of (name, content) pairs, stored."""

    def make(entries):
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for name, data in entries:
                file.writestr(name, data)
        return tmp_path / "x.zip"

    return make
