"""What follows the network, beside the plain form of each step: processor time by turns in one run.

    pytest -s tests/benchmarks/test_stage_speed.py

Eight masks of a real 480p video's size. Both sides give the same bits, which is asserted; times are not.
"""

import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from refseg.bench.merge import won_pixels
from refseg.bench.speed.turns import by_turns, ratios, turns_table
from refseg.bench.types import FramePrediction
from refseg.methods.sam.build import PIXEL_MEAN, PIXEL_STD
from refseg.methods.sam.transforms import fit, normalise_and_pad, resize_image, upsample_logits

COUNT, SIZE, SIDE = 8, (480, 854), 1024
GEOMETRY = fit(SIZE, SIDE)


@pytest.fixture(scope="module")
def low():
    """Smooth low-resolution logits (K, 1, 256, 256)."""
    coarse = torch.randn(COUNT, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (SIDE // 4, SIDE // 4), mode="bicubic")


@pytest.fixture(scope="module")
def soft(low):
    return upsample_logits(low, GEOMETRY)[:, 0].sigmoid()


def compare(benchmark, capsys, what, ours, plain):
    assert np.array_equal(np.asarray(ours()), np.asarray(plain()))
    times = by_turns({"plain": plain, "ours": ours}, 5)
    benchmark.pedantic(ours, rounds=3)
    benchmark.extra_info["times_faster"] = ratios(times, "plain")["ours"][0]
    with capsys.disabled():
        print(f"\n{what}\n{turns_table(times, 'plain')}")


pytestmark = pytest.mark.benchmark(timer=time.process_time)


def test_upsampling(benchmark, capsys, low):
    def plain():
        square = F.interpolate(low, (SIDE, SIDE), mode="bilinear", align_corners=False)
        inside = square[..., : GEOMETRY.resized[0], : GEOMETRY.resized[1]]
        return F.interpolate(inside, SIZE, mode="bilinear", align_corners=False)

    compare(benchmark, capsys, "eight masks upsampled", lambda: upsample_logits(low, GEOMETRY), plain)


def test_rounding_to_halves(benchmark, capsys, soft):
    values = soft.numpy()
    compare(
        benchmark,
        capsys,
        "eight maps of probabilities as halves",
        lambda: soft.half().numpy(),
        lambda: values.astype(np.float16),
    )


def test_merging(benchmark, capsys, soft):
    halves = soft.half().numpy()
    prediction = FramePrediction(0, halves > 0.5, np.ones(COUNT, np.float32), halves)

    def plain():
        claims = np.where(halves >= 0.5, halves, np.float16(0))
        return (np.arange(COUNT)[:, None, None] == claims.argmax(0)) & (claims.max(0) > 0.1)

    compare(benchmark, capsys, "eight objects merged", lambda: won_pixels(prediction, range(COUNT)), plain)


def test_normalising(benchmark, capsys):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    pixels = torch.from_numpy(resize_image(image, GEOMETRY.resized).copy())[None].permute(0, 3, 1, 2)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
    pad = (0, SIDE - GEOMETRY.resized[1], 0, SIDE - GEOMETRY.resized[0])
    compare(
        benchmark,
        capsys,
        "a frame normalised and padded",
        lambda: normalise_and_pad(pixels, SIDE),
        lambda: F.pad((pixels.float() - mean) / std, pad),
    )
