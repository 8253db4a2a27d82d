"""Which setting of a registered grid made a run: ``bench ablate`` names each run's folder after its options."""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath

from refseg.bench import registry
from refseg.bench.grids import Grid
from refseg.bench.runner import RunRequest, default_name
from refseg.reports.measured import Measured

_SEEDS = 32


def label_of(grid: str, m: Measured) -> str | None:
    """Return the label of the setting that a run is; None where the grid is not registered, or has no such."""
    return _folders(grid, m.dataset, m.split).get(PurePosixPath(m.run).name)


@cache
def _folders(name: str, dataset: str, split: str) -> dict[str, str]:
    """Return folder name -> label of a grid's runs on a split."""
    if name not in registry.table("grids"):
        return {}
    grid: Grid = registry.resolve("grids", name)()
    folders: dict[str, str] = {}
    for setting in grid.settings:
        for seed in range(_SEEDS) if setting.seeded else (None,):
            options = dict(setting.options) | ({} if seed is None else {"seed": str(seed)})
            request = RunRequest(setting.method, dataset, options=options)
            for chosen in (split, "default"):
                folders.setdefault(default_name(request, chosen), setting.label)
    return folders
