"""A small dataset of grey squares, and checks of methods and datasets that are made in a test."""

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.conformance import check_dataset, check_method
from refseg.bench.errors import unknown_name
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, Video

SIZE = (40, 60)
GREYS = (60, 140, 220)


def square(video, grey, t):
    mask = np.zeros(SIZE, bool)
    row, column = 2 + 12 * GREYS.index(grey), 5 + 4 * video + 2 * t
    mask[row : row + 9, column : column + 9] = True
    return mask


class Squares:
    """Four videos of five frames; three squares, told apart by their grey, move to the right."""

    def __init__(self, request):
        if request.split not in (None, "val"):
            raise unknown_name("split of squares", request.split, ["val"])
        if request.options:
            raise unknown_name("option of squares", next(iter(request.options)), [])
        self.info = DatasetInfo("squares", "1", "val", ("refshapes/per_expression",), 4, 12, fingerprint="f")

    def videos(self):
        return [self.video(i) for i in range(4)]

    def video(self, number):
        def read(t):
            frame = np.zeros((*SIZE, 3), np.uint8)
            for grey in GREYS:
                frame[square(number, grey, t)] = grey
            return frame

        said = tuple(Expression(str(g), f"the square of grey {g}", (str(g),)) for g in GREYS)
        return Video(f"v{number}", tuple(f"{t:05d}" for t in range(5)), SIZE, said, read)

    def ground_truth(self, video_id, expression_id):
        return GroundTruth(np.stack([square(int(video_id[1:]), int(expression_id), t) for t in range(5)]))


@pytest.fixture
def squares():
    """The dataset."""
    return Squares(DatasetRequest("squares"))


@pytest.fixture
def check(squares):
    """Check a method's class on the squares."""

    def run(method, **options):
        with registry.registered("methods", "made_here", method):
            return check_method("made_here", dataset=squares, **options)

    return run


@pytest.fixture
def check_squares():
    """Check the dataset, whose instances a function breaks."""

    def run(breaks, **options):
        def build(request):
            dataset = Squares(request)
            breaks(dataset)
            return dataset

        with registry.registered("datasets", "squares", build):
            return check_dataset("squares", **options)

    return run
