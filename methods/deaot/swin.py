"""Swin Transformer without its last stage (``networks/encoders/swin/swin_transformer.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.layers import Size


class WindowAttention(nn.Module):
    """Self-attention inside windows, with a learnt bias for each relative position."""

    relative_position_index: Tensor

    def __init__(self, dim: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        at = torch.arange(window * window)
        dy = at[:, None] // window - at[None] // window + window - 1
        dx = at[:, None] % window - at[None] % window + window - 1
        self.register_buffer("relative_position_index", dy * (2 * window - 1) + dx)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attend inside each window.

        Args:
            x: (B, W, n, C): W windows of n tokens.
            mask: (W, n, n) added to the scores, or None.
        """
        qkv = torch.unflatten(self.qkv(x), 3, (3, self.heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)  # (B, W, heads, n, c) each
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask[:, None].to(bias.dtype)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(2, 3).flatten(3))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two layers with GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class SwinBlock(nn.Module):
    """Window attention, in every second block with the windows shifted by half, then an MLP."""

    def __init__(self, dim: int, *, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads=heads, window=window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Transform (B, h, w, C); ``mask`` as :func:`shift_mask` makes it.

        The map is padded after the norm, and padding takes part in the attention, as in the official code.
        """
        height, width = x.shape[1:3]
        window, shift = self.window, self.shift
        y = F.pad(self.norm1(x), (0, 0, 0, -width % window, 0, -height % window))
        padded = (y.shape[1], y.shape[2])
        if shift:
            y = y.roll((-shift, -shift), dims=(1, 2))
        y = merge(self.attn(partition(y, window), mask if shift else None), padded, window)
        if shift:
            y = y.roll((shift, shift), dims=(1, 2))
        x = x + y[:, :height, :width]
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PatchMerging(nn.Module):
    """Halve the map: four neighbours become one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, ceil(h/2), ceil(w/2), 2C) from (B, h, w, C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, -1)))  # type: ignore[no-any-return]


class SwinStage(nn.Module):
    """Blocks of one width, then perhaps a halving."""

    def __init__(self, dim: int, *, depth: int, heads: int, window: int, downsample: bool) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads=heads, window=window, shift=i % 2 * (window // 2)) for i in range(depth)
        )
        self.downsample = PatchMerging(dim) if downsample else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, h, w, C) as the blocks leave it, and what the next stage gets."""
        mask = shift_mask((x.shape[1], x.shape[2]), self.window, x.device)
        for block in self.blocks:
            x = block(x, mask)
        return x, self.downsample(x)


class PatchEmbed(nn.Module):
    """4x4 patches to tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 4, stride=4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, ceil(H/4), ceil(W/4), C) from (B, 3, H, W)."""
        x = self.proj(F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)))
        return self.norm(x.permute(0, 2, 3, 1))  # type: ignore[no-any-return]


class SwinTransformer(nn.Module):
    """The first three stages: maps at strides 4, 8 and 16."""

    def __init__(self, *, dim: int, depths: Sequence[int], heads: Sequence[int], window: int) -> None:
        """Create it.

        Args:
            dim: Width of the first stage; each further one is twice as wide.
            depths: Blocks of the three stages.
            heads: Heads of the three stages.
            window: Side of a window in tokens.
        """
        super().__init__()
        self.patch_embed = PatchEmbed(dim)
        last = len(depths) - 1
        self.layers = nn.ModuleList(
            SwinStage(dim * 2**i, depth=d, heads=h, window=window, downsample=i < last)
            for i, (d, h) in enumerate(zip(depths, heads, strict=True))
        )
        self.norm0 = nn.LayerNorm(dim)
        self.norm1 = nn.LayerNorm(2 * dim)
        self.norm2 = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return maps of (B, 3, H, W): dim channels at stride 4, 2·dim at 8, 4·dim at 16, and the last again."""
        x = self.patch_embed(x)
        maps = []
        for layer, norm in zip(self.layers, (self.norm0, self.norm1, self.norm2), strict=True):
            out, x = layer(x)
            maps.append(norm(out).permute(0, 3, 1, 2))
        return [*maps, maps[-1]]


def partition(x: Tensor, window: int) -> Tensor:
    """Return (B, windows, window², C) from (B, h, w, C); h and w are multiples of ``window``."""
    b, h, w, c = x.shape
    x = x.view(b, h // window, window, w // window, window, c).transpose(2, 3)
    return x.reshape(b, -1, window * window, c)


def merge(x: Tensor, size: Size, window: int) -> Tensor:
    """Undo :func:`partition`: (B, h, w, C)."""
    h, w = size
    x = x.view(len(x), h // window, w // window, window, window, -1).transpose(2, 3)
    return x.reshape(len(x), h, w, -1)


def shift_mask(size: Size, window: int, device: torch.device) -> Tensor:
    """Return (windows, n, n): -100 where a shifted window joins parts of the map that are not neighbours."""
    regions = []
    for side in size:
        padded = side + -side % window
        region = torch.zeros(padded, dtype=torch.long, device=device)
        region[padded - window :] = 1
        region[padded - window // 2 :] = 2
        regions.append(region)
    region = 3 * regions[0][:, None] + regions[1]
    parts = partition(region[None, :, :, None], window)[0, :, :, 0]
    return -100.0 * (parts[:, :, None] != parts[:, None])
