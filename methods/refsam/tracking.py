"""Implicit tracking module: what one frame's decoder tells the next (paper III-E, Table IV)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Track:
    """What N rows carry from one frame to the next.

    Attributes:
        tokens: (N, T, C) track tokens, or None without the ITM.
        masks: (N, 4h, 4w) probabilities of the mask that was the output, or None without mask memory.
    """

    tokens: Tensor | None
    masks: Tensor | None


class ImplicitTracking(nn.Module):
    """LayerNorm(x + W2 ReLU(W1 x)) of the chosen output token of the frame before."""

    def __init__(self, width: int, *, token: str, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self._chosen = {"iou": slice(0, 1), "main_mask": slice(1, 2), "all_masks": slice(1, 5)}[token]
        self.count = self._chosen.stop - self._chosen.start
        """Track tokens T a row."""
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return track tokens from output tokens.

        Args:
            tokens: (N, 5, C): the IoU token and four mask tokens.

        Returns:
            (N, 1, C), or (N, 4, C) where all mask tokens are carried.
        """
        x = tokens[:, self._chosen]
        y = self.mlp(x)
        return self.norm(x + y if self.residual else y)  # type: ignore[no-any-return]


MASK_CELL = 4
"""Logits of a mask along each side of a cell of the image embedding."""


class MaskMemory(nn.Module):
    """How what the mask of the frame before held has moved, added to the image embedding; the paper has none.

    W3 spread(W1 image * W2 mask): the product of what is there now and of where the mask was, over 3x3 cells, tells
    at an object's edges whether it has left the mask or reaches beyond it; a depthwise convolution spreads that over
    the object. W3 begins as zeros, so that a new one says nothing.
    """

    def __init__(self, dim: int, *, hidden: int) -> None:
        super().__init__()
        self.of_image = nn.Conv2d(dim, hidden, kernel_size=3, padding=1)
        self.of_mask = nn.Conv2d(MASK_CELL**2, hidden, kernel_size=3, padding=1)
        self.spread = nn.Conv2d(hidden, hidden, kernel_size=5, padding=2, groups=hidden, bias=False)
        self.out = nn.Conv2d(hidden, dim, kernel_size=1)
        nn.init.constant_(self.spread.weight, 0.2)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def compare(self, embedding: Tensor, masks: Tensor, frame_index: Tensor) -> Tensor:
        """Return (N, hidden, h, w), how each row's cells have moved.

        Args:
            embedding: (B, C, h, w), one per frame.
            masks: (N, 4h, 4w) probabilities.
            frame_index: (N,) the frame of each row.
        """
        cells = F.pixel_unshuffle(masks[:, None] - 0.5, MASK_CELL)
        now = self.of_image(embedding).index_select(0, frame_index)
        # A depthwise convolution's gradient is many times slower in the usual layout.
        held = (now * self.of_mask(cells)).contiguous(memory_format=torch.channels_last)
        compared: Tensor = self.spread(held)
        return compared

    def forward(self, embedding: Tensor, masks: Tensor, frame_index: Tensor) -> Tensor:
        """Return (N, C, h, w); arguments as in :meth:`compare`."""
        out: Tensor = self.out(self.compare(embedding, masks, frame_index))
        return out.contiguous()
