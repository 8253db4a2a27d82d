"""Augmentations of the paper's recipe (IV-B2): flip, resize, crop, photometric distortion.

The paper names them and gives no numbers; the ranges are those of the authors' released code. Geometry is the same
for all frames of a clip, colours are drawn for each frame.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from refseg.bench.types import BoolArray, ImageArray
from refseg.methods.sam.transforms import resize_image

_SIDE = re.compile(
    r"(?<![a-z])(left|right)(?=(?:most|wards?|sides?|hand(?:ed|er)?|y|ies?)?(?![a-z]))", re.IGNORECASE
)
_OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Augmentation:
    """How samples are varied; probabilities are for each sample.

    Attributes:
        flip: Probability of the horizontal flip.
        photometric: Probability of each distortion: brightness, contrast, saturation, hue, contrast once more.
        resize: Resize at all; off, a sample keeps its size and is never cropped.
        crop: Probability that a sample is resized to one of ``crop_from`` and cropped before it is resized.
        sides: Heights and widths to resize to; both are drawn, so the aspect ratio varies too.
        crop_sides: The same after a crop.
        crop_from: Heights and widths before the crop.
        crop_least: Least side of a crop.
    """

    flip: float = 0.5
    photometric: float = 0.5
    resize: bool = True
    crop: float = 0.5
    sides: tuple[int, ...] = (288, 320, 352, 392, 416, 448, 480, 512)
    crop_sides: tuple[int, ...] = (288, 320, 352, 392, 416, 448, 480, 512)
    crop_from: tuple[int, ...] = (400, 500, 600)
    crop_least: int = 384

    @property
    def none(self) -> bool:
        """Whether samples stay as they are."""
        return not (self.flip or self.photometric or self.resize)


NONE = Augmentation(flip=0, photometric=0, resize=False)
"""Leaves a sample as it is."""


def swap_sides(text: str) -> str:
    """Return a sentence about a mirrored picture: left and right are swapped, "leftmost" and the like too.

    Words that only hold the letters ("bright", "upright") stay. "right" in another sense ("right behind") is swapped
    as well, as in every repository.
    """

    def other(found: re.Match[str]) -> str:
        word = found[0]
        swapped = _OTHER[word.lower()]
        return swapped.upper() if word.isupper() else swapped.title() if word[0].isupper() else swapped

    return _SIDE.sub(other, text)


def augment(
    frames: ImageArray, masks: BoolArray, text: str, how: Augmentation, rng: np.random.Generator
) -> tuple[ImageArray, BoolArray, str]:
    """Vary a clip and its sentence.

    Args:
        frames: (T, H, W, 3) RGB uint8.
        masks: (T, H, W) bool.
        text: The sentence.
        how: The ranges.
        rng: Where chance comes from.

    Returns:
        The same at a size of its own; the masks may have lost their object.
    """
    if how.photometric > 0:
        frames = np.stack([_distorted(frame, how.photometric, rng) for frame in frames])
    if rng.random() < how.flip:
        frames, masks, text = frames[:, :, ::-1], masks[:, :, ::-1], swap_sides(text)
    if how.resize:
        sides = how.sides
        if rng.random() < how.crop:
            frames, masks = _resized(frames, masks, _size(how.crop_from, rng))
            frames, masks = _cropped(frames, masks, how.crop_least, rng)
            sides = how.crop_sides
        frames, masks = _resized(frames, masks, _size(sides, rng))
    return np.ascontiguousarray(frames), np.ascontiguousarray(masks), text


def _distorted(frame: ImageArray, probability: float, rng: np.random.Generator) -> ImageArray:
    image = Image.fromarray(frame)
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < probability:
            image = enhancer(image).enhance(rng.uniform(0.5, 1.5))
    if rng.random() < probability:
        image = _hue_shifted(image, rng.uniform(-0.1, 0.1))
    if rng.random() < probability:
        image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.5, 1.5))
    return np.asarray(image)


def _hue_shifted(image: Image.Image, turn: float) -> Image.Image:
    """Return an image with its hue turned by a part of the circle."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(round(turn * 255) % 256)
    return Image.frombytes("HSV", image.size, hsv.tobytes()).convert("RGB")


def _size(sides: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.choice(sides)), int(rng.choice(sides))


def _resized(frames: ImageArray, masks: BoolArray, size: tuple[int, int]) -> tuple[ImageArray, BoolArray]:
    width_height = (size[1], size[0])
    nearest: list[NDArray[Any]] = [
        cv2.resize(m.astype(np.uint8), width_height, interpolation=cv2.INTER_NEAREST) for m in masks
    ]
    return np.stack([resize_image(f, size) for f in frames]), np.stack(nearest).astype(bool)


def _cropped(
    frames: ImageArray, masks: BoolArray, least: int, rng: np.random.Generator
) -> tuple[ImageArray, BoolArray]:
    height, width = masks.shape[1:]
    h, w = (int(rng.integers(min(least, side), side + 1)) for side in (height, width))
    y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return frames[:, y : y + h, x : x + w], masks[:, y : y + h, x : x + w]
