"""SAM's image encoder with RefSAM's adapters and intermediate maps (paper III-C, III-D)."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from refseg.methods.sam.compat import Block, ImageEncoderViT, window_partition, window_unpartition


class Adapter(nn.Module):
    """Linear, activation, Linear; the second is zero at first, so that training starts at SAM."""

    def __init__(self, width: int, *, ratio: int, activation: str) -> None:
        super().__init__()
        self.down = nn.Linear(width, width // ratio)
        self.act = nn.ReLU() if activation == "relu" else nn.GELU()
        self.up = nn.Linear(width // ratio, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width), without a skip."""
        return self.up(self.act(self.down(x)))  # type: ignore[no-any-return]


class BlockAdapters(nn.Module):
    """The two adapters of one block: after its attention, and beside its MLP."""

    def __init__(self, width: int, *, ratio: int, activation: str) -> None:
        super().__init__()
        self.attention = Adapter(width, ratio=ratio, activation=activation)
        self.mlp = Adapter(width, ratio=ratio, activation=activation)


def adapted_block(block: Block, adapters: BlockAdapters, x: Tensor) -> Tensor:
    """Run a ViT block with its adapters on (B, h, w, C).

    The first adapter follows the attention inside the windows, with its own skip; the second runs beside the
    MLP on the same normalised input, scaled by one half.
    """
    y = block.norm1(x)
    height, width = y.shape[1:3]
    if block.window_size > 0:
        y, padded = window_partition(y, block.window_size)
    y = block.attn(y)
    y = y + adapters.attention(y)
    if block.window_size > 0:
        y = window_unpartition(y, block.window_size, padded, (height, width))
    x = x + y
    y = block.norm2(x)
    return x + block.mlp(y) + 0.5 * adapters.mlp(y)  # type: ignore[no-any-return]


def tapped_blocks(global_attn_indexes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the blocks whose outputs feed the hierarchical dense attention: global ones but for the last."""
    return global_attn_indexes[:-1]


def encode(
    encoder: ImageEncoderViT,
    adapters: nn.ModuleDict,
    taps: tuple[int, ...],
    images: Tensor,
    *,
    recompute: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Encode images.

    Args:
        encoder: segment_anything's image encoder.
        adapters: Block number as text -> :class:`BlockAdapters`.
        taps: Blocks whose outputs are returned as well.
        images: (B, 3, S, S) normalised.
        recompute: Compute blocks with adapters again in the backward pass instead of keeping what is inside them.

    Returns:
        The embedding (B, C, h, w) after the neck, and the tapped outputs (B, dim, h, w) before it.
    """
    # Without a learnable part before the first adapter its blocks need no graph.
    trained = any(p.requires_grad for p in encoder.parameters())
    first = min((int(i) for i in adapters), default=len(encoder.blocks))
    maps: list[Tensor] = []
    x = images
    for i, block in enumerate(encoder.blocks):
        with nullcontext() if trained or i >= first else torch.no_grad():
            if i == 0:
                x = encoder.patch_embed(x)
                x = x if encoder.pos_embed is None else x + encoder.pos_embed
            run = block
            if str(i) in adapters:
                pair = adapters[str(i)]
                assert isinstance(pair, BlockAdapters)
                run = partial(adapted_block, block, pair)
            again = recompute and torch.is_grad_enabled()
            x = checkpoint(run, x, use_reentrant=False) if again else run(x)
            if i in taps:
                maps.append(x.permute(0, 3, 1, 2))
    return encoder.neck(x.permute(0, 3, 1, 2)), maps
