"""What is true in a scene, read off the drawn masks: who is visible when, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.refshapes.render import render_labels
from refseg.datasets.refshapes.scene import Scene, Shape

VISIBLE_PIXELS = 40
"""An object counts as visible from this many pixels."""


@dataclass(frozen=True)
class Facts:
    """A scene with, for every frame in ``frames``, the visible pixels of each object.

    Attributes:
        scene: The scene.
        frames: Frames that were looked at, ascending: all of a video, or the one of an image.
        pixels: (len(frames), objects + 1) visible pixels by label; column 0 is the background.
    """

    scene: Scene
    frames: tuple[int, ...]
    pixels: NDArray[np.int64]

    def visible(self, shape: Shape, row: int) -> bool:
        """Return whether the object is visible in the row-th frame looked at."""
        return bool(self.pixels[row, int(shape.id)] >= VISIBLE_PIXELS)

    def first_row(self, shape: Shape) -> int | None:
        """Return the first row in which the object is visible, or None."""
        rows = np.flatnonzero(self.pixels[:, int(shape.id)] >= VISIBLE_PIXELS)
        return int(rows[0]) if len(rows) else None

    def rows_visible(self, shape: Shape) -> int:
        """Return in how many of the frames the object is visible."""
        return int((self.pixels[:, int(shape.id)] >= VISIBLE_PIXELS).sum())

    def shown(self) -> list[Shape]:
        """Return the objects of which at least one pixel is ever visible."""
        return [s for s in self.scene.shapes if self.pixels[:, int(s.id)].any()]


def look_at(scene: Scene, frames: Sequence[int]) -> Facts:
    """Draw the given frames' labels and count."""
    n = len(scene.shapes) + 1
    counts = [np.bincount(render_labels(scene, t).ravel(), minlength=n) for t in frames]
    return Facts(scene, tuple(frames), np.stack(counts))
