import numpy as np
import pytest
import torch

from refseg.methods.grounding_dino.preprocess import caption, fitted_size, preprocess, with_places


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 854), (749, 1332)),  # transformers: 749x1333
        ((854, 480), (1332, 749)),
        ((480, 640), (800, 1066)),
        ((1080, 1920), (750, 1333)),
        ((333, 500), (800, 1201)),
        ((800, 800), (800, 800)),
        ((112, 128), (800, 914)),
    ],
)
def test_sizes_are_the_official_ones(size, expected):
    assert fitted_size(size) == expected


@pytest.mark.parametrize("size", [(480, 640), (333, 500), (112, 128)])
def test_pixels_are_those_of_transformers_where_the_sizes_agree(size):
    pil = pytest.importorskip("transformers.models.grounding_dino.image_processing_pil_grounding_dino")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    processor = pil.GroundingDinoImageProcessorPil()
    expected = processor(images=image, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    mine = preprocess(image)
    assert mine.shape == expected.shape and mine.is_contiguous()
    torch.testing.assert_close(mine, torch.as_tensor(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  A Brown Dog ", "a brown dog."),
        ("a dog.", "a dog."),
        ("a dog on the left?", "a dog on the left?."),
        ("", "."),
    ],
)
def test_captions_are_lower_case_and_end_in_a_full_stop(text, expected):
    assert caption(text) == expected


def test_two_channels_tell_where_a_pixel_lies():
    pixels = torch.randn(2, 3, 5, 9)
    seen = with_places(pixels)
    assert torch.equal(seen[:, :3], pixels)
    x, y = seen[1, 3:]
    assert torch.allclose(x[2], torch.linspace(-1, 1, 9)) and torch.equal(x[0], x[4])
    assert torch.allclose(y[:, 3], torch.linspace(-1, 1, 5)) and torch.equal(y[:, 0], y[:, 8])
