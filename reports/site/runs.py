"""The runs that a site is about: read, named apart, and grouped by what can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.errors import InputError, RefsegError
from refseg.bench.parsing import parse_json
from refseg.bench.results import each_protocol
from refseg.bench.store import RECORD

_SAID = 24
_MOST_OPTIONS = 2


@dataclass(frozen=True)
class Run:
    """A run folder as the site shows it.

    Attributes:
        name: Its folder, relative to where runs were looked for.
        path: The folder.
        record: run.json.
        result: result.json; None where the run is not finished.
        label: Its method and, where other runs of it stand beside, what sets it apart.
        number: Its number on the site, from 1; names its page.
    """

    name: str
    path: Path
    record: Mapping[str, Any]
    result: Mapping[str, Any] | None
    label: str = ""
    number: int = 0

    @property
    def method(self) -> str:
        """Return the method's registered name."""
        return str(self.record["method"]["name"])

    @property
    def page(self) -> str:
        """Return the name of its page."""
        return f"run-{self.number:03}.html"

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the method's options."""
        found: Mapping[str, Any] = self.record["method"].get("config", {})
        return found

    @property
    def key(self) -> str:
        """Return the run's key."""
        return str(self.record["key"])

    @property
    def scored(self) -> list[Mapping[str, Any]]:
        """Return its results by protocol, those with metrics, the headline first."""
        return [] if self.result is None else [one for one in each_protocol(self.result) if one["metrics"]]


@dataclass(frozen=True)
class Group:
    """Runs on the same sentences: one dataset, version, split, content and options.

    Attributes:
        title: Dataset, split and version, and what sets it apart from another group of that title.
        runs: Its runs, the best first, those that look at the truth last.
        number: Its number on the site, from 1; names its viewer and its data.
    """

    title: str
    runs: tuple[Run, ...]
    number: int

    @property
    def page(self) -> str:
        """Return the name of its viewer."""
        return f"browse-{self.number:02}.html"

    @property
    def folder(self) -> str:
        """Return the folder of its data."""
        return f"data/{self.number:02}"


def find_runs(folder: Path) -> list[tuple[str, Path]]:
    """Return (name, path) of every run below a folder, by name.

    Raises:
        InputError: There is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist; give --runs DIR, where `bench run` wrote.")
    paths = sorted(p.parent for p in folder.rglob(RECORD))
    if not paths:
        raise InputError(f"{folder} holds no run; `bench run` writes one, or give another --runs DIR.")
    return [_named(path, folder) for path in paths]


def read_runs(named: Iterable[tuple[str, Path]]) -> tuple[list[Run], list[str]]:
    """Return the runs that can be read, and a sentence on each other one."""
    runs: list[Run] = []
    notes: list[str] = []
    for name, path in named:
        try:
            runs.append(_read(name, path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{name} is left out: its run.json or result.json is damaged ({error!r})")
        except RefsegError as error:
            notes.append(f"{name} is left out: {error}")
    return runs, notes


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Number the runs, label them, and group them by what they were made on."""
    by_data: dict[str, list[Run]] = {}
    for run in runs:
        by_data.setdefault(_data_key(run), []).append(run)
    titles = [_title(group[0]) for group in by_data.values()]
    out: list[Group] = []
    number = 0
    for count, (group, title) in enumerate(zip(by_data.values(), titles, strict=True), 1):
        apart = _apart(group[0]) if titles.count(title) > 1 else ""
        group.sort(key=_rank)
        labelled = []
        for run, label in zip(group, labels(group), strict=True):
            number += 1
            labelled.append(Run(run.name, run.path, run.record, run.result, label, number))
        out.append(Group(title + apart, tuple(labelled), count))
    return out


def labels(runs: Sequence[Run]) -> list[str]:
    """Return a label for each run: its method, with the options that differ where that is not enough."""
    out = []
    for run in runs:
        others = [other.options for other in runs if other.method == run.method and other is not run]
        mine = flat(run.options)
        differing = [n for n, v in mine.items() if any(flat(o).get(n) != v for o in others)]
        # Options of a stage that is a method of its own mostly follow from the stage's name.
        differing = [n for n in differing if "." not in n] or differing
        said = ", ".join(f"{n}={_short(mine[n])}" for n in differing[:_MOST_OPTIONS])
        out.append(f"{run.method} ({said})" if said else run.method)
    # The folder's name tells apart what options do not, such as two versions of the code.
    return [
        f"{text} [{run.name}]" if out.count(text) > 1 else text for text, run in zip(out, runs, strict=True)
    ]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as one level, ``{"a.b": value}``."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out


def _named(path: Path, folder: Path) -> tuple[str, Path]:
    name = path.relative_to(folder).as_posix()
    return (folder.resolve().name if name == "." else name), path


def _read(name: str, path: Path) -> Run:
    record = parse_json((path / RECORD).read_bytes())
    result = None
    if record.get("status") == "done":
        result = parse_json((path / "result.json").read_bytes())
        if not isinstance(result, dict):
            raise ValueError("its result.json is no object")
    run = Run(name, path, record, result)
    _check(run)
    return run


def _check(run: Run) -> None:
    """Touch what the site reads, so that a damaged file is told of before anything is written."""
    _ = (run.method, run.key, _data_key(run), _title(run), flat(run.options))
    if run.result is None:
        return
    _ = (run.result["failures"], run.result["scored"]["of"], run.result["scored"]["in_split"])
    for one in each_protocol(run.result):
        _ = (str(one["protocol"]), [float(v) for v in one["metrics"].values()])
        for item in one["items"]:
            _ = (str(item["video"]), str(item["expression"]), int(item["frames"]))


def _rank(run: Run) -> tuple[bool, bool, float]:
    """Return what puts the best method first, and those that look at the truth behind all others."""
    values = [float(v) for one in run.scored[:1] for v in one["metrics"].values()]
    return bool(run.record["method"].get("uses_truth")), not values, -values[0] if values else 0.0


def _data_key(run: Run) -> str:
    made = run.record["dataset"]
    options = run.record.get("key_parts", {}).get("dataset", {}).get("options", {})
    facts = [made[n] for n in ("name", "version", "split", "fingerprint")]
    return json.dumps([*facts, options], sort_keys=True)


def _title(run: Run) -> str:
    made = run.record["dataset"]
    return f"{made['name']} {made['split']}, version {made['version']}"


def _apart(run: Run) -> str:
    options = run.record.get("key_parts", {}).get("dataset", {}).get("options", {})
    said = "".join(f", {n}={_short(v)}" for n, v in options.items())
    return f", content {str(run.record['dataset']['fingerprint'])[:8]}{said}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SAID else f"{text[: _SAID - 1]}…"
