"""MobileNetV2 with its last strides turned into dilation (``networks/encoders/mobilenetv2.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from refseg.methods.deaot.layers import Norm


@dataclass(frozen=True)
class Stage:
    """Inverted residuals of one width.

    Attributes:
        expansion: Hidden channels by input channels.
        channels: Output channels.
        blocks: How many.
        stride: Of the first.
        dilation: Of all but the first, and of the first where ``dilate_first``.
        dilate_first: Whether the first is dilated too.
        ends_map: The output of the last is one of the encoder's maps.
    """

    expansion: int
    channels: int
    blocks: int
    stride: int = 1
    dilation: int = 1
    dilate_first: bool = False
    ends_map: bool = False


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1; a shortcut where the shape stays."""

    def __init__(
        self, in_channels: int, out_channels: int, *, expansion: int, stride: int, dilation: int, norm: Norm
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_conv(in_channels, hidden, 1, norm=norm))
        layers.append(
            _conv(hidden, hidden, 3, stride=stride, dilation=dilation, groups=hidden, norm=norm),
        )
        layers += [nn.Conv2d(hidden, out_channels, 1, bias=False), norm(out_channels)]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out, h / stride, w / stride) from (B, in, h, w)."""
        out: Tensor = self.conv(x)
        return x + out if self.shortcut else out


class MobileNetV2(nn.Module):
    """MobileNetV2 that returns four maps."""

    def __init__(
        self,
        *,
        stem_channels: int,
        stem_stride: int,
        stages: Sequence[Stage],
        last_channels: int,
        norm: Norm,
    ) -> None:
        """Create it.

        Args:
            stem_channels: Channels of the first convolution.
            stem_stride: Its stride.
            stages: The inverted residuals; three of the stages end a map.
            last_channels: Channels of the 1x1 convolution at the end.
            norm: Makes the norms.
        """
        super().__init__()
        features: list[nn.Module] = [_conv(3, stem_channels, 3, stride=stem_stride, norm=norm)]
        channels, ends = stem_channels, []
        for stage in stages:
            for block in range(stage.blocks):
                first = block == 0
                features.append(
                    InvertedResidual(
                        channels,
                        stage.channels,
                        expansion=stage.expansion,
                        stride=stage.stride if first else 1,
                        dilation=1 if first and not stage.dilate_first else stage.dilation,
                        norm=norm,
                    )
                )
                channels = stage.channels
            if stage.ends_map:
                ends.append(len(features))
        features.append(_conv(channels, last_channels, 1, norm=norm))
        assert len(ends) == 3
        self.features = nn.Sequential(*features)
        self._ends = {*ends, len(features)}

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return maps of (B, 3, H, W), four; the last two have the same size."""
        maps = []
        for end, block in enumerate(self.features, 1):
            x = block(x)
            if end in self._ends:
                maps.append(x)
        return maps


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm: Norm,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2 * dilation,
        dilation=dilation,
        groups=groups,
        bias=False,
    )
    return nn.Sequential(conv, norm(out_channels), nn.ReLU6())
