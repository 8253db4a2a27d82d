"""What the methods do now: their runs, parameters and timings, as entries that a baseline can be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.errors import InputError, RefsegError
from refseg.bench.params import count_method, flattened
from refseg.bench.parsing import parse_json
from refseg.bench.progress import Progress
from refseg.bench.regress.baseline import Entry, label_of, rounded
from refseg.bench.results import each_protocol
from refseg.bench.runner import RunRequest, default_name, open_dataset, run
from refseg.bench.types import Dataset, MethodRequest

DATASET = "refshapes"

Spec = tuple[str, Mapping[str, str]]
"""A method's name and its options."""

CONTROLS: Sequence[Spec] = (("oracle", {}), ("oracle", {"frames_late": "1"}), ("empty", {}), ("full", {}))
"""They compute nothing that a machine could round otherwise, so they tell a fault of scoring from one of a method."""


@dataclass
class Observed:
    """What was found.

    Attributes:
        dataset: ``name``, ``split``, ``version``, ``fingerprint`` and how many ``videos``, as in a baseline.
        video_ids: The videos that were looked at.
        entries: Label -> what was found.
        errors: Label -> why there is no run, in one sentence.
    """

    dataset: dict[str, Any]
    video_ids: frozenset[str]
    entries: dict[str, Entry] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def watched() -> dict[str, Spec]:
    """Return what is watched: every registered tiny method, and the controls; by label."""
    tiny: list[Spec] = [(name, {}) for name in registry.expand_methods("all_tiny")]
    return {label_of(*spec): spec for spec in (*tiny, *CONTROLS)}


def open_watched(split: str | None) -> Dataset:
    """Open RefShapes."""
    return open_dataset(DATASET, split, None)


def looked_at(dataset: Dataset, limit: int | None) -> Observed:
    """Return an empty observation of a dataset's first videos."""
    videos, info = dataset.videos()[:limit], dataset.info
    facts = {"name": info.name, "split": info.split, "version": info.version, "fingerprint": info.fingerprint}
    return Observed(facts | {"videos": len(videos)}, frozenset(v.id for v in videos))


def run_all(
    specs: Mapping[str, Spec],
    observed: Observed,
    folder: Path,
    progress: Progress,
    *,
    fresh: bool = False,
    jobs: int | None = 1,
) -> None:
    """Run methods and add what they scored; one that cannot run is told of and the others go on.

    Finished predictions of the same code, configuration and data are reused, as ``bench run`` does; they are
    scored anew.
    """
    for label, (method, options) in specs.items():
        request = RunRequest(
            method,
            observed.dataset["name"],
            split=observed.dataset["split"],
            limit=observed.dataset["videos"],
            options=options,
            fresh=fresh,
            page=False,
            jobs=jobs,
        )
        out = folder / default_name(request, observed.dataset["split"])
        try:
            run(replace(request, out=str(out)), progress=progress)
            observed.entries[label] = _entry(method, options, out)
        except RefsegError as error:
            _fail(observed, label, str(error), progress)
        except Exception as error:
            # A method that stopped working is what is looked for, so its error is a finding and not a fault of ours.
            _fail(observed, label, f"{type(error).__name__}: {error}", progress)


def take_all(specs: Mapping[str, Spec], observed: Observed, runs: Path, known: Mapping[str, Entry]) -> None:
    """Take finished runs below a folder as they are; methods without one are told of.

    Args:
        specs: What is looked for.
        observed: Where entries go.
        runs: The folder.
        known: Entries whose configuration tells several runs of one method apart.

    Raises:
        InputError: There is no such folder, no run of any of them in it, or a run is damaged.
    """
    if not runs.is_dir():
        raise InputError(f"The folder {runs} does not exist; give --runs DIR, where `bench run` wrote.")
    found = list(_records(runs, observed.dataset))
    for label, (method, options) in specs.items():
        mine = [(f, r) for f, r in found if r["method"]["name"] == method]
        if label in known and len(mine) > 1:
            mine = [(f, r) for f, r in mine if r["method"]["config"] == known[label].facts["config"]]
        if len(mine) == 1:
            observed.entries[label] = _entry(method, options, mine[0][0])
        elif mine:
            names = ", ".join(sorted(str(f) for f, _ in mine))
            raise InputError(f"{label} has several runs in {runs} ({names}); leave one of them there.")
    if not observed.entries:
        raise InputError(
            f"{runs} holds no finished run of {', '.join(specs)} on {observed.dataset['name']} "
            f"{observed.dataset['split']}; leave --runs out to make them."
        )


def count_all(specs: Mapping[str, Spec], observed: Observed) -> None:
    """Count parameters, without weights, and add them."""
    for label, (method, options) in specs.items():
        try:
            counts = count_method(method, options)
        except RefsegError as error:
            observed.errors.setdefault(label, str(error))
            continue
        rows = (
            {name: (c["learnable"], c["total"]) for name, c in flattened(counts)} if counts["modules"] else {}
        )
        entry = observed.entries.get(label, Entry(method, options))
        observed.entries[label] = replace(entry, parameters=rows)


def built(specs: Mapping[str, Spec], observed: Observed) -> Iterator[tuple[str, Any]]:
    """Yield label and method of those that ran and have a network."""
    for label, (method, options) in specs.items():
        if label not in observed.errors and label in observed.entries and not observed.entries[label].exact:
            yield label, registry.build_method(MethodRequest(method, dict(options), "cpu", "float32"))


def _entry(method: str, options: Mapping[str, str], folder: Path) -> Entry:
    try:
        record = parse_json((folder / "run.json").read_bytes())
        result = parse_json((folder / "result.json").read_bytes())
        return Entry(
            method,
            dict(options),
            facts={name: record["method"][name] for name in ("revision", "config", "weights")},
            protocols={
                one["protocol"]: rounded(one["items"]) for one in each_protocol(result) if one["items"]
            },
            failures=[f["video"] for f in result["failures"]],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The run {folder} is damaged ({type(error).__name__}: {error}); make it anew."
        ) from None


def _records(runs: Path, dataset: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the finished runs of a dataset below a folder."""
    wanted = [dataset[name] for name in ("name", "split", "version", "fingerprint")]
    for path in sorted(runs.rglob("run.json")):
        try:
            record = parse_json(path.read_bytes())
            made_on = [record["dataset"][name] for name in ("name", "split", "version", "fingerprint")]
            if record["status"] == "done" and made_on == wanted and record["method"]["name"]:
                yield path.parent, record
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is damaged ({type(error).__name__}: {error}); remove the run."
            ) from None


def _fail(observed: Observed, label: str, text: str, progress: Progress) -> None:
    observed.errors[label] = " ".join(text.split())
    progress.note(f"{label}: {observed.errors[label]}")
