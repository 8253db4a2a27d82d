"""AOT's long short-term transformer: identities are added to the values.

"Associating Objects with Transformers for Video Object Segmentation" (2021), section 4; names and details as in
the official ``networks/layers/transformer.py`` (``LongShortTermTransformerBlock``) and ``attention.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.attention import WindowRead, attend
from refseg.methods.deaot.layers import DropPath, Size, to_map, to_tokens
from refseg.methods.deaot.propagation import Memory, PropagationLayer, PropagationStack


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return (B, heads, N, C / heads) from (B, N, C)."""
    return torch.unflatten(x, 2, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Undo :func:`split_heads`."""
    return x.transpose(1, 2).flatten(2)


class LongTermAttention(nn.Module):
    """Multi-head attention of projected tokens."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return (B, N, C) from queries (B, N, C), keys and values (B, M, C)."""
        q, k, v = (split_heads(x, self.heads) for x in (query, key, value))
        return self.projection(join_heads(attend(q, k, v)))  # type: ignore[no-any-return]


class SelfAttention(LongTermAttention):
    """The same with projections of its own."""

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__(dim, heads=heads)
        self.linear_Q = nn.Linear(dim, dim)
        self.linear_K = nn.Linear(dim, dim)
        self.linear_V = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return (B, N, C) from queries, keys and values (B, N, C)."""
        return super().forward(self.linear_Q(query), self.linear_K(key), self.linear_V(value))


class ShortTermAttention(nn.Module):
    """Multi-head attention to a window, with learnt terms for each offset in scores and values."""

    def __init__(self, dim: int, *, heads: int, reach: int) -> None:
        super().__init__()
        self.heads = heads
        offsets = (2 * reach + 1) ** 2
        self.relative_emb_k = nn.Conv2d(dim, heads * offsets, 1, groups=heads)
        self.relative_emb_v = nn.Parameter(torch.zeros(heads, dim // heads, offsets))
        self.projection = nn.Linear(dim, dim)
        self.window = WindowRead(reach=reach)

    def forward(self, query: Tensor, memory: Memory, size: Size) -> Tensor:
        """Return (B, N, C) from queries (B, N, C) and the memory of one frame."""
        relative = to_tokens(self.relative_emb_k(to_map(query, size)))
        q, k, v, r = (split_heads(x, self.heads) for x in (query, memory.key, memory.value, relative))
        read = self.window(q, k, v, r, size, self.relative_emb_v.transpose(1, 2))
        return self.projection(join_heads(read))  # type: ignore[no-any-return]


class GnActDwConv2d(nn.Module):
    """The feed-forward's activation: group norm, GELU, 5x5 depthwise convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(32, channels)
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Transform (B, h·w, C)."""
        return to_tokens(self.conv(F.gelu(self.gn(to_map(x, size)))))


@dataclass(frozen=True)
class LsttFrame:
    """A frame before it reads the memories: tokens after self-attention, query (also key), unfused value."""

    x: Tensor
    query: Tensor
    value: Tensor


class LongShortTermLayer(PropagationLayer):
    """Self-attention, long- and short-term attention, feed-forward."""

    def __init__(self, dim: int, *, heads: int, reach: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.self_attn = SelfAttention(dim, heads=heads)
        self.norm2 = nn.LayerNorm(dim)
        self.linear_Q = nn.Linear(dim, dim)
        self.linear_V = nn.Linear(dim, dim)
        self.long_term_attn = LongTermAttention(dim, heads=heads)
        self.short_term_attn = ShortTermAttention(dim, heads=heads, reach=reach)
        self.norm3 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, 4 * dim)
        self.activation = GnActDwConv2d(4 * dim)
        self.linear2 = nn.Linear(4 * dim, dim)
        self.drop_path = DropPath(drop_path)

    def prepare(self, x: Tensor, y: Tensor | None, size: Size) -> LsttFrame:
        """Attend inside the frame, then project."""
        normed = self.norm1(x)
        placed = normed + sine_embedding(size, x.shape[-1]).to(x)
        x = x + self.drop_path(self.self_attn(placed, placed, normed))
        normed = self.norm2(x)
        return LsttFrame(x, self.linear_Q(normed), normed)

    def remember(self, current: LsttFrame, identity: Tensor) -> Memory:
        """Return keys as they are and values with the identities added."""
        return Memory(current.query, self.linear_V(current.value + identity))

    def propagate(self, current: LsttFrame, long: Memory, short: Memory, size: Size) -> tuple[Tensor, None]:
        """Add what both memories say, then the feed-forward."""
        far = self.long_term_attn(current.query, long.key, long.value)
        x = current.x + far + self.short_term_attn(current.query, short, size)
        return x + self.drop_path(self.linear2(self.activation(self.linear1(self.norm3(x)), size))), None


class LongShortTermTransformer(PropagationStack):
    """The layers; the decoder gets the tokens before them and those of each, normalised."""

    def __init__(self, dim: int, *, layers: int, heads: int, reach: int, drop_path: float) -> None:
        super().__init__()
        # Unused, here and officially, but in the official checkpoints.
        self.mask_token = nn.Parameter(torch.randn(1, 1, dim))
        self.layers = nn.ModuleList(
            LongShortTermLayer(dim, heads=heads, reach=reach, drop_path=drop_path) for _ in range(layers)
        )
        self.decoder_norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))

    def decoder_tokens(self, x: Tensor, outputs: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Return (B, N, (layers + 1) · C)."""
        normed = [norm(out) for norm, (out, _) in zip(self.decoder_norms, outputs, strict=True)]
        return torch.cat([x, *normed], -1)


def sine_embedding(size: Size, dim: int) -> Tensor:
    """Return the (h·w, dim) sine embedding of places: rows in the first half, columns in the second."""
    height, width = size
    index = torch.arange(dim // 2, dtype=torch.float32)
    period = 10000 ** (2 * (index // 2) / (dim // 2))
    halves = []
    for side in (height, width):
        angle = torch.arange(side)[:, None] * (2 * math.pi / (side - 1 + 1e-6)) / period
        halves.append(torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], 2).flatten(1))
    rows = halves[0][:, None].expand(-1, width, -1)
    columns = halves[1][None].expand(height, -1, -1)
    return torch.cat([rows, columns], -1).flatten(0, 1)
