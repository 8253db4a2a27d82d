"""ResNet without its last stage, as the official encoder has it (``networks/encoders/resnet.py``)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.layers import Norm


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution around a shortcut."""

    def __init__(self, in_channels: int, width: int, *, stride: int, norm: Norm) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), norm(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4·width, h / stride, w / stride) from (B, C, h, w)."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class ResNet(nn.Module):
    """The stem and the first three stages: maps at strides 4, 8 and 16."""

    def __init__(self, *, blocks: tuple[int, int, int], norm: Norm) -> None:
        """Create it.

        Args:
            blocks: Bottlenecks in each stage, (3, 4, 6) for ResNet-50.
            norm: Makes the norms.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm(64)
        self.layer1 = _stage(64, 64, blocks[0], stride=1, norm=norm)
        self.layer2 = _stage(256, 128, blocks[1], stride=2, norm=norm)
        self.layer3 = _stage(512, 256, blocks[2], stride=2, norm=norm)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return maps of (B, 3, H, W): 256 channels at stride 4, 512 at 8, 1024 at 16, and the last once more."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        quarter = self.layer1(x)
        eighth = self.layer2(quarter)
        sixteenth = self.layer3(eighth)
        return [quarter, eighth, sixteenth, sixteenth]


def _stage(in_channels: int, width: int, blocks: int, *, stride: int, norm: Norm) -> nn.Sequential:
    first = Bottleneck(in_channels, width, stride=stride, norm=norm)
    rest = (Bottleneck(4 * width, width, stride=1, norm=norm) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)
