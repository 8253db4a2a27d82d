"""``bench ablate`` as a function: a grid's settings as plain runs, and their table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.grids import Grid, Setting
from refseg.bench.progress import Progress
from refseg.bench.runner import RunRequest, default_name, plan, run


@dataclass(frozen=True)
class GridRequest:
    """What ``bench ablate`` was asked for.

    Attributes:
        grid: Registered name.
        dataset: None: the grid's own.
        split: None: the grid's own.
        root: Folder of the dataset; None: configured, or none needed.
        limit: Only the first so many videos.
        seeds: How many seeds a seeded setting is run with.
        out: Folder of the runs; None: ``runs/GRID``.
        fresh: Run everything again.
        device: torch device string.
    """

    grid: str
    dataset: str | None = None
    split: str | None = None
    root: str | None = None
    limit: int | None = None
    seeds: int = 1
    out: str | None = None
    fresh: bool = False
    device: str = "cpu"


def run_grid(request: GridRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Run every setting and return the table.

    Returns:
        ``{"grid", "title", "dataset", "split", "protocol", "columns", "rows": [{"label", "method", "options",
        "metrics", "deviations", "intervals", "failures", "runs"}]}``; metrics are means over seeds, deviations the
        sample standard deviation where there are two or more, intervals those over videos where there is one.
    """
    grid: Grid = registry.resolve("grids", request.grid)()
    runs = [[_request(request, grid, s, seed) for seed in _seeds(s, request.seeds)] for s in grid.settings]
    # A wrong option in the last setting must not show after an hour of running the first ones.
    for one in (r for row in runs for r in row):
        plan(one)
    results = [[run(one, progress=progress) for one in row] for row in runs]
    first = results[0][0]
    rows = [_row(s, r, grid.attributes) for s, r in zip(grid.settings, results, strict=True)]
    return {
        "grid": grid.name,
        "title": grid.title,
        "dataset": first["dataset"],
        "split": first["split"],
        "protocol": first["protocol"],
        "columns": list(dict.fromkeys(c for row in rows for c in row["metrics"])),
        "rows": rows,
    }


def _seeds(setting: Setting, seeds: int) -> Sequence[int | None]:
    return list(range(seeds)) if setting.seeded else [None]


def _request(request: GridRequest, grid: Grid, setting: Setting, seed: int | None) -> RunRequest:
    options = dict(setting.options) | ({} if seed is None else {"seed": str(seed)})
    made = RunRequest(
        method=setting.method,
        dataset=request.dataset or grid.dataset,
        split=request.split or grid.split,
        root=request.root,
        limit=request.limit,
        options=options,
        device=request.device,
        fresh=request.fresh,
        page=False,
    )
    folder = Path(request.out or Path("runs") / grid.name)
    return replace(made, out=str(folder / default_name(made, made.split or "default")))


def _row(setting: Setting, results: Sequence[Mapping[str, Any]], attributes: Sequence[str]) -> dict[str, Any]:
    flat = [_flat(r, attributes) for r in results]
    names = list(dict.fromkeys(n for f in flat for n in f))
    values = {n: [f[n] for f in flat if n in f] for n in names}
    return {
        "label": setting.label,
        "method": setting.method,
        "options": dict(setting.options),
        "metrics": {n: statistics.fmean(v) for n, v in values.items()},
        "deviations": {n: statistics.stdev(v) for n, v in values.items() if len(v) > 1},
        "intervals": results[0].get("intervals", {}) if len(results) == 1 else {},
        "failures": [f for r in results for f in r["failures"]],
        "runs": [r["run"] for r in results],
    }


def _flat(result: Mapping[str, Any], attributes: Sequence[str]) -> dict[str, float]:
    """Return a result's metrics with the headline's break-downs beside them."""
    out: dict[str, float] = dict(result["metrics"])
    headline = next(iter(out), None)
    for name in attributes:
        for label, means in result["breakdown"].get(name, {}).items():
            if headline in means:
                out[f"{headline}, {name.replace('_', ' ')}: {label}"] = means[headline]
    return out
