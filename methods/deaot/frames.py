"""From frames to the network's input and from labels to its masks (``dataloaders/video_transforms.py``)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.types import ImageArray
from refseg.methods.deaot.layers import Size

MAX_LONG_EDGE = 1040
"""Longer frames are shrunk to it: 1.3 times 800 pixels, as in the official evaluation."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def network_size(size: Size, *, stride: int, align_corners: bool) -> Size:
    """Return the (H, W) at which a frame is seen.

    The long edge is held to :data:`MAX_LONG_EDGE`; then each side is rounded, halves to even, to a multiple of the
    stride, plus one where corners are aligned.
    """
    scale = min(1.0, MAX_LONG_EDGE / max(size))
    one = int(align_corners)
    height, width = (round((int(side * scale) - one) / stride) * stride + one for side in size)
    return max(height, stride + one), max(width, stride + one)


def network_input(frame: ImageArray, size: Size, device: torch.device) -> Tensor:
    """Return the normalised (1, 3, h, w) float32 input from an (H, W, 3) RGB frame.

    Frames are resized by bicubic interpolation in uint8, as SAM-Track does.
    """
    resized = frame
    if frame.shape[:2] != size:
        resized = cv2.resize(frame, (size[1], size[0]), interpolation=cv2.INTER_CUBIC).astype(
            np.uint8, copy=False
        )
    pixels = torch.from_numpy(np.ascontiguousarray(resized)).to(device)
    table = _normalised().to(device)
    return torch.stack([table[c][pixels[..., c].int()] for c in range(3)])[None]


def network_labels(labels: NDArray[np.uint8], size: Size, device: torch.device) -> Tensor:
    """Return (1, h, w) int64 labels from (H, W), by nearest neighbours as torch takes them."""
    whole = torch.from_numpy(np.ascontiguousarray(labels)).to(device)
    return F.interpolate(whole[None, None].float(), size, mode="nearest")[0].long()


@lru_cache(maxsize=1)
def _normalised() -> Tensor:
    """Return the (3, 256) normalised value of every pixel value, computed in float64 as the official code does."""
    values = np.arange(256) / 255
    table = [(values - mean) / std for mean, std in zip(MEAN, STD, strict=True)]
    return torch.from_numpy(np.stack(table).astype(np.float32))
