"""``bench report --table`` as a function: tables of published and measured numbers, and the ablation figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from refseg.bench.atomic import write_bytes
from refseg.reports.claims import Claim
from refseg.reports.figures import ablation_figure
from refseg.reports.join import elsewhere_tables, paper_tables, shapes_tables
from refseg.reports.measured import Measured
from refseg.reports.paper import ELSEWHERE, SHAPES, SPECS
from refseg.reports.render import comma_separated, latex, markdown, page
from refseg.reports.tables import Table

RENDERERS: Mapping[str, Callable[[Sequence[Table]], str]] = {
    "md": markdown,
    "csv": comma_separated,
    "html": page,
    "latex": latex,
}
SUFFIXES = {"md": "md", "csv": "csv", "html": "html", "latex": "tex"}


def tables(
    name: str, claims: Sequence[Claim], measured: Sequence[Measured], runs: str = "runs"
) -> list[Table]:
    """Return one table by its name, and those beside it.

    Args:
        name: A name of ``bench list tables``.
        claims: All published numbers.
        measured: All that was measured.
        runs: The folder of runs, for the commands that fill what is empty.
    """
    if name == SHAPES:
        return shapes_tables(measured)
    if name == ELSEWHERE:
        return elsewhere_tables(claims, measured, runs)
    return paper_tables(SPECS[name], claims, measured, runs)


def write_tables(
    names: Sequence[str],
    claims: Sequence[Claim],
    measured: Sequence[Measured],
    *,
    form: str,
    out: Path,
    runs: Path,
) -> list[Path]:
    """Write each table into a file of its own, and the figures' pictures as PNG and PDF where there is one to draw.

    Returns:
        What was written.
    """
    written: list[Path] = []
    for name in names:
        found = tables(name, claims, measured, str(runs))
        stem = name if name.startswith("fig") else f"table-{name}"
        path = out / f"{stem}.{SUFFIXES[form]}"
        write_bytes(path, f"{RENDERERS[form](found)}\n".encode())
        written.append(path)
        if name.startswith("fig"):
            for suffix, content in ablation_figure(SPECS[name], claims, measured, runs).items():
                picture = out / f"{stem}.{suffix}"
                write_bytes(picture, content)
                written.append(picture)
    return written
