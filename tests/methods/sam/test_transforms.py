import numpy as np
import pytest
import torch

from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.transforms import fit, preprocess, preprocess_batch, upsample_logits


@pytest.mark.parametrize(
    ("size", "resized"), [((480, 854), (576, 1024)), ((720, 405), (1024, 576)), ((3, 1024), (3, 1024))]
)
def test_longest_side_becomes_the_square(size, resized):
    assert fit(size, 1024).resized == resized


def test_image_is_normalised_then_padded_with_zeros():
    images = np.random.default_rng(0).integers(0, 256, (2, 60, 90, 3), dtype=np.uint8)
    batch, geometry = preprocess_batch(images, 128)
    assert batch.shape == (2, 3, 128, 128)
    assert geometry.resized == (85, 128)
    assert (batch[:, :, 85:] == 0).all()
    assert torch.equal(preprocess(images[1], 128)[0], batch[1:])


def test_normalisation_is_sams():
    images = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), dtype=np.uint8)
    sam = build_sam(SAM_CONFIGS["tiny"])
    expected = sam.preprocess(torch.from_numpy(images[0]).permute(2, 0, 1).float())
    torch.testing.assert_close(preprocess_batch(images, 128)[0][0], expected)


@pytest.mark.parametrize("size", [(60, 90), (128, 96)])
def test_logits_come_back_as_sams_do(size):
    sam = build_sam(SAM_CONFIGS["tiny"])
    low, geometry = torch.randn(2, 4, 64, 64), fit(size, 128)
    expected = sam.postprocess_masks(low, geometry.resized, geometry.original)
    torch.testing.assert_close(upsample_logits(low, geometry), expected)
