"""A faster forward of the blocks of segment_anything's image encoder: its modules and weights, and what it computes.

Attention goes through ``scaled_dot_product_attention`` with the decomposed relative positions (MViTv2, eq. 4) as a
bias that is made for a few rows at a time, or folded into queries and keys: with R_h and R_w a query's terms for
each row and column of keys, softmax(s·qk + R_h[row] + R_w[col]) is that of [s·q, R_h, R_w]·[k, onehot(row),
onehot(col)]. Windows are padded after ``qkv`` and not before: a padded cell is zero there, so its key and value are
the layer's bias, and no linear layer works on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.methods.sam.compat import Block, EncoderAttention, get_rel_pos

Form = Literal["bias", "folded"]
"""How relative positions enter attention."""

BIAS_ELEMENTS = 2**22
"""Elements of the bias that is made at once: 16 MiB in float32, which stays in a processor's cache."""

GPU_BIAS_ELEMENTS = 2**27
"""The same on a GPU, where few large steps are better: 256 MiB in half precision."""


class Adapters(Protocol):
    """What may follow a block's attention and run beside its MLP; each maps (..., C) to (..., C)."""

    @property
    def attention(self) -> Callable[[Tensor], Tensor]:
        """Added to the attention's output."""
        ...

    @property
    def mlp(self) -> Callable[[Tensor], Tensor]:
        """One half of it is added to the MLP's output."""
        ...


