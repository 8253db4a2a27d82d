from functools import partial

import pytest
import torch

from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.decode import Guidance, decode


@pytest.fixture(scope="module")
def sam():
    torch.manual_seed(0)
    return build_sam(SAM_CONFIGS["tiny"]).requires_grad_(False)


@pytest.fixture(scope="module")
def embeddings():
    return torch.randn(3, 128, 16, 16, generator=torch.Generator().manual_seed(1))


def test_equals_segment_anything_with_its_own_prompts(sam, embeddings):
    points = torch.rand(2, 3, 2) * 128, torch.tensor([[1, 0, 1], [1, 1, 0]])
    sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=torch.randn(2, 1, 64, 64))
    position = sam.prompt_encoder.get_dense_pe()
    logits, iou = sam.mask_decoder.predict_masks(embeddings[:1], position, sparse, dense)
    ours = decode(sam.mask_decoder, embeddings[[0, 0]], position, sparse, dense)
    torch.testing.assert_close(ours.low_res_logits, logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.iou, iou, atol=1e-5, rtol=1e-4)


def test_padding_is_not_felt(sam, embeddings):
    position = sam.prompt_encoder.get_dense_pe()
    sparse, dense = torch.randn(3, 7, 128), torch.randn(3, 128, 16, 16)
    lengths = torch.tensor([2, 7, 0])
    mask = torch.arange(7) < lengths[:, None]
    together = decode(sam.mask_decoder, embeddings, position, sparse, dense, mask)
    for i, length in enumerate(lengths.tolist()):
        row = slice(i, i + 1)
        alone = decode(sam.mask_decoder, embeddings[row], position, sparse[row, :length], dense[row])
        torch.testing.assert_close(together.low_res_logits[row], alone.low_res_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.tokens[row], alone.tokens, atol=1e-5, rtol=1e-4)


def test_extra_tokens_stand_before_the_prompts(sam, embeddings):
    position = sam.prompt_encoder.get_dense_pe()
    sparse, extra, dense = torch.randn(3, 4, 128), torch.randn(3, 2, 128), torch.zeros(1, 128, 1, 1)
    one = decode(sam.mask_decoder, embeddings, position, sparse, dense, extra_tokens=extra)
    other = decode(sam.mask_decoder, embeddings, position, torch.cat([extra, sparse], 1), dense)
    assert torch.equal(one.low_res_logits, other.low_res_logits)
    assert one.tokens.shape == (3, 5, 128)


def test_guidance_is_persams_by_the_original_blocks(sam, embeddings, monkeypatch):
    """The order of PerSAM's release, with segment_anything's own blocks and a second softmax in their attention."""
    decoder, position = sam.mask_decoder, sam.prompt_encoder.get_dense_pe()
    generator = torch.Generator().manual_seed(3)
    sparse, target = torch.randn(1, 3, 128, generator=generator), torch.randn(128, generator=generator)
    where = torch.rand(256, generator=generator)
    dense = torch.zeros(1, 128, 16, 16)
    ours = decode(decoder, embeddings[:1], position, sparse, dense, guidance=Guidance(where, target))

    def guided(attention, q, k, v):
        q, k, v = (
            attention._separate_heads(p, 4)
            for p in (attention.q_proj(q), attention.k_proj(k), attention.v_proj(v))
        )
        weights = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)
        return attention.out_proj(attention._recombine_heads((weights + where).softmax(-1) @ v))

    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None]
    place = torch.cat([tokens, sparse], 1) + target
    queries, keys, pe = place, embeddings[:1].flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2)
    for i, block in enumerate(decoder.transformer.layers):
        attention = block.cross_attn_token_to_image
        monkeypatch.setattr(attention, "forward", partial(guided, attention))
        queries, keys = block(queries + target if i else queries, keys, place, pe)
    final = decoder.transformer.final_attn_token_to_image
    out = queries + final(queries + place + target, keys + pe, keys)
    out = decoder.transformer.norm_final_attn(out)
    torch.testing.assert_close(ours.tokens, out[:, :5], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.iou, decoder.iou_prediction_head(out[:, 0]), atol=1e-5, rtol=1e-4)
    plain = decode(decoder, embeddings[:1], position, sparse, dense)
    assert not torch.allclose(plain.tokens, ours.tokens, atol=1e-2)
