"""SAM's image transform and its inverse for masks, without torchvision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from refseg.methods.sam.build import PIXEL_MEAN, PIXEL_STD


@dataclass(frozen=True)
class Geometry:
    """How an image of ``original`` (H, W) lies in the padded square: its top left ``resized`` (h, w) part."""

    original: tuple[int, int]
    resized: tuple[int, int]
    image_size: int


def fit(size: tuple[int, int], image_size: int) -> Geometry:
    """Return the geometry of SAM's transform: the longest side becomes ``image_size``, halves round up."""
    scale = image_size / max(size)
    return Geometry(size, (int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)), image_size)


def resize_image(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 by PIL's antialiased bilinear filter, as segment_anything's transform does."""
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def normalise_and_pad(images: torch.Tensor, image_size: int) -> torch.Tensor:
    """Normalise by SAM's mean and standard deviation, then pad with zeros at the right and bottom.

    Args:
        images: (B, 3, h, w), values 0..255.
        image_size: Side of the square.

    Returns:
        (B, 3, image_size, image_size) float32.
    """
    mean = torch.tensor(PIXEL_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=images.device).view(1, 3, 1, 1)
    h, w = images.shape[-2:]
    out = torch.zeros(len(images), 3, image_size, image_size, device=images.device)
    out[..., :h, :w].copy_(images).sub_(mean).div_(std)
    return out


def preprocess(image: NDArray[np.uint8], image_size: int) -> tuple[torch.Tensor, Geometry]:
    """Return the network's input (1, 3, S, S) for an (H, W, 3) RGB image, and its geometry."""
    return preprocess_batch(image[None], image_size)


def preprocess_batch(
    images: NDArray[np.uint8] | torch.Tensor, image_size: int
) -> tuple[torch.Tensor, Geometry]:
    """Return the input (B, 3, S, S) for (B, H, W, 3) uint8 RGB images of one size, and their geometry."""
    array = images.cpu().numpy() if isinstance(images, torch.Tensor) else images
    geometry = fit((array.shape[1], array.shape[2]), image_size)
    resized = np.stack([resize_image(image, geometry.resized) for image in array])
    return normalise_and_pad(torch.from_numpy(resized).permute(0, 3, 1, 2), image_size), geometry


def cell_shares(masks: torch.Tensor, square: int, side: int) -> torch.Tensor:
    """Return (N, side, side): how much of each cell of the square (N, H, W) masks, padded to it, fill."""
    height, width = masks.shape[-2:]
    padded = F.pad(masks, (0, square - width, 0, square - height))
    return F.avg_pool2d(padded[:, None], square // side)[:, 0]


def upsample_logits(low_res_logits: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Return (N, C, H, W) logits at the original size from (N, C, s, s), as SAM's ``postprocess_masks``."""
    side, small = geometry.image_size, low_res_logits.shape[-1]
    factor = side // small
    if factor * small == side:
        # The part under the padding is cut off first; the last row and column kept feed the interpolation only.
        height, width = (min(small, -(-r // factor) + 1) for r in geometry.resized)
        low_res_logits = low_res_logits[..., :height, :width]
        size = (height * factor, width * factor)
    else:
        size = (side, side)
    logits = F.interpolate(low_res_logits, size, mode="bilinear", align_corners=False)
    logits = logits[..., : geometry.resized[0], : geometry.resized[1]]
    if geometry.resized == geometry.original:
        return logits
    return F.interpolate(logits, geometry.original, mode="bilinear", align_corners=False)
