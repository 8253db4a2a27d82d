"""Draws a training's log."""

from __future__ import annotations

import csv
from pathlib import Path


def draw_curve(log: Path, picture: Path) -> None:
    """Draw the losses of a ``log.csv`` (columns step, figure, value) above, what was evaluated (percent) below."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series: dict[str, tuple[list[int], list[float]]] = {}
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            steps, values = series.setdefault(row["figure"], ([], []))
            steps.append(int(row["step"]))
            values.append(float(row["value"]))
    figure = Figure(figsize=(8, 7), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(2, 1, sharex=True)
    for name, (steps, values) in series.items():
        if name.endswith("_seconds"):
            continue
        evaluated = name.startswith(("dev_", "val_"))
        axes = scores if evaluated else losses
        axes.plot(steps, values, label=name, marker="o" if evaluated else "")
    losses.set_yscale("log")
    losses.set_ylabel("loss")
    scores.set_ylabel("percent, evaluated")
    scores.set_xlabel("step")
    for axes in (losses, scores):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="small")
    part = picture.with_suffix(".part")
    figure.savefig(part, format="png", dpi=100)
    part.replace(picture)
