"""Runs the watched methods, times them, and holds what they do against a baseline or writes a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refseg.bench import provenance
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.progress import Progress, Silent
from refseg.bench.regress.baseline import Baseline, Entry, read_baseline, write_baseline
from refseg.bench.regress.checks import Row, entry_rows, speed_row
from refseg.bench.regress.observe import (
    Observed,
    Spec,
    built,
    count_all,
    looked_at,
    open_watched,
    run_all,
    take_all,
    watched,
)
from refseg.bench.regress.timing import ROUNDS, Stage, harness_stages, method_stage, timings
from refseg.bench.types import Dataset

SLOWER_HERE, SLOWER_ELSEWHERE = 1.25, 2.0
"""How many times slower is allowed on the baseline's kind of machine and on another (docs/regression.md)."""

HARNESS = "harness"


@dataclass(frozen=True)
class RegressRequest:
    """What ``bench regress`` was asked for.

    Attributes:
        baseline: The baseline's file.
        methods: Only these methods; none: all that the baseline has (for an update: all that are watched).
        options: ``--set KEY=VALUE`` for the one method that is compared.
        runs: A folder of finished runs that are taken as they are, and no speed is measured; None: they are made.
        out: Where runs are made.
        limit: Only the first so many videos; None: as many as the baseline has.
        rounds: Timings of each stage; 0: speed is not measured.
        slower: How many times slower is allowed; None: see :data:`SLOWER_HERE`.
        fresh: Predict everything again.
        jobs: How many processes score; None: as many as are worth it.
    """

    baseline: str
    methods: Sequence[str] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    runs: str | None = None
    out: str = "runs/regress"
    limit: int | None = None
    rounds: int = ROUNDS
    slower: float | None = None
    fresh: bool = False
    jobs: int | None = 1


