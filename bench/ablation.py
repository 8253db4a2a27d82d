"""``bench ablate`` as a function: a grid's settings as plain trainings and runs, and their table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.atomic import safe_name
from refseg.bench.compare import compare
from refseg.bench.errors import InputError
from refseg.bench.grid_files import SUFFIX, read_grid
from refseg.bench.grid_training import Trained, train_setting
from refseg.bench.grids import Grid, Setting
from refseg.bench.predict import one_line
from refseg.bench.progress import Progress, Silent
from refseg.bench.provenance import source_digest
from refseg.bench.runner import RunRequest, default_name, plan, run

QUICK_VIDEOS = 2
"""Videos of a run under ``quick``."""


@dataclass(frozen=True)
class GridRequest:
    """What ``bench ablate`` was asked for.

    Attributes:
        grid: Registered name, or a file of :mod:`refseg.bench.grid_files`, which ends in ``.toml``.
        dataset: None: the grid's own.
        split: None: the grid's own.
        root: Folder of the dataset; None: configured, or none needed.
        limit: Only the first so many videos.
        seeds: How many seeds a seeded setting is trained or run with.
        out: Folder of trainings and runs; None: ``runs/GRID``, for a file by its name without the suffix.
        fresh: Do everything again.
        quick: A few steps and videos: proves that the grid runs, and says nothing else.
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
    quick: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class _Done:
    """What became of a setting: results by seed, their trainings, and why it stopped."""

    setting: Setting
    results: list[dict[str, Any]]
    trained: list[list[Trained]]
    error: str = ""


def chosen_grid(request: GridRequest) -> Grid:
    """Return the grid that a request names, at the size of its dataset."""
    if request.grid.endswith(SUFFIX):
        return read_grid(Path(request.grid))
    grid: Grid = registry.resolve("grids", request.grid)()
    if request.dataset not in (None, grid.dataset) and grid.full_size is not None:
        return grid.full_size
    return grid


def grid_folder(request: GridRequest) -> Path:
    """Return the folder of a grid's trainings, runs and report."""
    name = safe_name(Path(request.grid).stem) if request.grid.endswith(SUFFIX) else request.grid
    return Path(request.out or Path("runs") / (f"{name}-quick" if request.quick else name))


