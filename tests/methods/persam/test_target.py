import numpy as np
import pytest
import torch

from refseg.methods.persam.target import describe, extreme_points, mask_on_grid, target_cells
from refseg.methods.sam.promptable import SamFeatures
from refseg.methods.sam.transforms import fit

SIZE = (60, 90)


@pytest.fixture
def features():
    embedding = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    return SamFeatures(embedding, fit(SIZE, 128))


def test_padding_is_no_part_of_the_object(features):
    grid = mask_on_grid(np.ones(SIZE, bool), features.geometry, (16, 16), 255)
    # 60 of 90 rows' worth of the square: 85 of 128 pixels, 10.6 of 16 cells.
    assert (grid[:10] > 0).all() and (grid[11:] == 0).all()


def test_a_cell_is_the_objects_above_the_mean_of_red(features):
    """The object's red counts: the same edge takes fewer cells at 215 than at 255."""
    geometry = fit((1024, 1024), 1024)
    mask = np.zeros((1024, 1024), bool)
    mask[: 16 * 8 + 7 + 1] = True  # The edge cell's samples are rows 7 and 8, of which one is the object's.
    at_255, at_215 = (mask_on_grid(mask, geometry, (64, 64), level) > 0 for level in (255, 215))
    assert at_255[8].all() and not at_215[8].any()
    assert torch.equal(at_255[:8], at_215[:8])


def test_an_object_too_small_for_a_cell_keeps_the_one_below_it(features):
    mask = np.zeros(SIZE, bool)
    mask[30, 45] = True
    assert not (mask_on_grid(mask, features.geometry, (16, 16), 255) > 0).any()
    cells = target_cells(mask, features, 255)
    # Row 30.5 of 60 lies at 43.2 of the 85 rows, 5.4 cells down; column 45.5 of 90 at 8.1 cells.
    assert cells.nonzero().tolist() == [[5, 8]]
    target = describe(mask, features, level=255, peak=True)
    assert torch.isfinite(target.direction).all()


def test_the_direction_is_of_the_mean_or_of_mean_and_maximum(features):
    mask = np.zeros(SIZE, bool)
    mask[:40, :60] = True
    inside = features.embedding[0][:, target_cells(mask, features, 255)]
    mean, peak = inside.mean(1), inside.max(1).values
    plain, both = (describe(mask, features, level=255, peak=p) for p in (False, True))
    torch.testing.assert_close(plain.embedding, mean)
    torch.testing.assert_close(plain.direction, mean / mean.norm())
    torch.testing.assert_close(both.direction, (mean + peak) / (mean + peak).norm())


def test_extreme_points_are_x_y_and_the_first_of_equals():
    values = torch.zeros(4, 6)
    values[1, 2] = values[2, 5] = 3
    values[3, 0] = 2
    assert extreme_points(values, 3).tolist() == [[2, 1], [5, 2], [0, 3]]
    assert extreme_points(values, 2, largest=False).tolist() == [[0, 0], [1, 0]]
    assert values[1, 2] == 3