def regress(request: RegressRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compare the methods as they are now with a baseline; nothing of it is written.

    Returns:
        ``{"baseline": {"file", "reason", "made", "code", "machine"}, "code", "machine", "dataset", "rows": [see
        :class:`refseg.bench.regress.checks.Row`], "moved": the rows that count, "notes": [sentences], "regressed":
        bool}``.

    Raises:
        InputError: The baseline cannot be read or is of another version of the data, or the call is wrong.
    """
    progress = progress or Silent()
    baseline = read_baseline(Path(request.baseline))
    specs = _chosen(request, baseline)
    dataset = open_watched(baseline.dataset["split"])
    observed = _looked_at(request, baseline, dataset)
    known = {label: baseline.methods[label] for label in specs}
    notes = _notes(request, baseline, observed)
    if request.runs is None:
        folder = Path(request.out)
        run_all(specs, observed, folder, progress, fresh=request.fresh, jobs=request.jobs)
    else:
        take_all(specs, observed, Path(request.runs), known)
        notes += [
            f"{label} has no run in {request.runs}." for label in specs if label not in observed.entries
        ]
        specs = {label: spec for label, spec in specs.items() if label in observed.entries}
    count_all(specs, observed)
    rows = [row for label in specs for row in _rows(label, known[label], observed)]
    if request.runs is None and request.rounds:
        rows += _speed_rows(request, baseline, specs, observed, dataset, progress)
    moved = [row.as_json() for row in rows if row.moved]
    return {
        "baseline": {
            "file": request.baseline,
            **{name: getattr(baseline, name) for name in ("reason", "made", "code", "machine")},
        },
        "code": _code(),
        "machine": _machine(),
        "dataset": observed.dataset,
        "rows": [row.as_json() for row in rows],
        "moved": moved,
        "notes": notes,
        "regressed": bool(moved),
    }


def update(request: RegressRequest, reason: str, *, progress: Progress | None = None) -> Baseline:
    """Make a baseline of the methods as they are now, or replace those of ``request.methods`` in one.

    Raises:
        InputError: No reason is given, a method cannot run, or the rest of the baseline is of other data.
    """
    progress = progress or Silent()
    if not reason.strip():
        raise InputError("A baseline is rewritten for a reason; say it by --reason TEXT.")
    path, everything = Path(request.baseline), watched()
    old = read_baseline(path) if request.methods and path.exists() else None
    specs = everything
    if request.methods:
        _known(request.methods, [method for method, _ in everything.values()], "method that is watched")
        specs = {label: spec for label, spec in everything.items() if spec[0] in request.methods}
    dataset = open_watched(None if old is None else old.dataset["split"])
    observed = looked_at(dataset, request.limit if old is None else old.dataset["videos"])
    if old is not None and old.dataset != observed.dataset:
        raise InputError(f"{path} is of other data than today's; leave --method out to rewrite it whole.")
    if old is not None and request.rounds and not _same_machine(old):
        raise InputError(
            f"{path} was timed on another machine; leave --method out to rewrite it whole, or give --no-speed."
        )
    run_all(specs, observed, Path(request.out), progress, fresh=request.fresh, jobs=request.jobs)
    count_all(specs, observed)
    if observed.errors:
        label, error = next(iter(observed.errors.items()))
        raise InputError(f"No baseline is written, since {label} does not run: {error}")
    stages = {} if old is None else old.stages
    if request.rounds:
        stages = _timed(request, specs, observed, dataset, progress)
    made = Baseline(
        reason=" ".join(reason.split()),
        made=provenance.now(),
        code=_code(),
        machine=_machine() if old is None else old.machine,
        reference=_reference(),
        dataset=observed.dataset,
        stages=stages,
        methods=({} if old is None else dict(old.methods)) | observed.entries,
    )
    write_baseline(path, made)
    return made


def _chosen(request: RegressRequest, baseline: Baseline) -> dict[str, Spec]:
    """Return the methods that are compared, by their labels in the baseline."""
    labels = [*baseline.methods]
    if request.methods:
        _known(
            request.methods, [e.method for e in baseline.methods.values()], f"method of {request.baseline}"
        )
        labels = [label for label in labels if baseline.methods[label].method in request.methods]
    if request.options and len(labels) != 1:
        raise InputError("--set goes with one method; name one that the baseline has once by --method.")
    return {
        label: (baseline.methods[label].method, {**baseline.methods[label].options, **request.options})
        for label in labels
    }


def _known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise unknown_name(what, name, dict.fromkeys(known))


def _looked_at(request: RegressRequest, baseline: Baseline, dataset: Dataset) -> Observed:
    """Return what is looked at.

    Raises:
        InputError: The baseline is of other data, or of fewer videos than asked for.
    """
    held = baseline.dataset["videos"]
    if request.limit is not None and request.limit > held:
        raise InputError(f"{request.baseline} holds {held} videos, fewer than --limit {request.limit}.")
    observed = looked_at(dataset, min(request.limit or held, held))
    for name in ("name", "split", "version", "fingerprint"):
        if baseline.dataset[name] != observed.dataset[name]:
            raise InputError(
                f"{request.baseline} is of {baseline.dataset['name']} {baseline.dataset['split']} with {name} "
                f"{baseline.dataset[name]}, and here it is {observed.dataset[name]}; scores of other data cannot be "
                f"compared: make it anew with --update --reason TEXT."
            )
    return observed


def _notes(request: RegressRequest, baseline: Baseline, observed: Observed) -> list[str]:
    notes = []
    new = [label for label in watched() if label not in baseline.methods]
    if new and not request.methods:
        notes.append(f"Not in the baseline, so not compared: {', '.join(new)}. --update takes them in.")
    if observed.dataset["videos"] < baseline.dataset["videos"]:
        share = f"{observed.dataset['videos']} of the baseline's {baseline.dataset['videos']} videos"
        notes.append(f"Only {share} are compared.")
    if request.runs is None and request.rounds:
        if not baseline.stages:
            notes.append("It holds no timings, so speed is not compared; --update takes them in.")
        elif baseline.reference != _reference():
            notes.append(
                "Its times are in units of another reference, so speed is not compared; use --update."
            )
        elif not _same_machine(baseline):
            allowed = request.slower or SLOWER_ELSEWHERE
            notes.append(
                f"This is another machine than the baseline's; up to {allowed:g} times slower is allowed."
            )
    return notes


def _rows(label: str, then: Entry, observed: Observed) -> list[Row]:
    error = observed.errors.get(label)
    if error is not None:
        gone = Row(label, "failures", "run", "runs", None, None, None, error, True)
        counted = label in observed.entries and observed.entries[label].parameters
        return [gone, *(_parameters_only(label, then, observed) if counted else ())]
    return list(entry_rows(label, then, observed.entries[label], observed.video_ids))


def _parameters_only(label: str, then: Entry, observed: Observed) -> list[Row]:
    now = replace(then, parameters=observed.entries[label].parameters)
    return [r for r in entry_rows(label, then, now, observed.video_ids) if r.kind == "parameters"]


def _speed_rows(
    request: RegressRequest,
    baseline: Baseline,
    specs: Mapping[str, Spec],
    observed: Observed,
    dataset: Dataset,
    progress: Progress,
) -> list[Row]:
    if baseline.reference != _reference():
        return []
    allowed = request.slower or (SLOWER_HERE if _same_machine(baseline) else SLOWER_ELSEWHERE)
    rows = []
    for label, stage in _stages(specs, observed, dataset):
        then = baseline.stages.get(stage.name, ()) if label == HARNESS else baseline.methods[label].speed
        if not then:
            continue
        what = stage.name if label == HARNESS else "time of a few frames"
        row = speed_row(label, what, then, timings(stage, request.rounds, progress), allowed)
        if row.moved:
            # Other work on the machine passes; a slower program stays slow.
            again = speed_row(label, what, then, timings(stage, request.rounds, progress), allowed)
            row = min(row, again, key=lambda r: r.change or 0.0)
        rows.append(row)
    return rows


def _timed(
    request: RegressRequest,
    specs: Mapping[str, Spec],
    observed: Observed,
    dataset: Dataset,
    progress: Progress,
) -> dict[str, list[float]]:
    """Return the times of the stages that all share, and add those of the methods to their entries."""
    shared: dict[str, list[float]] = {}
    for label, stage in _stages(specs, observed, dataset):
        times = timings(stage, request.rounds, progress)
        if label == HARNESS:
            shared[stage.name] = times
        else:
            observed.entries[label] = replace(observed.entries[label], speed=times)
    return shared


def _stages(specs: Mapping[str, Spec], observed: Observed, dataset: Dataset) -> list[tuple[str, Stage]]:
    from refseg.bench.regress.reference import array_reference, network_reference

    arrays, network = array_reference(), network_reference()
    shared = [(HARNESS, stage) for stage in harness_stages(dataset, dataset.info.protocols, arrays)]
    methods = [
        (label, method_stage(label, method, dataset, network)) for label, method in built(specs, observed)
    ]
    return shared + methods


def _same_machine(baseline: Baseline) -> bool:
    here, there = _machine(), baseline.machine
    return all(here[name] == there.get(name) for name in ("cpu", "platform", "packages"))


def _machine() -> dict[str, Any]:
    found = provenance.environment("cpu")
    packages = {name: v for name, v in found["packages"].items() if name in ("torch", "numpy")}
    hardware = {name: found["hardware"][name] for name in ("cpu", "cores")}
    return {**hardware, "platform": found["platform"], "python": found["python"], "packages": packages}


def _code() -> dict[str, str]:
    return {"revision": provenance.code_revision(), "sources_sha256": provenance.source_digest()}


def _reference() -> str:
    from refseg.bench.regress.reference import NAME

    return NAME
