"""Small layers that several parts share, with the parameter names of the official checkpoints."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int]
"""(h, w) of a map whose tokens lie in row-major order."""

Norm = Callable[[int], nn.Module]
"""Makes the norm of an encoder from its number of channels."""


def to_map(tokens: Tensor, size: Size) -> Tensor:
    """Return (B, C, h, w) from (B, h·w, C)."""
    return torch.unflatten(tokens.transpose(1, 2), 2, size)


def to_tokens(x: Tensor) -> Tensor:
    """Return (B, h·w, C) from (B, C, h, w)."""
    return x.flatten(2).transpose(1, 2)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine parameters are constants (``networks/layers/normalization.py``)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, h, w)."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


class GroupNorm1d(nn.Module):
    """Group norm over all tokens of an image."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.gn = nn.GroupNorm(groups, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, N, C)."""
        return self.gn(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]


class DepthwiseConv2d(nn.Module):
    """5x5 depthwise convolution of tokens, then dropout of whole channels."""

    def __init__(self, channels: int, *, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Convolve (B, h·w, C)."""
        return to_tokens(self.dropout(self.conv(to_map(x, size))))


class ConvGroupNorm(nn.Module):
    """Convolution that keeps the size, then group norm with 8 groups."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.gn = nn.GroupNorm(8, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h, w) from (B, in, h, w)."""
        return self.gn(self.conv(x))  # type: ignore[no-any-return]


class DropPath(nn.Module):
    """Stochastic depth: in training, leave a residual out for a whole sample and scale the others up."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Drop rows of (B, ...)."""
        if not self.training or self.probability == 0:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= self.probability
        return x * kept / (1 - self.probability)
