"""A dataset's contact sheet: videos over time with their sentences, as one small PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from refseg.bench.atomic import write_bytes
from refseg.bench.errors import InputError
from refseg.bench.types import BoolArray, Dataset, Expression, Video
from refseg.reports.captions import INK, PAPER, Colour, text_image
from refseg.reports.overlays import (
    PALETTE,
    below,
    beside,
    colour,
    fitted,
    overlay,
    png_bytes,
    reduced,
    spread,
)

MOST_BYTES = 600_000
"""What a sheet may weigh; its colours, then its pixels, are made fewer until it does."""

_FRAME_WIDTH = 256
_SENTENCES = 4
_TEXT = 20
_MARGIN = 14


@dataclass(frozen=True)
class _Said:
    """A sentence, its masks (T, H, W) where labels are public, and the colour of its objects."""

    text: str
    masks: BoolArray | None
    colour: Colour


def write_contact_sheet(dataset: Dataset, path: Path, *, videos: int = 6, frames: int = 6) -> None:
    """Draw videos of a dataset, each as frames over time with sentences below, in its objects' colours.

    Args:
        dataset: Any dataset; where labels are hidden, frames and sentences are shown without masks.
        path: The PNG to write, under 600 kB.
        videos: How many videos, evenly spaced in the dataset's order.
        frames: How many frames of each, evenly spaced.

    Raises:
        InputError: A count is below 1, the dataset holds no video, or the file cannot be written.
    """
    if videos < 1 or frames < 1:
        raise InputError(f"A contact sheet needs a video and a frame at least, got {videos} and {frames}.")
    known = dataset.videos()
    if not known:
        raise InputError(f"{dataset.info.name} {dataset.info.split} holds no video; is --root right?")
    rows = [_row(dataset, known[i], frames) for i in spread(len(known), videos)]
    sheet = below(rows, gap=_MARGIN)
    framed = Image.new("RGB", (sheet.width + 2 * _MARGIN, sheet.height + 2 * _MARGIN), PAPER)
    framed.paste(sheet, (_MARGIN, _MARGIN))
    write_bytes(path, _small(framed))


def _small(image: Image.Image) -> bytes:
    """Return a picture as PNG of at most :data:`MOST_BYTES`: with fewer colours first, then with fewer pixels."""
    while True:
        for colours in (256, 128, 64):
            content = png_bytes(*reduced([image], PALETTE, colours))
            if len(content) <= MOST_BYTES:
                return content
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.BOX)


def _row(dataset: Dataset, video: Video, frames: int) -> Image.Image:
    said = [_said(dataset, video, e, rgb) for e, rgb in chosen(video.expressions)]
    pictures = []
    for t in spread(len(video), frames):
        shown = [s for s in said if s.masks is not None]
        frame, masks = fitted(video.read(t), [s.masks[t] for s in shown if s.masks is not None], _FRAME_WIDTH)
        # Contours alone: a fill would hide the colours that the sentences speak of.
        pictures.append(Image.fromarray(overlay(frame, masks, [s.colour for s in shown], fill=0.0)))
    row = beside(pictures)
    if len(pictures) == 1:
        return beside([row, below([_caption(s, 2 * _FRAME_WIDTH) for s in said] or [row])])
    columns = 2 if row.width >= 4 * _FRAME_WIDTH else 1
    lines = [
        beside([_caption(s, row.width // columns) for s in said[i : i + columns]])
        for i in range(0, len(said), columns)
    ]
    return below([row, *lines])


def chosen(expressions: Sequence[Expression]) -> list[tuple[Expression, Colour]]:
    """Return up to four sentences with the colours of their objects; each object is named before one comes twice."""
    groups: dict[tuple[str, ...], list[Expression]] = {}
    for expression in expressions:
        groups.setdefault(expression.object_ids, []).append(expression)
    colours = {ids: colour(i) for i, ids in enumerate(groups)}
    turns = max(map(len, groups.values()), default=0)
    in_turn = [group[turn] for turn in range(turns) for group in groups.values() if turn < len(group)]
    return [(e, colours[e.object_ids]) for e in in_turn[:_SENTENCES]]


def _said(dataset: Dataset, video: Video, expression: Expression, rgb: Colour) -> _Said:
    truth = dataset.ground_truth(video.id, expression.id)
    return _Said(expression.text, None if truth is None else truth.masks, rgb)


def _caption(said: _Said, width: int) -> Image.Image:
    """Draw a sentence after a swatch: full in its colour, hollow where it names nothing that is there."""
    text = text_image(said.text, width - 2 * _TEXT, size=_TEXT, lines=2)
    out = Image.new("RGB", (width, text.height), PAPER)
    out.paste(text, (2 * _TEXT, 0))
    if said.masks is not None:
        box, seen = (_TEXT // 2, 6, _TEXT // 2 + _TEXT, 6 + _TEXT), bool(np.any(said.masks))
        ImageDraw.Draw(out).rectangle(box, fill=said.colour if seen else PAPER, outline=INK, width=2)
    return out
