"""Figures like the paper's 6 to 8: methods side by side on the same frames, a colour an expression, sentences below."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.runs import open_run_folder, run_facts
from refseg.bench.runner import open_dataset
from refseg.bench.store import SavedRun
from refseg.bench.types import BoolArray, Dataset, Expression, ImageArray, Predictions, Video
from refseg.reports.captions import Colour, plain
from refseg.reports.overlays import LARGEST, PALETTE, colour, fitted, overlay, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUTH = "truth"
MOST = len(PALETTE)
"""How many expressions a video may have: as many as there are colours."""

_WIDTH = 7.16  # Inches: the text of a page of two columns.
_GAP, _HEAD, _LINE, _MARGIN, _SPACE = 0.04, 0.17, 0.13, 0.04, 0.08
_LETTERS = 128  # Of seven points in the width of the figure.
_FEW = 4
_STYLE: Any = {"font.size": 7, "pdf.fonttype": 42}


@dataclass(frozen=True)
class Side:
    """One column: a method's name and its masks."""

    name: str
    predictions: Predictions


@dataclass(frozen=True)
class Shown:
    """One video of the figure: its expressions, the frames, and a picture for each frame and column."""

    video: Video
    expressions: tuple[Expression, ...]
    frames: tuple[int, ...]
    panels: tuple[tuple[ImageArray, ...], ...]


def figure(
    runs: Sequence[Path],
    videos: Sequence[str],
    *,
    expressions: Sequence[str] = (),
    names: Sequence[str] = (),
    frames: int = 3,
    truth: bool = True,
    root: str | None = None,
) -> dict[str, bytes]:
    """Draw videos as several runs segment them.

    Args:
        runs: Run folders of one dataset split; a column each.
        videos: Ids of its videos, one below the other.
        expressions: Ids of the expressions to draw; none: up to four of each video, of different objects.
        names: Headings of the columns; none: the methods' names.
        frames: How many frames of each, evenly spaced, the same for all.
        truth: Draw the truth as the first column where labels are public.
        root: Folder of the dataset; None: as the first run had it.

    Returns:
        ``{"png": …, "pdf": …}``.

    Raises:
        InputError: A run, video or expression is not there, the runs are of different datasets, or too much is asked.
    """
    if names and len(names) != len(runs):
        raise InputError(f"{len(names)} names are given for {len(runs)} runs; give one for each.")
    dataset, sides = _opened(runs, names, root)
    known = {v.id: v for v in dataset.videos()}
    shown = []
    for ident in videos:
        if ident not in known:
            raise unknown_name(f"video of {dataset.info.name} {dataset.info.split}", ident, known)
        video = known[ident]
        chosen = _chosen(video, expressions)
        times = tuple(spread(len(video), frames))
        columns = [_truth(dataset, video, chosen)] if truth else []
        columns += [_predicted(side, video, chosen) for side in sides]
        panels = tuple(tuple(_panel(video, t, masks) for masks in columns if masks) for t in times)
        shown.append(Shown(video, chosen, times, panels))
    public = truth and len(shown[0].panels[0]) > len(sides)
    return _drawn(shown, [*([TRUTH] if public else []), *(side.name for side in sides)])


def _opened(runs: Sequence[Path], names: Sequence[str], root: str | None) -> tuple[Dataset, list[Side]]:
    folders = [open_run_folder(path) for path in runs]
    facts = [run_facts(folder) for folder in folders]
    made = [{k: f.dataset[k] for k in ("name", "split", "version", "fingerprint")} for f in facts]
    for path, one in zip(runs, made, strict=True):
        if one != made[0]:
            told = " and ".join(
                f"{m['name']} {m['split']} (version {m['version']}, content {m['fingerprint'][:8]})"
                for m in (made[0], one)
            )
            raise InputError(f"{runs[0]} and {path} are of {told}; give runs of the same sentences.")
    first = facts[0].dataset
    dataset = open_dataset(first["name"], first["split"], root or first["root"], facts[0].options)
    if (dataset.info.version, dataset.info.fingerprint) != (first["version"], first["fingerprint"]):
        raise InputError(
            f"{first['name']} {first['split']} is not what {runs[0]} was run on; give its folder by --root."
        )
    told_names = list(names) or [fact.method for fact in facts]
    sides = [
        Side(name, SavedRun(folder, fact.key))
        for name, folder, fact in zip(told_names, folders, facts, strict=True)
    ]
    return dataset, sides


def _chosen(video: Video, wanted: Sequence[str]) -> tuple[Expression, ...]:
    """Return a video's expressions that are drawn.

    Raises:
        InputError: One is unknown, or there are more than colours.
    """
    known = {e.id: e for e in video.expressions}
    if not wanted:
        by_object = {e.object_ids or (e.id,): e for e in reversed(video.expressions)}
        return tuple(e for e in video.expressions if by_object[e.object_ids or (e.id,)] is e)[:_FEW]
    unknown = [ident for ident in wanted if ident not in known]
    if unknown:
        raise unknown_name(f"expression of {video.id}", unknown[0], known)
    if len(wanted) > MOST:
        raise InputError(f"{len(wanted)} expressions are asked for; there are colours for {MOST}.")
    return tuple(known[ident] for ident in wanted)


