"""The ablation figures (Figures 4 and 5): scores of a grid's settings, and the curves of its trainings."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refseg.reports.claims import Claim, of_table
from refseg.reports.join import paper_tables
from refseg.reports.measured import Measured
from refseg.reports.overlays import PALETTE
from refseg.reports.paper import Spec
from refseg.reports.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFERRED = ("dev_J&F", "dev_video_J", "dev_image_J")
"""Figures of a training's log that are drawn, the first that is there."""

# Blue, vermilion, green, orange, purple, sky: apart for colour-blind readers, and not alike in grey.
_COLOURS = tuple("#{:02x}{:02x}{:02x}".format(*PALETTE[i]) for i in (5, 6, 2, 3, 1, 0))
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))
_MARKERS = "osD^vP"
_STYLE: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42}
_WIDTH, _HEIGHT = 3.6, 2.7


@dataclass(frozen=True)
class Curve:
    """One training's scores over its steps, as its log.csv tells them."""

    label: str
    figure: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


def ablation_figure(
    spec: Spec, claims: Sequence[Claim], measured: Sequence[Measured], runs: Path
) -> dict[str, bytes]:
    """Draw a figure of the paper from the runs and trainings below its grid's folder.

    Args:
        spec: Which figure.
        claims: All published numbers; what is said to be the best is marked.
        measured: All that was measured.
        runs: The folder of runs; trainings of the grid are looked for in ``runs/GRID``.

    Returns:
        ``{"png": …, "pdf": …}``, the same for the same input; nothing where neither a run nor a training is there.
    """
    curves = read_curves(runs / spec.grid)
    scored = [t for t in paper_tables(spec, claims, measured, str(runs)) if t.beside]
    if not curves and not scored:
        return {}
    best = {c.setting for c in of_table(claims, spec.table) if c.unit == "rank" and c.value == 1}
    return _drawn(curves, scored, best)


def read_curves(folder: Path) -> list[Curve]:
    """Return the curves of the trainings below a folder, by path; each is named for its own folder.

    Logs without anything evaluated, or that are damaged, give none.
    """
    found: list[Curve] = []
    for path in sorted(folder.rglob("log.csv")) if folder.is_dir() else ():
        series: dict[str, list[tuple[int, float]]] = {}
        try:
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    series.setdefault(row["figure"], []).append((int(row["step"]), float(row["value"])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        figure = next((f for f in PREFERRED if f in series), None)
        if figure:
            steps, values = zip(*series[figure], strict=True)
            found.append(Curve(path.parent.name, figure, steps, values))
    return found


def _drawn(curves: Sequence[Curve], scored: Sequence[Table], best: set[str]) -> dict[str, bytes]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures = list(dict.fromkeys(c.figure for c in curves))
    panels = len(figures) + len(scored)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH * panels, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for ax, name in zip(axes, figures, strict=False):
            _draw_curves(ax, [c for c in curves if c.figure == name], best)
        for ax, table in zip(axes[len(figures) :], scored, strict=True):
            _draw_scores(ax, table, best)
        return {"png": _saved(figure, "png"), "pdf": _saved(figure, "pdf")}


def _draw_curves(ax: Axes, curves: Sequence[Curve], best: set[str]) -> None:
    for i, c in enumerate(curves):
        ax.plot(
            c.steps,
            c.values,
            label=_label(c.label, best),
            color=_COLOURS[i % len(_COLOURS)],
            linestyle=_DASHES[i % len(_DASHES)],
            marker=_MARKERS[i % len(_MARKERS)],
            markersize=3.5,
            linewidth=1.3,
        )
    ax.set_xlabel("training step")
    ax.set_ylabel(f"{curves[0].figure.removeprefix('dev_').replace('_', ' ')} on fresh samples (%)")
    ax.grid(alpha=0.25, linewidth=0.5)
    for text in ax.legend(frameon=False, fontsize=7).get_texts():
        text.set_parse_math(False)


def _draw_scores(ax: Axes, table: Table, best: set[str]) -> None:
    column = table.columns[0]
    rows = [(" ".join(filter(None, r.stubs)), b) for r in table.rows for b in r.blocks if column in b.values]
    for i, (_, block) in enumerate(rows):
        value = block.values[column]
        low, high = block.bounds.get(column, (value, value))
        ax.errorbar(
            value,
            i,
            xerr=[[value - low], [high - value]],
            fmt=_MARKERS[i % len(_MARKERS)],
            color=_COLOURS[i % len(_COLOURS)],
            capsize=2.5,
            markersize=5,
        )
    ax.set_yticks(range(len(rows)), [_label(name, best) for name, _ in rows], parse_math=False)
    ax.invert_yaxis()
    ax.margins(y=0.15)
    ax.set_xlabel(f"{column.metric} (%) and 95 % interval\n{column.group}\n{column.protocol}")
    ax.grid(alpha=0.25, linewidth=0.5, axis="x")


def _label(name: str, best: set[str]) -> str:
    plain = {_letters(b) for b in best}
    return f"{name} (paper: best)" if _letters(name) in plain else name


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _saved(figure: Figure, form: str) -> bytes:
    out = io.BytesIO()
    # No date inside, so that the same scores give the same file.
    dated: Mapping[str, Any] = {"CreationDate": None} if form == "pdf" else {"Software": None}
    figure.savefig(out, format=form, dpi=200, metadata=dict(dated))
    return out.getvalue()
