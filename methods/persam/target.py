"""What PerSAM knows of its object: features under the reference mask, and where an image is like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from refseg.bench.types import BoolArray
from refseg.methods.sam.build import PIXEL_MEAN, PIXEL_STD
from refseg.methods.sam.promptable import SamFeatures
from refseg.methods.sam.transforms import Geometry, upsample_logits

IMAGE_LEVEL, VIDEO_LEVEL = 255, 215
"""Red of the object's pixels in the reference mask as the release reads it, for images and for videos."""


@dataclass(frozen=True)
class Target:
    """An object's features.

    Attributes:
        embedding: (C,) mean over its cells, as it is; PerSAM's target-semantic prompt.
        direction: (C,) unit vector that images are compared with.
    """

    embedding: Tensor
    direction: Tensor


def mask_on_grid(mask: BoolArray, geometry: Geometry, grid: tuple[int, int], level: int) -> Tensor:
    """Bring a reference mask to the cells of the image embedding.

    The release treats a mask like a picture: red is normalised by SAM's mean and standard deviation before it is
    padded and shrunk, so a cell is the object's where its interpolated red is above the mean.

    Args:
        mask: (H, W).
        geometry: How the image lies in SAM's input.
        grid: (h, w) of the embedding.
        level: Red of the object's pixels.

    Returns:
        (h, w) float32, the object's where above 0; padding is exactly 0.
    """
    red = Image.fromarray(mask.astype(np.uint8) * np.uint8(level))
    h, w = geometry.resized
    if geometry.resized != geometry.original:
        red = red.resize((w, h), Image.Resampling.BILINEAR)
    values = (torch.tensor(np.asarray(red), dtype=torch.float32) - PIXEL_MEAN[0]) / PIXEL_STD[0]
    padded = F.pad(values, (0, geometry.image_size - w, 0, geometry.image_size - h))
    return F.interpolate(padded[None, None], grid, mode="bilinear", align_corners=False)[0, 0]


def target_cells(mask: BoolArray, features: SamFeatures, level: int) -> Tensor:
    """Return (h, w) bool: the embedding's cells that are the object's, at least one of a mask that is not empty.

    An object too small for any cell gets the one under its middle pixel; the release goes on with NaN.
    """
    height, width = features.embedding.shape[-2:]
    cells = mask_on_grid(mask, features.geometry, (height, width), level) > 0
    if not cells.any():
        geometry = features.geometry
        rows, columns = np.nonzero(mask)
        middle = len(rows) // 2
        for_y = (rows[middle] + 0.5) / geometry.original[0] * geometry.resized[0] / geometry.image_size
        for_x = (columns[middle] + 0.5) / geometry.original[1] * geometry.resized[1] / geometry.image_size
        cells[int(for_y * height), int(for_x * width)] = True
    return cells.to(features.embedding.device)


def describe(mask: BoolArray, features: SamFeatures, *, level: int, peak: bool) -> Target:
    """Return the features of what a reference mask that is not empty covers.

    Args:
        mask: (H, W) of the reference image.
        features: The reference image's.
        level: :data:`IMAGE_LEVEL` or :data:`VIDEO_LEVEL`.
        peak: Compare with the mean of mean and element-wise maximum (PerSAM-F, videos), not with the mean.
    """
    inside = features.embedding[0].permute(1, 2, 0)[target_cells(mask, features, level)]  # (cells, C)
    mean = inside.mean(0)
    compared = inside.max(0).values / 2 + mean / 2 if peak else mean
    return Target(mean, compared / compared.norm())


def similarity(target: Target, features: SamFeatures) -> Tensor:
    """Return (h, w): the cosine of every cell of an image with the target."""
    embedding = features.embedding[0]
    unit = embedding / embedding.norm(dim=0, keepdim=True)
    cosine: Tensor = target.direction @ unit.flatten(1)
    return cosine.view(embedding.shape[-2:])


def at_full_size(similar: Tensor, geometry: Geometry) -> Tensor:
    """Return (H, W) similarity at the image's size, enlarged the way SAM's masks are."""
    low = F.interpolate(similar[None, None], scale_factor=4, mode="bilinear", align_corners=False)
    return upsample_logits(low, geometry)[0, 0]


def extreme_points(similar: Tensor, count: int, *, largest: bool = True) -> NDArray[np.int64]:
    """Return (count, 2) x, y of the largest (or smallest) values of (H, W), in that order; of equals the first."""
    values = similar.flatten().clone() if largest else -similar.flatten()
    found = []
    for _ in range(count):
        at = int(values.argmax())
        values[at] = -torch.inf
        found.append((at % similar.shape[1], at // similar.shape[1]))
    return np.array(found)