def _truth(dataset: Dataset, video: Video, chosen: Sequence[Expression]) -> list[BoolArray]:
    """Return the truth of each expression; nothing where labels are hidden."""
    found = [dataset.ground_truth(video.id, e.id) for e in chosen]
    masks = [truth.masks for truth in found if truth is not None]
    return masks if len(masks) == len(chosen) else []


def _predicted(side: Side, video: Video, chosen: Sequence[Expression]) -> list[BoolArray]:
    masks = []
    for e in chosen:
        found = side.predictions.masks(video, e)
        if found is None:
            raise InputError(
                f"The run of {side.name} holds no masks of {video.id}/{e.id}; choose another --video or --expression."
            )
        masks.append(found)
    return masks


def _panel(video: Video, t: int, masks: Sequence[BoolArray]) -> ImageArray:
    frame, shown = fitted(video.read(t), [m[t] for m in masks], LARGEST)
    return overlay(frame, shown, [colour(i) for i in range(len(shown))], fill=0.45)


def _drawn(shown: Sequence[Shown], heads: Sequence[str]) -> dict[str, bytes]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = (_WIDTH - 2 * _MARGIN - _GAP * (len(heads) - 1)) / len(heads)
    heights = [width * s.video.size[0] / s.video.size[1] for s in shown]
    texts = [[_lines(f"({e.id}) {plain(e.text)}") for e in s.expressions] for s in shown]
    blocks = [
        len(s.frames) * (h + _GAP) + _LINE * (sum(map(len, told)) + 1) + _SPACE
        for s, h, told in zip(shown, heights, texts, strict=True)
    ]
    height = 2 * _MARGIN + _HEAD + sum(blocks)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Letters that the font lacks become boxes; a sentence may hold any.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")
        made = Figure(figsize=(_WIDTH, height))
        FigureCanvasAgg(made)
        page = _Page(made, _WIDTH, height)
        for i, head in enumerate(heads):
            page.text(
                _MARGIN + i * (width + _GAP) + width / 2,
                _MARGIN + _HEAD / 2,
                head,
                middle=True,
                weight="bold",
            )
        top = _MARGIN + _HEAD
        for number, (s, h, told, block) in enumerate(zip(shown, heights, texts, blocks, strict=True)):
            _draw_video(page, s, told, top, (width, h), f"({chr(97 + number % 26)}) {plain(s.video.id)}")
            top += block
        return {form: _saved(made, form) for form in ("png", "pdf")}


@dataclass(frozen=True)
class _Page:
    """A figure that is drawn on in inches from its upper left corner."""

    figure: Figure
    width: float
    height: float

    def image(self, x: float, y: float, w: float, h: float, picture: ImageArray) -> None:
        """Put a picture into a box."""
        axes = self.figure.add_axes(
            (x / self.width, 1 - (y + h) / self.height, w / self.width, h / self.height)
        )
        axes.imshow(picture, interpolation="none", aspect="auto")
        axes.set_axis_off()

    def text(self, x: float, y: float, text: str, *, middle: bool = False, **style: Any) -> None:
        """Write a line, vertically centred; a dollar sign is one."""
        self.figure.text(
            x / self.width,
            1 - y / self.height,
            text,
            ha="center" if middle else "left",
            va="center",
            parse_math=False,
            **style,
        )

    def swatch(self, x: float, y: float, size: float, rgb: Colour) -> None:
        """Draw a square in a colour, outlined as masks are."""
        from matplotlib.patches import Rectangle

        corner = (x / self.width, 1 - (y + size / 2) / self.height)
        self.figure.add_artist(
            Rectangle(
                corner,
                size / self.width,
                size / self.height,
                facecolor=tuple(c / 255 for c in rgb),
                edgecolor="black",
                linewidth=0.5,
            )
        )


def _draw_video(
    page: _Page,
    shown: Shown,
    texts: Sequence[Sequence[str]],
    top: float,
    size: tuple[float, float],
    name: str,
) -> None:
    """Draw a video's rows of frames, and its sentences below."""
    width, height = size
    for row in shown.panels:
        for i, picture in enumerate(row):
            page.image(_MARGIN + i * (width + _GAP), top, width, height, picture)
        top += height + _GAP
    page.text(_MARGIN, top + _LINE / 2, name, weight="bold")
    top += _LINE
    for k, lines in enumerate(texts):
        page.swatch(_MARGIN + 0.02, top + _LINE / 2, 0.08, colour(k))
        for line in lines:
            page.text(_MARGIN + 0.15, top + _LINE / 2, line)
            top += _LINE


def _lines(text: str) -> list[str]:
    """Return a sentence in at most three lines."""
    return textwrap.wrap(text, _LETTERS, max_lines=3, placeholder=" …") or [""]


def _saved(made: Figure, form: str) -> bytes:
    out = io.BytesIO()
    # No date inside, so that the same runs give the same file.
    dated: Mapping[str, Any] = {"CreationDate": None} if form == "pdf" else {"Software": None}
    made.savefig(out, format=form, dpi=300, metadata=dict(dated))
    return out.getvalue()
