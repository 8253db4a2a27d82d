"""Masks on frames: the overlay, a strip of frames over time, and an animation, prediction beside truth."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from refseg.bench.types import BoolArray, ImageArray, Video
from refseg.reports.captions import INK, PAPER, Colour, text_image

PALETTE: tuple[Colour, ...] = (
    (86, 180, 233),
    (204, 121, 167),
    (0, 158, 115),
    (230, 159, 0),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)
"""Okabe and Ito's colours, which stay apart for colour-blind readers; black left out."""

LARGEST = 480
"""Width in pixels that larger frames are scaled down to."""

Scalar = TypeVar("Scalar", bound=np.generic)
Box = tuple[float, float, float, float]

_GAP = 6
_OUTLINE: Colour = (0, 0, 0)
_GIF_COLOURS = 128
_NOISE = 16


def colour(index: int) -> Colour:
    """Return the colour of a video's ``index``-th expression; they repeat after :data:`PALETTE`'s end."""
    return PALETTE[index % len(PALETTE)]


@dataclass(frozen=True)
class Clip:
    """One expression of a video, to be drawn.

    Attributes:
        video: Where its frames come from.
        text: The sentence.
        prediction: (T, H, W) bool, or None where there is none.
        truth: (T, H, W) bool, or None where labels are hidden.
        colour: RGB of the masks.
        boxes: Frame -> x0, y0, x1, y1 in pixels of a box that the method found there; drawn on the prediction.
    """

    video: Video
    text: str
    prediction: BoolArray | None
    truth: BoolArray | None
    colour: Colour = PALETTE[0]
    boxes: Mapping[int, Box] = field(default_factory=dict)

    @property
    def rows(self) -> list[tuple[str, BoolArray]]:
        """Return what is shown, truth before prediction, by name; the name tells of masks that are all empty."""
        known = (("truth", self.truth), ("prediction", self.prediction))
        return [(n if m.any() else f"{n}: nothing in any frame", m) for n, m in known if m is not None]

    def panel(self, frame: ImageArray, masks: BoolArray, t: int, width: int) -> Image.Image:
        """Draw frame ``t`` with a row's (T, H, W) masks and, where they are the prediction, the box."""
        shown, (mask,) = fitted(frame, [masks[t]], width)
        drawn = overlay(shown, [mask], [self.colour])
        box = self.boxes.get(t) if masks is self.prediction else None
        if box is not None:
            draw_box(drawn, box, shown.shape[1] / frame.shape[1], self.colour)
        return Image.fromarray(drawn)