def run_grid(request: GridRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Train and run every setting and return the table; a setting that fails does not stop the others.

    Returns:
        ``{"grid", "title", "note", "table", "base", "quick", "seeds", "dataset", "version", "split", "protocol",
        "partial", "columns", "curve", "rows": [{"label", "method", "options", "published", "metrics", "deviations",
        "intervals", "against_base", "failures", "error", "runs", "trainings"}]}``; metrics are means over seeds,
        deviations the sample standard deviation where there are two or more, intervals those over videos where
        there is one. ``against_base`` compares the headline with the base's: ``{"metric", "difference",
        "interval", "verdict", "noise"}``.

    Raises:
        InputError: A name is wrong, or no setting could be run.
    """
    progress = progress or Silent()
    grid = chosen_grid(request)
    for training in grid.trainings:
        registry.entry("recipes", training.recipe)
    if not grid.trainings:
        # A wrong option in the last setting must not show after an hour of running the first ones.
        for setting in grid.settings:
            for seed in _seeds(setting, request.seeds):
                plan(_request(request, grid, setting, seed, []))
    done = [_do(request, grid, setting, progress) for setting in grid.settings]
    results = [r for d in done for r in d.results]
    if not results:
        raise InputError(f"No setting of {grid.name} could be run; the first says: {done[0].error}")
    rows = [_row(d, grid) for d in done]
    base = next((d for d in done if d.setting.label == grid.base and not d.error), None)
    for row, one in zip(rows, done, strict=True):
        row["against_base"] = None if base in (None, one) or one.error else _against(base, one)
    about = {k: results[0][k] for k in ("dataset", "version", "split", "protocol", "partial")}
    return {
        "grid": grid.name,
        "title": grid.title,
        "note": grid.note,
        "table": grid.table,
        "base": grid.base,
        "quick": request.quick,
        "seeds": request.seeds,
        **about,
        "columns": list(dict.fromkeys(c for row in rows for c in row["metrics"])),
        "curve": grid.curve,
        "rows": rows,
    }


def _do(request: GridRequest, grid: Grid, setting: Setting, progress: Progress) -> _Done:
    done = _Done(setting, [], [])
    try:
        for seed in _seeds(setting, request.seeds):
            trained = []
            if grid.trainings:
                trained = train_setting(
                    setting,
                    grid.trainings,
                    grid_folder(request) / "trainings",
                    seed=seed or 0,
                    quick=request.quick,
                    fresh=request.fresh,
                    device=request.device,
                    progress=progress,
                )
            result = run(_request(request, grid, setting, seed, trained), progress=progress)
            done.trained.append(trained)
            done.results.append(result)
    except Exception as error:
        progress.note(f"{setting.label} failed: {one_line(error)}")
        return replace(done, error=one_line(error))
    return done


def _seeds(setting: Setting, seeds: int) -> Sequence[int | None]:
    return list(range(seeds)) if setting.seeded else [None]


def _request(
    request: GridRequest, grid: Grid, setting: Setting, seed: int | None, trained: Sequence[Trained]
) -> RunRequest:
    options = {**setting.options, **setting.switches}
    if trained:
        paths = {t.name: str(t.weights) for t in trained}
        options = {k: v.format(**paths) for k, v in options.items()} | {
            "checkpoint": str(trained[-1].weights)
        }
    elif seed is not None:
        options["seed"] = str(seed)
    made = RunRequest(
        method=setting.method,
        dataset=request.dataset or grid.dataset,
        split=request.split or grid.split,
        root=request.root,
        limit=request.limit or (QUICK_VIDEOS if request.quick else None),
        options=options,
        device=request.device,
        fresh=request.fresh,
        page=False,
    )
    named = default_name(made, made.split or "default")
    if trained:
        # A run of other code is another run; that of weights which took hours is not refused, nor are they lost.
        named += f"-{source_digest()[:8]}"
    return replace(made, out=str(grid_folder(request) / named))


def _row(done: _Done, grid: Grid) -> dict[str, Any]:
    setting, results = done.setting, done.results
    flat = [_flat(r, grid.attributes) for r in results]
    names = list(dict.fromkeys(n for f in flat for n in f))
    values = {n: [f[n] for f in flat if n in f] for n in names}
    return {
        "label": setting.label,
        "method": setting.method,
        "options": {**setting.options, **setting.switches},
        "published": setting.published,
        "metrics": {n: statistics.fmean(v) for n, v in values.items()},
        "deviations": {n: statistics.stdev(v) for n, v in values.items() if len(v) > 1},
        "intervals": results[0].get("intervals", {}) if len(results) == 1 else {},
        "failures": [f for r in results for f in r["failures"]],
        "error": done.error,
        "runs": [r["run"] for r in results],
        "trainings": [
            [asdict(t) | {"out": str(t.out), "weights": str(t.weights)} for t in s] for s in done.trained
        ],
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


def _against(base: _Done, one: _Done) -> dict[str, Any] | None:
    """Compare the headline of two settings: over seeds where there are several, else over the videos of one run."""
    metric = next(iter(base.results[0]["metrics"]), None)
    if metric is None or metric not in one.results[0]["metrics"]:
        return None
    ours, theirs = ([r["metrics"][metric] for r in d.results] for d in (base, one))
    if min(len(ours), len(theirs)) > 1:
        return {"metric": metric, "noise": "seeds", **welch(ours, theirs)}
    found = compare(base.results[0]["run"], one.results[0]["run"])["protocols"][0]["metrics"][metric]
    told = {k: found[k] for k in ("difference", "interval", "verdict")}
    return {"metric": metric, "noise": "videos of one training each", **told}


def welch(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """Return the difference of two means, B less A, with Welch's 95 % interval and what it says."""
    from scipy import stats

    difference = statistics.fmean(b) - statistics.fmean(a)
    spreads = [statistics.variance(x) / len(x) for x in (a, b)]
    error = math.sqrt(sum(spreads))
    if error == 0:
        bounds = [difference, difference]
    else:
        degrees = sum(spreads) ** 2 / sum(s**2 / (len(x) - 1) for s, x in zip(spreads, (a, b), strict=True))
        reach = float(stats.t.ppf(0.975, degrees)) * error
        bounds = [difference - reach, difference + reach]
    verdict = "higher" if bounds[0] > 0 else "lower" if bounds[1] < 0 else "within noise"
    return {"difference": difference, "interval": bounds, "verdict": verdict}
