"""The fast encoder against segment_anything's own forward, with random weights everywhere a zero could hide one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from refseg.methods.refsam.encoder import BlockAdapters, encode
from refseg.methods.sam import fast_block
from refseg.methods.sam.build import SAM_CONFIGS, build_image_encoder
from refseg.methods.sam.fast_encoder import EncoderOptions, FastEncoder

SMALL = replace(SAM_CONFIGS["tiny"], embed_dim=48, depth=5, num_heads=3, global_attn_indexes=(2, 4))
WINDOWS = {
    "windows that fit": 8,
    "a window that is cut off": 7,
    "one window": 16,
    "a window larger than the grid": 20,
}
CONTENTS = [None, (72, 128), (128, 41), (33, 128), (128, 128), (1, 1)]


def made(config, seed=0):
    torch.manual_seed(seed)
    encoder = build_image_encoder(config).eval()
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if "pos" in name or name.endswith("bias"):
                p.normal_(std=0.3)
    return encoder


def adapters(config, blocks):
    torch.manual_seed(1)
    pairs = {str(i): BlockAdapters(config.embed_dim, ratio=4, activation="relu") for i in blocks}
    for pair in pairs.values():
        for adapter in (pair.attention, pair.mlp):
            nn.init.normal_(adapter.up.weight, std=0.2)
    return nn.ModuleDict(pairs)


def images(content=None, count=2, side=128):
    noise = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(7))
    if content is not None:
        noise[:, :, content[0] :] = 0
        noise[:, :, :, content[1] :] = 0
    return noise


def difference(found, expected):
    """Return the largest difference, relative to the largest value."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("form", ["bias", "folded"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("content", CONTENTS, ids=str)
def test_embedding_is_that_of_segment_anything(form, window, content):
    encoder = made(replace(SMALL, window_size=window))
    pixels = images(content)
    with torch.no_grad():
        expected = encoder(pixels)
    fast = FastEncoder(encoder, form=form)
    for _ in range(2):  # the second time with what was kept of the first
        assert difference(fast(pixels, content)[0], expected) < 1e-5


@pytest.mark.parametrize("content", [None, (72, 128)], ids=str)
def test_adapters_and_maps_are_those_of_refsam(content):
    encoder = made(replace(SMALL, window_size=7))
    own = adapters(SMALL, (1, 2, 4))
    pixels = images(content)
    with torch.no_grad():
        expected, maps = encode(encoder, own, (2, 4), pixels)
        plain = encoder(pixels)
    found, tapped = FastEncoder(encoder, dict(own.items()), (2, 4))(pixels, content)
    assert difference(found, expected) < 1e-5 and len(tapped) == 2
    assert all(difference(t, m) < 1e-5 for t, m in zip(tapped, maps, strict=True))
    assert difference(plain, expected) > 1e-2


def test_a_bias_made_in_parts_changes_nothing(monkeypatch):
    encoder, pixels = made(SMALL), images()
    whole = FastEncoder(encoder)(pixels)[0]
    for elements in (1, 1000, 256 * 256 * 2):
        monkeypatch.setattr(fast_block, "BIAS_ELEMENTS", elements)
        assert difference(FastEncoder(encoder)(pixels)[0], whole) < 1e-5


def test_a_size_of_content_does_not_disturb_another():
    encoder = made(SMALL)
    fast = FastEncoder(encoder)
    for content in (*CONTENTS, *CONTENTS[::-1]):
        pixels = images(content)
        with torch.no_grad():
            assert difference(fast(pixels, content)[0], encoder(pixels)) < 1e-5


@pytest.mark.parametrize("content", [(72, 128), (128, 41), (50, 50)], ids=str)
def test_frozen_padding_is_exact_where_there_is_no_content_and_near_elsewhere(content):
    encoder = made(replace(SMALL, window_size=7))
    fast = FastEncoder(encoder, taps=(2,), options=EncoderOptions(padding="frozen"))
    with torch.no_grad():
        blank, full = torch.zeros_like(images()), images(content)
        assert difference(fast(blank, content)[0], encoder(blank)) < 1e-5
        found, maps = fast(full, content)
        assert found.shape == encoder(full).shape and maps[0].shape == (2, SMALL.embed_dim, 16, 16)
        empty = [-(-c // SMALL.patch_size) for c in content]
        kept = fast(blank, content)[1][0]
    # Below and beside the content a map keeps what it has without any; inside it does not.
    assert torch.equal(maps[0][:, :, empty[0] :], kept[:, :, empty[0] :])
    assert torch.equal(maps[0][..., empty[1] :], kept[..., empty[1] :])
    assert not torch.allclose(
        maps[0][:, :, : empty[0], : empty[1]], kept[:, :, : empty[0], : empty[1]], atol=0.1
    )


def test_frozen_padding_equals_exact_where_nothing_is_empty():
    encoder, pixels = made(SMALL), images()
    frozen = FastEncoder(encoder, options=EncoderOptions(padding="frozen"))
    assert torch.equal(frozen(pixels, (128, 128))[0], FastEncoder(encoder)(pixels)[0])


def test_half_precision_stays_near():
    encoder, pixels = made(SMALL), images((72, 128))
    with torch.no_grad():
        expected = encoder(pixels)
    half = FastEncoder(encoder.bfloat16())(pixels.bfloat16(), (72, 128))[0]
    assert half.dtype == torch.bfloat16 and difference(half.float(), expected) < 0.05


@pytest.mark.big
@pytest.mark.parametrize("content", [None, (576, 1024)], ids=str)
def test_vit_b_at_its_size(content):
    encoder = made(SAM_CONFIGS["vit_b"])
    pixels = images(content, count=1, side=1024)
    with torch.no_grad():
        expected = encoder(pixels)
    found = FastEncoder(encoder)(pixels, content)[0]
    assert difference(found, expected) < 1e-4
    assert float((found - expected).norm() / expected.norm()) < 1e-5


@pytest.mark.big
def test_compiled_equals_eager():
    encoder, pixels = made(SMALL), images((72, 128))
    compiled = FastEncoder(encoder, options=EncoderOptions(compile=True))
    assert difference(compiled(pixels, (72, 128))[0], FastEncoder(encoder)(pixels, (72, 128))[0]) < 1e-5