def spread(length: int, count: int) -> list[int]:
    """Return at most ``count`` indices below ``length``, evenly spaced, the first and the last among them."""
    if length <= count:
        return list(range(length))
    return [round(i) for i in np.linspace(0, length - 1, count)] if count > 1 else [length // 2]


def overlay(
    frame: ImageArray, masks: Sequence[BoolArray], colours: Sequence[Colour], *, fill: float = 0.4
) -> ImageArray:
    """Draw masks on a frame: a see-through fill and a contour, dark outside and in its colour inside.

    Args:
        frame: (H, W, 3) RGB uint8.
        masks: (H, W) bool each; later ones lie on top.
        colours: One a mask.
        fill: How much of the colour lies over what is inside, 0..1.

    Returns:
        (H, W, 3) uint8; pixels more than one away from every mask are the frame's.
    """
    out = frame.copy()
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for mask, rgb in zip(masks, colours, strict=True):
        bits = mask.astype(np.uint8)
        # A mask that runs out of the picture has no contour at the border, hence the erosion's default border.
        inner = mask & ~cv2.erode(bits, cross, iterations=2).astype(bool)
        outer = ~mask & cv2.dilate(bits, cross).astype(bool)
        out[mask] = np.rint(out[mask] * (1 - fill) + np.array(rgb) * fill).astype(np.uint8)
        out[inner] = rgb
        out[outer] = _OUTLINE
    return out


def draw_box(image: ImageArray, box: Box, scale: float, rgb: Colour) -> None:
    """Draw the outline of a box in its colour between dark lines, in place; parts out of the picture are left out.

    Args:
        image: (H, W, 3) uint8.
        box: x0, y0, x1, y1 in pixels of the frame.
        scale: Pixels of the picture for one of the frame.
        rgb: Its colour.
    """
    # Far coordinates would not fit OpenCV's integers.
    x0, y0, x1, y1 = (round(min(max(v * scale, -8.0), 8.0 + max(image.shape))) for v in box)
    for line, thickness in ((_OUTLINE, 3), (rgb, 1)):
        cv2.rectangle(image, (x0, y0), (x1, y1), line, thickness)


def fitted(frame: ImageArray, masks: Sequence[BoolArray], width: int) -> tuple[ImageArray, list[BoolArray]]:
    """Scale a frame and its masks for the eye.

    Args:
        frame: (H, W, 3) RGB uint8.
        masks: (H, W) bool each.
        width: Small frames grow by the largest whole factor that stays within, each pixel a square; larger
            ones shrink to it (never over :data:`LARGEST`).

    Returns:
        The frame and the masks at one new size.
    """
    width = min(width, LARGEST)
    h, w = frame.shape[:2]
    if w <= width:
        grown = _repeated(frame, width // w)
        return grown, [_repeated(m, width // w) for m in masks]
    size = (width, max(1, round(h * width / w)))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    # A quarter instead of half keeps objects of few pixels visible.
    shrunk = [cv2.resize(m.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) >= 64 for m in masks]
    return small, shrunk


def strip(clip: Clip, *, frames: int = 6, width: int = 256) -> Image.Image:
    """Draw a contact sheet of one expression: frames over time, a row of truth and a row of prediction.

    Args:
        clip: What to draw.
        frames: How many frames, evenly spaced.
        width: Width of a frame in pixels; see :func:`fitted`.

    Returns:
        RGB picture with the sentence under it.
    """
    times = spread(len(clip.video), frames)
    read = [clip.video.read(t) for t in times]
    rows = []
    for name, masks in clip.rows:
        row = beside([clip.panel(f, masks, t, width) for f, t in zip(read, times, strict=True)])
        rows += [text_image(name, row.width, size=14, lines=1), row]
    rows.append(text_image(clip.text, rows[-1].width, size=20))
    return below(rows)


def animation(
    clip: Clip, *, frames: int = 24, width: int = 256, fps: float = 6.0, caption: bool = True
) -> bytes:
    """Make a looped GIF of one expression, prediction beside truth; a bar below shows the time.

    Args:
        clip: What to draw.
        frames: The most frames, evenly spaced.
        width: Width of each of the two pictures in pixels; see :func:`fitted`.
        fps: Frames a second.
        caption: Write the sentence below.

    Returns:
        The GIF's bytes, the same for the same clip.
    """
    times = spread(len(clip.video), frames)
    pages = [
        _page(clip, frame, t, width) for frame, t in zip(_steadied(clip.video, times), times, strict=True)
    ]
    if caption:
        said = text_image(clip.text, pages[0].width)
        pages = [below([page, said], gap=0) for page in pages]
    for i, page in enumerate(pages):
        # Without it Pillow would drop frames that equal the one before.
        page.paste(clip.colour, (0, page.height - 3, round(page.width * (i + 1) / len(pages)), page.height))
    first, *rest = reduced(pages, [clip.colour], _GIF_COLOURS)
    out = io.BytesIO()
    first.save(
        out, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, optimize=True
    )
    return out.getvalue()


def _steadied(video: Video, times: Sequence[int]) -> Iterator[ImageArray]:
    """Yield frames in which a pixel that hardly changes stays as it was: a GIF of camera noise is five times larger."""
    shown: ImageArray | None = None
    for t in times:
        frame = video.read(t)
        if shown is None:
            shown = frame
        still = cv2.absdiff(frame, shown).max(axis=2) <= _NOISE
        shown = np.where(still[..., None], shown, frame)
        yield shown


def png_bytes(image: Image.Image) -> bytes:
    """Return a picture as PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def beside(images: Sequence[Image.Image], gap: int = _GAP) -> Image.Image:
    """Put pictures side by side on white."""
    width = sum(i.width for i in images) + gap * (len(images) - 1)
    out, x = Image.new("RGB", (width, max(i.height for i in images)), PAPER), 0
    for image in images:
        out.paste(image, (x, 0))
        x += image.width + gap
    return out


def below(images: Sequence[Image.Image], gap: int = 2) -> Image.Image:
    """Put pictures under one another on white."""
    height = sum(i.height for i in images) + gap * (len(images) - 1)
    out, y = Image.new("RGB", (max(i.width for i in images), height), PAPER), 0
    for image in images:
        out.paste(image, (0, y))
        y += image.height + gap
    return out


def _page(clip: Clip, frame: ImageArray, t: int, width: int) -> Image.Image:
    """Return one frame of an animation: its pictures with their names above and room for the bar below."""
    panels = []
    for name, masks in clip.rows:
        panel = clip.panel(frame, masks, t, width)
        panels.append(below([text_image(name, panel.width, size=13, lines=1), panel], gap=0))
    row = beside(panels)
    out = Image.new("RGB", (row.width, row.height + 5), PAPER)
    out.paste(row, (0, 0))
    return out


def _repeated(array: NDArray[Scalar], factor: int) -> NDArray[Scalar]:
    return array.repeat(factor, 0).repeat(factor, 1)


def reduced(images: Sequence[Image.Image], kept: Sequence[Colour], colours: int) -> list[Image.Image]:
    """Bring pictures to one palette of ``colours``, in which ``kept`` are exact however few pixels they have."""
    sample = below([i.resize((i.width // 2, i.height // 2), Image.Resampling.NEAREST) for i in images])
    kept = (*kept, _OUTLINE, INK, PAPER)
    rare = (colours - len(kept)) // 3
    # Median cut serves the wide ground; it would lose the colour of a small object, which maximum coverage keeps.
    found = [
        *(sample.quantize(colours - len(kept) - rare, Image.Quantize.MEDIANCUT).getpalette() or []),
        *(sample.quantize(rare, Image.Quantize.MAXCOVERAGE).getpalette() or []),
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for c in kept for channel in c] + found)
    return [i.quantize(palette=palette, dither=Image.Dither.NONE) for i in images]
