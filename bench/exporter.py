"""``bench export`` as a function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from refseg.bench.layouts import export, open_runs, run_facts
from refseg.bench.runner import open_dataset
from refseg.bench.scorer import refuse_other_dataset
from refseg.bench.store import SavedRun
from refseg.bench.subset import subset


def export_run(
    run: str | Sequence[str], layout: str, out: str, *, root: str | None = None
) -> tuple[Path, dict[str, int]]:
    """Write a run's masks as a server or an official tool reads them.

    Args:
        run: A run folder or its zip; several: all shards of one run.
        layout: One of :data:`refseg.bench.layouts.EXPORTS`.
        out: A folder that is not there or empty, or a new ``.zip``.
        root: Folder of the dataset; None: where the run found it, or configured.

    Returns:
        Where they are, and ``{"videos", "in_split"}``: how many of the split's videos the run holds.

    Raises:
        InputError: It is no run, its dataset is not there, a prediction is missing, or see
            :func:`refseg.bench.layouts.export`.
    """
    folder = open_runs([Path(p) for p in ([run] if isinstance(run, str) else run)])
    facts = run_facts(folder)
    made_on = facts.dataset
    dataset = open_dataset(made_on["name"], made_on["split"], root or made_on["root"], facts.options)
    refuse_other_dataset(facts, dataset, folder.path)
    mine = facts.videos_of(dataset)
    written = export(SavedRun(folder, facts.key), subset(dataset, mine), layout, out)
    # A copy of a part of the split knows how many videos are published.
    return written, {
        "videos": len(mine),
        "in_split": max(dataset.info.expected_videos or 0, len(dataset.videos())),
    }
