import torch

from refseg.methods.sam.train import random_points


def test_points_fall_on_every_pixel_of_a_region_alike_and_nowhere_else():
    region = torch.zeros(3, 4, 6)
    region[0, 1, 2:5], region[0, 3, 0], region[1, 3, 5] = 1, 1, 1
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([random_points(region, generator)[:, 0] for _ in range(2000)]).long()
    hits = torch.zeros(3, 4, 6)
    for points in drawn:
        for row, (x, y) in enumerate(points.tolist()):
            hits[row, y, x] += 1
    assert not hits[:2][region[:2] == 0].any()
    assert (hits[0][region[0] > 0] / 2000 - 1 / 4).abs().max() < 0.05
    assert hits[1, 3, 5] == 2000
    # Nothing is wrong any more: a point may fall anywhere.
    assert (hits[2] / 2000 - 1 / 24).abs().max() < 0.03
