"""Draws a training's log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refseg.methods.training_log import read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHARES = ("_right", "_threshold")
"""Ends of the names of what lies between 0 and 1 and is no loss."""


def curve(log: Path) -> Figure:
    """Return the losses of a ``log.csv`` (columns step, figure, value) above, and below in percent all else."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(2, 1, sharex=True)
    for axes in (losses, scores):
        axes.set_prop_cycle(color=colormaps["tab20"].colors)  # type: ignore[attr-defined]
    for name, points in read_log(log).items():
        if name.endswith("_seconds"):
            continue
        share, evaluated = name.endswith(_SHARES), name.startswith(("dev_", "val_"))
        axes = scores if share or evaluated else losses
        values = [100 * value if share else value for _, value in points]
        axes.plot([step for step, _ in points], values, label=name, marker="o" if evaluated else "")
    losses.set_yscale("log")
    losses.set_ylabel("loss")
    scores.set_ylabel("percent")
    scores.set_xlabel("step")
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_curve(log: Path, picture: Path) -> None:
    """Write the picture of :func:`curve`."""
    part = picture.with_suffix(".part")
    curve(log).savefig(part, format="png", dpi=100)
    part.replace(picture)
