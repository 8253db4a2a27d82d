"""A video's frames as sheets, many frames in one JPEG: a page loads a sheet when one of its frames is looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from refseg.bench.types import ImageArray, Video
from refseg.reports.overlays import LARGEST, fitted, spread

MOST_FRAMES = 128
"""How many frames of a video are shown, evenly spaced."""

PER_SHEET = 16
_QUALITY = 85
_THUMB = 96


@dataclass(frozen=True)
class Shown:
    """Which frames of a video are shown, and how large.

    Attributes:
        times: Indices of the frames.
        size: (H, W) of each on its sheet.
    """

    times: tuple[int, ...]
    size: tuple[int, int]

    @property
    def sheets(self) -> int:
        """Return how many sheets there are."""
        return -(-len(self.times) // PER_SHEET)


def shown_frames(video: Video) -> Shown:
    """Return which frames are shown: all, or :data:`MOST_FRAMES` of them; wide ones are scaled down."""
    height, width = video.size
    if width > LARGEST:
        height, width = max(1, round(height * LARGEST / width)), LARGEST
    return Shown(tuple(spread(len(video), MOST_FRAMES)), (height, width))


def sheets(video: Video, shown: Shown) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JPEG) of a video's sheets, frames from top to bottom, and of its thumbnail ``thumb``."""
    times, middle = shown.times, len(shown.times) // 2
    for number in range(shown.sheets):
        part = times[number * PER_SHEET : (number + 1) * PER_SHEET]
        frames = [_scaled(video.read(t), shown.size) for t in part]
        yield str(number), _jpeg(Image.fromarray(np.concatenate(frames)))
        if number == middle // PER_SHEET:
            small = Image.fromarray(frames[middle % PER_SHEET])
            small.thumbnail((_THUMB, _THUMB))
            yield "thumb", _jpeg(small)


def _scaled(frame: ImageArray, size: tuple[int, int]) -> ImageArray:
    if frame.shape[:2] == size:
        return frame
    scaled: ImageArray = fitted(frame, [], size[1])[0]
    return scaled


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    # Full colour resolution: small objects would lose theirs.
    image.save(out, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    return out.getvalue()
