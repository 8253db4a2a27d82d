import numpy as np
import pytest
import torch

from refseg.methods.deaot.frames import MEAN, STD, network_input, network_labels, network_size

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "aligned", "plain"),
    [
        ((480, 854), (481, 849), (480, 848)),
        ((240, 428), (241, 433), (240, 432)),
        ((257, 465), (257, 465), (256, 464)),
        ((1080, 1920), (577, 1041), (592, 1040)),
        ((3, 3), (17, 17), (16, 16)),
    ],
)
def test_frames_are_seen_at_multiples_of_the_stride(size, aligned, plain):
    assert network_size(size, stride=16, align_corners=True) == aligned
    assert network_size(size, stride=16, align_corners=False) == plain


def test_halves_are_rounded_to_even_as_numpy_does():
    for side in range(17, 1041):
        official = side if (side - 1) % 16 == 0 else int(np.around((side - 1) / 16) * 16 + 1)
        assert network_size((side, side), stride=16, align_corners=True) == (official, official)


def test_pixels_are_normalised_in_double_precision():
    frame = np.arange(16 * 16 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    expected = ((frame / 255 - MEAN) / STD).astype(np.float32).transpose(2, 0, 1)
    assert np.array_equal(network_input(frame, (16, 16), CPU)[0].numpy(), expected)
    assert network_input(frame, (33, 49), CPU).shape == (1, 3, 33, 49)


def test_labels_are_taken_from_the_nearest_pixel_above_left():
    labels = np.random.default_rng(0).integers(0, 12, (30, 50), dtype=np.uint8)
    rows, columns = np.arange(17) * 30 // 17, np.arange(33) * 50 // 33
    assert np.array_equal(network_labels(labels, (17, 33), CPU)[0].numpy(), labels[np.ix_(rows, columns)])
