"""What is true in a scene, read off the drawn masks: who is visible when, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        return self._visible[int(shape.id)][row]

    def first_row(self, shape: Shape) -> int | None:
        """Return the first row in which the object is visible, or None."""
        rows = self._visible[int(shape.id)]
        return rows.index(True) if True in rows else None

    def rows_visible(self, shape: Shape) -> int:
        """Return in how many of the frames the object is visible."""
        return self._rows_visible[int(shape.id)]

    def shown(self) -> tuple[Shape, ...]:
        """Return the objects of which at least one pixel is ever visible."""
        return self._shown

    # Sentences are drawn by trial, which asks these thousands of times.

    @cached_property
    def _visible(self) -> list[list[bool]]:
        rows: list[list[bool]] = (self.pixels.T >= VISIBLE_PIXELS).tolist()
        return rows

    @cached_property
    def _rows_visible(self) -> list[int]:
        return [sum(rows) for rows in self._visible]

    @cached_property
    def _shown(self) -> tuple[Shape, ...]:
        return tuple(s for s in self.scene.shapes if self.pixels[:, int(s.id)].any())


def look_at(scene: Scene, frames: Sequence[int]) -> Facts:
    """Draw the given frames' labels and count."""
    n = len(scene.shapes) + 1
    counts = [np.bincount(render_labels(scene, t).ravel(), minlength=n) for t in frames]
    return Facts(scene, tuple(frames), np.stack(counts))
