"""SAM's mask decoder over many (image, prompt) pairs at once, with padding in the prompts.

segment_anything's own ``forward`` takes one image and prompts of one length. Here every row has its own
image embedding and a mask of its real tokens, so that sentences of different lengths share a batch and none
feels the padding of another. The modules and weights are segment_anything's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.methods.sam.compat import Attention, MaskDecoder, TwoWayTransformer


@dataclass(frozen=True)
class DecoderOutput:
    """What the decoder says for N rows.

    Attributes:
        low_res_logits: (N, 4, 4h, 4w), mask token 0 first.
        iou: (N, 4) predicted IoU of each mask.
        tokens: (N, 5, C) output tokens, the IoU token first.
    """

    low_res_logits: Tensor
    iou: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Guidance:
    """What PerSAM adds to the decoder (target-guided attention, target-semantic prompting).

    Attributes:
        attention: (h·w,) in 0..1, added to the token-to-image attention of the blocks after its softmax.
        target: (C,) feature of the object, added to the tokens.
    """

    attention: Tensor
    target: Tensor


def attend(
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor | None = None,
    guidance: Tensor | None = None,
) -> Tensor:
    """Apply a ``segment_anything`` decoder attention, leaving masked keys out.

    Args:
        attention: The module, with q, k, v and output projections.
        q: (N, Q, C).
        k: (N, K, C).
        v: (N, K, C).
        key_mask: (N, K) bool, False where a key is padding; None: all are real.
        guidance: (K,) added to the weights after their softmax; a second softmax follows. None: neither.

    Returns:
        (N, Q, C).
    """
    heads = attention.num_heads

    def split(x: Tensor) -> Tensor:
        n, t, c = x.shape
        return x.view(n, t, heads, c // heads).transpose(1, 2)  # (N, heads, T, c)

    mask = None if key_mask is None else key_mask[:, None, None, :]
    q, k, v = split(attention.q_proj(q)), split(attention.k_proj(k)), split(attention.v_proj(v))
    if guidance is None:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    else:
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        out = (weights + guidance).softmax(-1) @ v
    return attention.out_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def two_way(
    transformer: TwoWayTransformer,
    image: Tensor,
    image_pe: Tensor,
    tokens: Tensor,
    token_mask: Tensor | None,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor]:
    """Run SAM's two-way transformer.

    Args:
        transformer: segment_anything's ``TwoWayTransformer``.
        image: (N, h·w, C) image embedding with the dense prompt added.
        image_pe: (1, h·w, C) its positional encoding.
        tokens: (N, T, C) output and prompt tokens.
        token_mask: (N, T) bool, False at padding; None: no padding.
        guidance: PerSAM's, for its first pass.

    Returns:
        Tokens (N, T, C) and image (N, h·w, C) after all blocks.
    """
    queries, keys = tokens, image
    added, weights = (None, None) if guidance is None else (guidance.target, guidance.attention)
    if added is not None:
        # PerSAM's release adds in place, so the tokens' positional part holds the target too.
        tokens = tokens + added
    for block in transformer.layers:
        if added is not None:
            queries = queries + added
        if block.skip_first_layer_pe:
            queries = attend(block.self_attn, queries, queries, queries, token_mask)
        else:
            q = queries + tokens
            queries = queries + attend(block.self_attn, q, q, queries, token_mask)
        queries = block.norm1(queries)
        k = keys + image_pe
        queries = queries + attend(
            block.cross_attn_token_to_image, queries + tokens, k, keys, guidance=weights
        )
        queries = block.norm2(queries)
        queries = block.norm3(queries + block.mlp(queries))
        keys = keys + attend(block.cross_attn_image_to_token, k, queries + tokens, queries, token_mask)
        keys = block.norm4(keys)
    k, q = keys + image_pe, queries + tokens
    queries = queries + attend(
        transformer.final_attn_token_to_image, q if added is None else q + added, k, keys
    )
    return transformer.norm_final_attn(queries), keys


def decode(
    decoder: MaskDecoder,
    image_embeddings: Tensor,
    image_pe: Tensor,
    sparse: Tensor,
    dense: Tensor,
    sparse_mask: Tensor | None = None,
    extra_tokens: Tensor | None = None,
    guidance: Guidance | None = None,
) -> DecoderOutput:
    """Predict all four masks of every row.

    The tokens are [IoU, 4 mask tokens, extra tokens, sparse prompts], so SAM's own slices stay valid.

    Args:
        decoder: segment_anything's ``MaskDecoder``.
        image_embeddings: (N, C, h, w), one per row.
        image_pe: (1, C, h, w) positional encoding.
        sparse: (N, P, C) prompt tokens.
        dense: (N, C, h, w) or broadcastable: added to the image embedding.
        sparse_mask: (N, P) bool, False at padding; None: no padding.
        extra_tokens: (N, E, C) tokens between output and prompt tokens (RefSAM's track tokens), or None.
        guidance: PerSAM's, for its first pass, or None.
    """
    n, channels, height, width = image_embeddings.shape
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    parts = [own.expand(n, -1, -1), *([extra_tokens] if extra_tokens is not None else []), sparse]
    tokens = torch.cat(parts, dim=1)
    mask = None
    if sparse_mask is not None:
        real = sparse_mask.new_ones(n, tokens.shape[1] - sparse.shape[1])
        mask = torch.cat([real, sparse_mask], dim=1)
    image = (image_embeddings + dense).flatten(2).transpose(1, 2).contiguous()
    position = image_pe.flatten(2).transpose(1, 2).contiguous()
    out, image = two_way(decoder.transformer, image, position, tokens, mask, guidance)
    count = decoder.num_mask_tokens
    mask_tokens = out[:, 1 : 1 + count]
    upscaled = decoder.output_upscaling(image.transpose(1, 2).reshape(n, channels, height, width))
    kernels = [mlp(mask_tokens[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    # The maps lie in memory pixel by pixel; the other way round their gradient would not, which makes GELU's slow.
    pixels = upscaled.permute(0, 2, 3, 1).flatten(1, 2)
    logits = (pixels @ torch.stack(kernels, dim=2)).transpose(1, 2).contiguous()
    logits = logits.view(n, count, *upscaled.shape[-2:])
    return DecoderOutput(logits, decoder.iou_prediction_head(out[:, 0]), out[:, : 1 + count])
