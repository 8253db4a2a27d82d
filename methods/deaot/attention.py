"""Attention to all tokens and to a window around each query, without any compiled extension.

Window attention works on tiles: a tile of queries shares one window of keys that holds the windows of all of its
queries. With the official reach of 7 a tile has 8x8 queries and 22x22 keys, so that scores and copies grow with
the number of tokens, not with its square, and all products are batched matrix products.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.layers import Size

MAX_SCORES = 2**24
"""Scores that :func:`attend` holds at once (64 MB in float32)."""


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention, in blocks of queries where there are many scores.

    Args:
        query: (B, heads, N, D).
        key: (B, heads, M, D).
        value: (B, heads, M, E).

    Returns:
        (B, heads, N, E).
    """
    batch, heads, _, _ = query.shape
    rows = max(1, MAX_SCORES // (batch * heads * key.shape[2]))
    parts = [F.scaled_dot_product_attention(q, key, value) for q in torch.split(query, rows, dim=2)]
    return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


class WindowRead(nn.Module):
    """Softmax attention of each query to the keys at most ``reach`` rows and columns away.

    Offset (dy, dx) has index (dy + reach) · (2·reach + 1) + dx + reach, as in the official
    ``LocalGatedPropagation``; keys outside the map do not count.
    """

    offset: Tensor
    place: Tensor

    def __init__(self, *, reach: int) -> None:
        super().__init__()
        # No larger: then each query that pads the last tiles still sees a key of the map, and no row is all masked.
        self.tile = reach + 1
        self.reach = reach
        side = 2 * reach + 1
        window = self.tile + 2 * reach
        queries, keys, offsets = torch.arange(self.tile), torch.arange(window), torch.arange(side)
        step = keys[None] - queries[:, None]  # (tile, window): offset plus reach along one axis
        inside = (step >= 0) & (step < side)
        offset = step[:, None, :, None] * side + step[None, :, None, :]
        offset[~(inside[:, None, :, None] & inside[None, :, None, :])] = side * side
        at = queries[:, None] + offsets[None]  # (tile, side): the key at each offset
        place = at[:, None, :, None] * window + at[None, :, None, :]
        self.register_buffer("offset", offset.reshape(self.tile**2, window**2), persistent=False)
        self.register_buffer("place", place.reshape(self.tile**2, side**2), persistent=False)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        relative: Tensor,
        size: Size,
        relative_value: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: (B, heads, h·w, D).
            key: (B, heads, h·w, D).
            value: (B, heads, h·w, E).
            relative: (B, heads, h·w, offsets), added to the scores.
            size: (h, w).
            relative_value: (heads, offsets, E), added to the values by offset, or None.

        Returns:
            (B, heads, h·w, E).
        """
        queries = self._tiles(query * query.shape[-1] ** -0.5, size)  # (B, heads, T, tile², D)
        keys, values = self._windows(key, size), self._windows(value, size)
        bias = F.pad(self._tiles(relative, size), (0, 1), value=float("-inf"))
        bias = bias.gather(-1, self.offset.expand(*bias.shape[:3], -1, -1))  # (B, heads, T, tile², window²)
        scores = queries @ keys.transpose(-2, -1) + bias
        real = self._windows(scores.new_ones(1, 1, size[0] * size[1], 1), size).bool()
        weights = scores.masked_fill(~real.transpose(-2, -1), float("-inf")).softmax(-1)
        out = weights @ values
        if relative_value is not None:
            by_offset = weights.gather(-1, self.place.expand(*weights.shape[:3], -1, -1))
            out = out + by_offset @ relative_value[:, None]
        return self._untile(out, size)

    def _tiles(self, x: Tensor, size: Size) -> Tensor:
        """Return (B, heads, T, tile², C) from (B, heads, h·w, C), padded with zeros at the end."""
        tile = self.tile
        x = F.pad(torch.unflatten(x, 2, size), (0, 0, 0, -size[1] % tile, 0, -size[0] % tile))
        x = torch.unflatten(torch.unflatten(x, 3, (-1, tile)), 2, (-1, tile)).transpose(3, 4)
        return x.flatten(4, 5).flatten(2, 3)

    def _untile(self, x: Tensor, size: Size) -> Tensor:
        """Undo :meth:`_tiles`."""
        tile, (height, width) = self.tile, size
        tiles = (-(-height // tile), -(-width // tile))
        x = torch.unflatten(torch.unflatten(x, 3, (tile, tile)), 2, tiles).transpose(3, 4)
        return x.flatten(4, 5).flatten(2, 3)[:, :, :height, :width].flatten(2, 3)

    def _windows(self, x: Tensor, size: Size) -> Tensor:
        """Return (B, heads, T, window², C): what each tile of queries may see, zeros outside of the map."""
        tile, reach = self.tile, self.reach
        right, below = reach + -size[1] % tile, reach + -size[0] % tile
        x = F.pad(torch.unflatten(x, 2, size), (0, 0, reach, right, reach, below))
        window = tile + 2 * reach
        x = x.unfold(2, window, tile).unfold(3, window, tile)  # (B, heads, rows, columns, C, window, window)
        return x.flatten(2, 3).permute(0, 1, 2, 4, 5, 3).flatten(3, 4)
