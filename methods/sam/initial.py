"""Weights that a small SAM starts from where there is no MAE pre-training and little time.

SAM's image encoder comes from MAE, with sine and cosine position embeddings. From plain random weights a SAM of this
size spends its first hundreds of steps on nothing but finding where a prompt points to. What is set here is already
so in trained models: attention looks for what is like its query.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from refseg.methods.sam.compat import Attention, Sam


def initialise(sam: Sam, seed: int) -> None:
    """Set position embeddings, the image encoder's attention and the decoder's attention to the image, seeded."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "rel_pos" in name:
                nn.init.trunc_normal_(parameter, std=0.02)
        positions = sam.image_encoder.pos_embed
        assert positions is not None
        # As large as the embedded patches are at first.
        positions.copy_(0.7 * sine_positions(positions.shape[1], positions.shape[3]))
        for block in sam.image_encoder.blocks:
            mimetic(block.attn.qkv, block.attn.proj, block.attn.num_heads)
        for name, module in sam.mask_decoder.named_modules():
            if isinstance(module, Attention) and "self" not in name:
                # A prompt's token finds the image's tokens at its place, as both carry the same position encoding.
                module.q_proj.weight.mul_(2.0)
                module.k_proj.weight.copy_(module.q_proj.weight)


def sine_positions(side: int, width: int) -> Tensor:
    """Return (side, side, width): sines and cosines of row and column, periods from 4 cells to 400."""
    frequencies = math.pi / 2 * 100 ** -torch.linspace(0, 1, width // 4)
    angles = torch.arange(side)[:, None] * frequencies
    one = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, width / 2)
    return torch.cat([one[:, None].expand(-1, side, -1), one[None].expand(side, -1, -1)], dim=-1)


def mimetic(qkv: nn.Linear, proj: nn.Linear, heads: int) -> None:
    """Set an attention's weights to look as trained ones do (Trockman & Kolter, "Mimetic Initialization", 2023).

    A head's product of query and key is 0.7 I plus noise, and that of value and output -0.4 I plus noise.

    Args:
        qkv: Linear(width, 3 · width) of queries, keys and values, each head after head.
        proj: Linear(width, width) of the output.
        heads: Number of heads.
    """
    width = proj.in_features
    size = width // heads
    noise = 1 / width**0.5
    for head in range(heads):
        u, s, vh = torch.linalg.svd(0.7 * (torch.eye(width) + noise * torch.randn(width, width)))
        root = s[:size, None].sqrt()
        at = head * size
        qkv.weight[at : at + size] = root * u[:, :size].T
        qkv.weight[width + at : width + at + size] = root * vh[:size]
    u, s, vh = torch.linalg.svd(0.4 * (noise * torch.randn(width, width) - torch.eye(width)))
    qkv.weight[2 * width :] = s[:, None].sqrt() * vh
    proj.weight.copy_(u * s.sqrt())
    qkv.bias.zero_()
