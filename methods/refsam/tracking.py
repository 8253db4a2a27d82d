"""Implicit tracking module: what one frame's decoder tells the next (paper III-E, Table IV)."""

from __future__ import annotations

from torch import Tensor, nn


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
