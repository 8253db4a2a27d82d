"""Grounding DINO's input: the image without torchvision, and the sentence."""

from __future__ import annotations

import numpy as np
import torch

from refseg.bench.types import ImageArray
from refseg.methods.sam.transforms import resize_image

SHORT_SIDE, LONG_SIDE = 800, 1333
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of values 0..1."""


def fitted_size(size: tuple[int, int], short: int = SHORT_SIDE, long: int = LONG_SIDE) -> tuple[int, int]:
    """Return (h, w) for an image of (H, W): the shorter side ``short``, the longer at most ``long``.

    As in the official ``datasets/transforms.py``: where the longer side is the limit the shorter one is rounded
    first, so that 480x854 becomes 749x1332; transformers gives 749x1333.
    """
    height, width = size
    low, high = min(size), max(size)
    if high / low * short > long:
        short = round(long * low / high)
    if low == short:
        return size
    return (int(short * height / width), short) if width < height else (short, int(short * width / height))


def preprocess(image: ImageArray, short: int = SHORT_SIDE, long: int = LONG_SIDE) -> torch.Tensor:
    """Return (1, 3, h, w) float32 for an (H, W, 3) RGB image."""
    resized = resize_image(image, fitted_size((image.shape[0], image.shape[1]), short, long))
    values = (resized.astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def with_places(pixels: torch.Tensor) -> torch.Tensor:
    """Return (B, 5, h, w) for (B, 3, h, w): two channels more tell where a pixel lies, x and y, -1 to 1."""
    y, x = (torch.linspace(-1, 1, side, device=pixels.device) for side in pixels.shape[-2:])
    places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1]).to(pixels.dtype)
    return torch.cat([pixels, places.expand(len(pixels), -1, -1, -1)], 1)


def caption(text: str) -> str:
    """Return the sentence as the network expects it: lower-case, stripped, with a full stop at its end."""
    said = text.lower().strip()
    return said if said.endswith(".") else f"{said}."