@dataclass(frozen=True)
class Around:
    """Keys and values of the cells below and to the right of a part (h, w) of a grid (H, W).

    Attributes:
        below: (1, H - h, W, 2C).
        right: (1, h, W - w, 2C).
    """

    below: Tensor
    right: Tensor

    @classmethod
    def of(cls, qkv: Tensor, part: tuple[int, int], reach: tuple[int, int]) -> Around:
        """Cut it out of a grid's queries, keys and values (1, H, W, 3C), as far as ``reach``."""
        h, w = part
        kv = qkv[:, : reach[0], : reach[1], qkv.shape[-1] // 3 :]
        return cls(kv[:, h:].clone(), kv[:, :h, w:].clone())

    def put(self, canvas: Tensor, reach: tuple[int, int]) -> None:
        """Write it where it belongs on (B, H', W', 3C), as far as ``reach``; queries there stay what they are."""
        height, width = reach
        kv = canvas[..., canvas.shape[-1] // 3 :]
        h = height - self.below.shape[1]
        kv[:, h:height, :width] = self.below
        kv[:, :h, width - self.right.shape[2] : width] = self.right


def run_block(
    block: Block,
    x: Tensor,
    *,
    grid: tuple[int, int],
    adapters: Adapters | None = None,
    around: Around | None = None,
    form: Form = "bias",
) -> tuple[Tensor, Tensor]:
    """Run a block on the top left part of the grid.

    Args:
        block: segment_anything's.
        x: (B, h, w, C).
        grid: (H, W) of the whole grid; h and w where x is all of it.
        adapters: RefSAM's, or None.
        around: Keys and values of the cells outside of x; None: x is the whole grid, or its windows end where
            x ends.
        form: How relative positions enter global attention.

    Returns:
        The output (B, h, w, C), and queries, keys and values of x (B, h, w, 3C).
    """
    attention: EncoderAttention = block.attn
    qkv = attention.qkv(block.norm1(x))
    if block.window_size > 0:
        y = _windowed(attention, qkv, block.window_size, grid, around)
    else:
        y = _global(attention, qkv, grid, around, form)
    y = attention.proj(y)
    x = x + (y if adapters is None else y + adapters.attention(y))
    y = block.norm2(x)
    out = x + block.mlp(y)
    return out if adapters is None else out + 0.5 * adapters.mlp(y), qkv


def _windowed(
    attention: EncoderAttention, qkv: Tensor, size: int, grid: tuple[int, int], around: Around | None
) -> Tensor:
    """Attend inside windows; (B, h, w, 3C) to (B, h, w, C)."""
    b, h, w, width = qkv.shape
    rows, columns = -(-h // size), -(-w // size)
    if (rows * size, columns * size) != (h, w):
        padded = qkv.new_zeros(width) if attention.qkv.bias is None else attention.qkv.bias
        canvas = padded.expand(b, rows * size, columns * size, width).contiguous()
        if around is not None:
            around.put(canvas, (min(grid[0], rows * size), min(grid[1], columns * size)))
        canvas[:, :h, :w] = qkv
        qkv = canvas
    heads = attention.num_heads
    windows = qkv.view(b, rows, size, columns, size, 3, heads, width // 3 // heads)
    q, k, v = windows.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(1, 4).unbind(0)
    out = _attend(attention, q, k, v, "bias")  # (B * windows * heads, size, size, d)
    out = out.view(b, rows, columns, heads, size, size, -1).permute(0, 1, 4, 2, 5, 3, 6)
    return out.reshape(b, rows * size, columns * size, -1)[:, :h, :w]


def _global(
    attention: EncoderAttention, qkv: Tensor, grid: tuple[int, int], around: Around | None, form: Form
) -> Tensor:
    """Attend from every cell of x to every cell of the grid; (B, h, w, 3C) to (B, h, w, C)."""
    b, h, w, width = qkv.shape
    whole = qkv
    if (h, w) != grid:
        assert around is not None, "a part of the grid attends to the rest of it"
        whole = qkv.new_empty(b, *grid, width)
        around.put(whole, grid)
        whole[:, :h, :w] = qkv
    split = (3, attention.num_heads, width // 3 // attention.num_heads)
    _, k, v = whole.view(b, *grid, *split).permute(3, 0, 4, 1, 2, 5).flatten(1, 2).unbind(0)
    q = qkv.view(b, h, w, *split)[:, :, :, 0].permute(0, 3, 1, 2, 4).flatten(0, 1)
    out = _attend(attention, q, k, v, form)  # (B * heads, h, w, d)
    return out.view(b, -1, h, w, split[-1]).permute(0, 2, 3, 1, 4).flatten(3)


def _attend(attention: EncoderAttention, q: Tensor, k: Tensor, v: Tensor, form: Form) -> Tensor:
    """Attend with relative positions; q (G, h, w, d), k and v (G, H, W, d), to (G, h, w, d)."""
    h, w = q.shape[1:3]
    keys = k.shape[1:3]
    flat_q, flat_k, flat_v = q.flatten(1, 2), k.flatten(1, 2), v.flatten(1, 2)
    if not attention.use_rel_pos:
        out = F.scaled_dot_product_attention(flat_q[None], flat_k[None], flat_v[None])
        return out.reshape(q.shape)
    terms = (
        torch.einsum("ghwc,hkc->ghwk", q, get_rel_pos(keys[0], keys[0], attention.rel_pos_h)[:h]),
        torch.einsum("ghwc,wkc->ghwk", q, get_rel_pos(keys[1], keys[1], attention.rel_pos_w)[:w]),
    )
    rel_h, rel_w = (t.flatten(1, 2) for t in terms)
    attend = _folded if form == "folded" else _biased
    return attend(flat_q, flat_k, flat_v, rel_h, rel_w, attention.scale).reshape(q.shape)


def _biased(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, scale: float) -> Tensor:
    """Attend with the bias R_h + R_w, a few rows of it at a time: (G, N, d), (G, M, d), (G, N, H or W)."""
    out = torch.empty_like(q)
    limit = GPU_BIAS_ELEMENTS if q.is_cuda else BIAS_ELEMENTS
    for part in _parts(len(q), q.shape[1], k.shape[1], limit):
        groups = part[0]
        bias = (rel_h[part][..., None] + rel_w[part][..., None, :]).flatten(-2)
        found = F.scaled_dot_product_attention(
            q[part][None], k[groups][None], v[groups][None], attn_mask=bias[None], scale=scale
        )
        out[part] = found[0]
    return out


def _parts(groups: int, queries: int, keys: int, limit: int) -> Iterator[tuple[slice, slice]]:
    """Yield which groups and queries are attended from together, by at most so many elements of bias."""
    at_once = max(1, limit // (queries * keys))
    rows = min(queries, max(1, limit // keys))
    for g in range(0, groups, at_once):
        for n in range(0, queries, rows):
            yield slice(g, g + at_once), slice(n, n + rows)


def _folded(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, scale: float) -> Tensor:
    """Attend with relative positions as further dimensions of queries and keys."""
    rows, columns = rel_h.shape[-1], rel_w.shape[-1]
    row = torch.eye(rows, dtype=k.dtype, device=k.device).repeat_interleave(columns, 0)
    column = torch.eye(columns, dtype=k.dtype, device=k.device).repeat(rows, 1)
    wide_q = torch.cat([q * scale, rel_h, rel_w], -1)
    wide_k = torch.cat([k, torch.cat([row, column], 1).expand(len(k), -1, -1)], -1)
    # Fused kernels want values as wide as keys.
    wide_v = F.pad(v, (0, rows + columns))
    out = F.scaled_dot_product_attention(wide_q[None], wide_k[None], wide_v[None], scale=1.0)
    return out[0, ..., : v.shape[-1]]
