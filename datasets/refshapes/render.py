"""Draws RefShapes scenes: frames with soft edges, and exact masks of what is visible of each object."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import HEIGHT, WIDTH, Scene, Shape

Float = NDArray[np.float32]


def signed_distance(shape: str, u: Float, v: Float) -> Float:
    """Return the distance to the outline in units of the radius, negative inside; u, v likewise."""
    if shape == "circle":
        return np.asarray(np.hypot(u, v) - np.float32(0.95))
    if shape == "square":
        return np.asarray(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.84))
    if shape == "cross":
        a, b = np.abs(u), np.abs(v)
        return np.asarray(np.minimum(np.maximum(a - 1, b - 0.34), np.maximum(a - 0.34, b - 1)), np.float32)
    if shape == "ring":
        return np.asarray(np.abs(np.hypot(u, v) - np.float32(0.74)) - np.float32(0.26))
    if shape == "triangle":
        folded, rho = _fold(u, v, 3)
        return np.asarray(rho * np.cos(folded) - 0.58, np.float32)
    folded, rho = _fold(u, v, 5)
    # Half a point of the star is the edge from the outer vertex (1.1 at pi/5) to the inner one (0.5 at 0).
    outer, inner = 1.1 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)]), np.array([0.5, 0.0])
    normal = np.array([outer[1] - inner[1], inner[0] - outer[0]]) / np.hypot(*(outer - inner))
    a = np.abs(folded)
    return np.asarray((rho * np.cos(a) - inner[0]) * normal[0] + rho * np.sin(a) * normal[1], np.float32)


def _fold(u: Float, v: Float, n: int) -> tuple[Float, Float]:
    """Return the angle folded into one of n sectors, centred on 0, and the distance from the centre."""
    sector = 2 * np.pi / n
    angle = np.arctan2(v, u) + sector / 2
    return (angle - np.floor(angle / sector) * sector - sector / 2).astype(np.float32), np.hypot(u, v)


def _pattern(texture: str, u: Float, v: Float) -> NDArray[np.bool_]:
    """Return where the darker second colour goes; u, v in pixels in the object's own axes."""
    if texture == "striped":
        return np.mod(u, 6.0) < 2.8
    if texture == "dotted":
        return (np.mod(u, 6.5) - 3.25) ** 2 + (np.mod(v, 6.5) - 3.25) ** 2 < 4.4
    return (np.mod(u, 9.0) < 4.5) ^ (np.mod(v, 9.0) < 4.5)


@dataclass(frozen=True)
class _Outline:
    """Where an object is drawn: rows and columns touched, its own axes there in pixels, and its coverage (h, w)."""

    rows: slice
    columns: slice
    u: Float
    v: Float
    coverage: Float


def _outline(shape: Shape, t: int) -> _Outline | None:
    """Return where an object is drawn; None outside the frame."""
    x, y = shape.centre(t)
    reach = 1.35 * shape.radius
    top, bottom = max(0, int(y - reach)), min(HEIGHT, int(y + reach) + 1)
    left, right = max(0, int(x - reach)), min(WIDTH, int(x + reach) + 1)
    if top >= bottom or left >= right:
        return None
    dy, dx = np.mgrid[top:bottom, left:right].astype(np.float32) + 0.5
    dx, dy = dx - np.float32(x), dy - np.float32(y)
    cos, sin = np.float32(np.cos(shape.angle)), np.float32(np.sin(shape.angle))
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    distance = signed_distance(shape.look.shape, u / shape.radius, v / shape.radius) * shape.radius
    return _Outline(slice(top, bottom), slice(left, right), u, v, np.clip(0.5 - distance, 0, 1))


def _colour(shape: Shape, outline: _Outline) -> Float:
    """Return an object's colour (h, w, 3) where it is drawn."""
    colour = np.empty((*outline.u.shape, 3), np.float32)
    colour[:] = shape.rgb
    if shape.look.texture != "plain":
        colour[_pattern(shape.look.texture, outline.u + 100, outline.v + 100)] *= np.float32(0.4)
    return colour


@lru_cache(maxsize=8)
def _background(seed: tuple[int, ...]) -> Float:
    """Return the (H, W, 3) background of a scene: muted, with a gradient, blotches and at times a pattern."""
    rng = Stream(*seed, 2)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    level = np.full((HEIGHT, WIDTH), rng.uniform(70, 150), np.float32)
    level += rng.uniform(-30, 30) * (x / WIDTH - 0.5) + rng.uniform(-30, 30) * (y / HEIGHT - 0.5)
    for cells, strength in ((5, 22.0), (14, 12.0)):
        level += strength * (_upsample(rng.array(cells, cells)) - 0.5)
    kind = rng.choice(("none", "stripes", "checks", "grain"))
    period, angle, strength = rng.uniform(9, 18), rng.uniform(0, 3.1416), rng.uniform(6, 14)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    if kind == "stripes":
        level += strength * (np.mod(along, period) < period / 2)
    elif kind == "checks":
        level += strength * ((np.mod(along, period) < period / 2) ^ (np.mod(across, period) < period / 2))
    elif kind == "grain":
        level += strength * 2 * (rng.array(HEIGHT, WIDTH) - 0.5)
    tint = np.array([rng.uniform(-14, 14) for _ in range(3)], np.float32)
    return level[..., None] + tint


def _upsample(grid: Float) -> Float:
    """Return the square grid interpolated linearly to the frame's size."""
    n = grid.shape[0] - 1
    ys, xs = np.linspace(0, n, HEIGHT), np.linspace(0, n, WIDTH)
    y0, x0 = np.minimum(ys.astype(int), n - 1), np.minimum(xs.astype(int), n - 1)
    fy, fx = (ys - y0)[:, None], (xs - x0)[None]
    rows = grid[y0] * (1 - fy) + grid[y0 + 1] * fy
    return np.asarray(rows[:, x0] * (1 - fx) + rows[:, x0 + 1] * fx, np.float32)


def render(scene: Scene, t: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one frame.

    Args:
        scene: The scene.
        t: Frame, 0-based.

    Returns:
        The frame (H, W, 3) RGB uint8 and the label map (H, W) uint8: ``int(shape.id)`` where an object is
        visible (its outline covers the pixel's centre and nothing nearer does), 0 elsewhere.
    """
    image = _background(scene.seed).copy()
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for shape in scene.shapes:
        drawn = _outline(shape, t)
        if drawn is not None:
            patch = image[drawn.rows, drawn.columns]
            patch += drawn.coverage[..., None] * (_colour(shape, drawn) - patch)
            labels[drawn.rows, drawn.columns][drawn.coverage >= 0.5] = int(shape.id)
    image += 10 * (Stream(*scene.seed, 3, t).array(HEIGHT, WIDTH, 1) - 0.5)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), labels


def render_labels(scene: Scene, t: int) -> NDArray[np.uint8]:
    """Return the label map (H, W) of one frame alone; cheaper than :func:`render`."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for shape in scene.shapes:
        drawn = _outline(shape, t)
        if drawn is not None:
            labels[drawn.rows, drawn.columns][drawn.coverage >= 0.5] = int(shape.id)
    return labels
