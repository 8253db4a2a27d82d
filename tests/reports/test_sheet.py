import numpy as np
import pytest
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, Video
from refseg.datasets.refshapes import build
from refseg.reports.overlays import PALETTE
from refseg.reports.sheet import MOST_BYTES, chosen, write_contact_sheet


def said(*objects):
    return [Expression(str(i), f"thing {i}", ids) for i, ids in enumerate(objects)]


class Noise:
    """Videos of noise, which no format packs well; labels may be hidden."""

    def __init__(self, length, *, truth=True):
        self.info = DatasetInfo("noise", "1", "val", ())
        self._length, self._truth = length, truth

    def videos(self):
        frames = tuple(map(str, range(self._length)))
        read = lambda t: np.random.default_rng(t).integers(0, 256, (270, 480, 3), np.uint8)  # noqa: E731
        return [Video(f"v{i}", frames, (270, 480), tuple(said(("1",), ("2",))), read) for i in range(9)]

    def ground_truth(self, video_id, expression_id):
        return GroundTruth(np.ones((self._length, 270, 480), bool)) if self._truth else None


@pytest.mark.parametrize("split", ["val", "no_target", "image_val"])
def test_refshapes_sheet_is_small_and_the_same_each_time(tmp_path, split):
    dataset = build(DatasetRequest("refshapes", split))
    for name in ("a.png", "b.png"):
        write_contact_sheet(dataset, tmp_path / name, videos=2, frames=3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").stat().st_size < MOST_BYTES


def test_swatches_have_the_colours_of_the_contours(tmp_path):
    write_contact_sheet(build(DatasetRequest("refshapes", "val")), tmp_path / "s.png", videos=3)
    colours = {c for _, c in Image.open(tmp_path / "s.png").convert("RGB").getcolors(1 << 20)}
    assert {PALETTE[0], PALETTE[1]} <= colours


@pytest.mark.parametrize("truth", [True, False])
@pytest.mark.parametrize("length", [1, 3, 8])
def test_other_data_sets_fit_too(tmp_path, length, truth):
    write_contact_sheet(Noise(length, truth=truth), tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size <= MOST_BYTES


def test_every_object_is_named_before_one_comes_twice():
    picked = chosen(said(("1",), ("1",), ("2",), ("1",), ("3",)))
    assert [e.object_ids for e, _ in picked] == [("1",), ("2",), ("3",), ("1",)]
    assert picked[0][1] == picked[3][1] != picked[1][1]


@pytest.mark.parametrize("counts", [{"videos": 0}, {"frames": 0}])
def test_counts_below_one_are_refused(tmp_path, counts):
    with pytest.raises(InputError, match="at least"):
        write_contact_sheet(Noise(2), tmp_path / "s.png", **counts)
