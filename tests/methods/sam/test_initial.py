import pytest
import torch

from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.initial import initialise, sine_positions


@pytest.fixture(scope="module")
def sam():
    built = build_sam(SAM_CONFIGS["tiny"]).requires_grad_(False)
    initialise(built, 0)
    return built


def test_every_place_has_a_position_of_its_own():
    """Close places are alike, and the likeness falls with the distance at first."""
    flat = sine_positions(16, 128).flatten(0, 1)
    likeness = flat @ flat.T
    assert (likeness.argmax(1) == torch.arange(256)).all()
    row = likeness[8 * 16 + 8].view(16, 16)[8]
    assert row[8] > row[9] > row[10] > row[11]


def test_attention_looks_for_what_is_like_its_query(sam):
    """The product of query and key weights has a positive trace in every head, value and output a negative one."""
    for block in sam.image_encoder.blocks:
        q, k, v = block.attn.qkv.weight.chunk(3)
        heads = block.attn.num_heads
        for q_head, k_head in zip(q.chunk(heads), k.chunk(heads), strict=True):
            assert torch.trace(q_head.T @ k_head) > 0
        d = v.shape[1]
        product = block.attn.proj.weight @ v
        assert float(torch.trace(product)) / d == pytest.approx(-0.4, abs=0.1)
        apart = product + 0.4 * torch.eye(d)
        assert float(apart.norm()) / d**0.5 == pytest.approx(0.4, rel=0.2)


def test_a_point_finds_its_place_at_once(sam):
    """Before any training, the decoder's attention from a point's position peaks within a cell of it."""
    attention = sam.mask_decoder.transformer.final_attn_token_to_image
    encoding = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T
    points = torch.tensor([[20.0, 30.0], [100.0, 70.0], [64.0, 64.0]])
    asked = sam.prompt_encoder.pe_layer.forward_with_coords(points[:, None], (128, 128))[:, 0]
    scores = attention.q_proj(asked) @ attention.k_proj(encoding).T
    best = scores.argmax(1)
    at = torch.stack([best % 16, best // 16], 1) * 8 + 4
    assert ((at - points).abs() <= 12).all(), at


def test_the_same_seed_gives_the_same_weights(sam):
    again = build_sam(SAM_CONFIGS["tiny"])
    initialise(again, 0)
    assert torch.equal(
        again.image_encoder.blocks[3].attn.qkv.weight, sam.image_encoder.blocks[3].attn.qkv.weight
    )
