"""What was measured: scored runs, and the JSON of ``bench params`` and ``bench speed``, read from a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.bench.results import each_protocol
from refseg.bench.speed.report import gate_passed
from refseg.bench.tables import coverage_text

Kind = Literal["scores", "params", "speed"]

ALIASES: Mapping[str, str] = {"refsam": "refsam_vit_h"}
"""Registered names that stand for others."""

NAMED_BY_FOLDER = ("folder", "refine")
"""Methods that say nothing of whose masks they are: their run folder's name does, up to the dataset's."""


@dataclass(frozen=True)
class Measured:
    """One run under one protocol, or one count of parameters, or one timing.

    Attributes:
        kind: Which of these.
        run: Its folder or file, relative to the one that was looked through.
        id: Which method it is: the registered name, or what the folder or file is named for.
        method: Registered name.
        config: All options in force.
        weights: SHA-256 by file.
        dataset: Registered name; empty for parameters.
        split: Of the dataset.
        version: Of the dataset.
        content: Fingerprint of what was read of it.
        protocol: Its name.
        metrics: Name -> value, in percent, parameters in millions, or frames a second.
        intervals: Name -> bounds of the 95 % interval (speed: of the repetitions).
        revision: Of the code that made it.
        hardware: What it ran on.
        marks: Why it is not comparable with a whole one: partial, failed videos, missing predictions.
        items: Hash of the items that were scored.
        uses_truth: A stage of it was told the truth.
    """

    kind: Kind
    run: str
    id: str
    method: str
    metrics: Mapping[str, float]
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""
    split: str = ""
    version: str = ""
    content: str = ""
    protocol: str = ""
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    revision: str = ""
    hardware: str = ""
    marks: tuple[str, ...] = ()
    items: str = ""
    uses_truth: bool = False

    @property
    def whole(self) -> bool:
        """Whether the whole split is scored."""
        return not self.marks

    @property
    def variant(self) -> str:
        """Hash of method, options and weights: runs of one variant on two datasets are one row of a table."""
        parts = [self.method, self.id, dict(self.config), dict(self.weights)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def read_measured(folder: Path) -> tuple[list[Measured], list[str]]:
    """Return everything measured below a folder, by path, and a sentence on each file that cannot be read.

    Runs that are not finished or not scored are left out; so are other JSON files.

    Raises:
        InputError: There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist; give --runs DIR, where `bench run` wrote.")
    found: list[Measured] = []
    notes: list[str] = []
    for path in sorted(folder.rglob("run.json")):
        try:
            found += _run(path.parent, _relative(path.parent, folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{path.parent} is left out: its run.json or result.json is damaged ({error!r})")
    for path in sorted(folder.glob("*.json")):
        try:
            found += _figures(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            notes.append(f"{path} is left out: it is damaged ({error!r})")
    return found, notes


def _relative(folder: Path, among: Path) -> str:
    name = folder.relative_to(among).as_posix()
    return folder.name if name == "." else name


def _run(folder: Path, name: str) -> Iterator[Measured]:
    record = parse_json((folder / "run.json").read_bytes())
    if record.get("status") != "done":
        return
    result = parse_json((folder / "result.json").read_bytes())
    method = record["method"]
    ident = _named(folder.name, result) if method["name"] in NAMED_BY_FOLDER else str(method["name"])
    yield from _scores(name, ident, result, method, record)


def _named(stem: str, result: Mapping[str, Any]) -> str:
    """Return what a folder or file is named for: its name up to the dataset's."""
    return stem.partition(f"-{result['dataset']}")[0]


def _scores(
    name: str, ident: str, result: Mapping[str, Any], method: Mapping[str, Any], record: Mapping[str, Any]
) -> Iterator[Measured]:
    """Yield a result's protocols; none where nothing is scored."""
    for one in each_protocol(result):
        if not one["items"]:
            continue
        yield Measured(
            "scores",
            name,
            ALIASES.get(ident, ident),
            str(method["name"]),
            {str(k): float(v) for k, v in one["metrics"].items()},
            method.get("config", {}),
            method.get("weights", {}),
            str(result["dataset"]),
            str(result["split"]),
            str(result["version"]),
            str(result.get("fingerprint", "")),
            str(one["protocol"]),
            dict(one.get("intervals", {})),
            str(record.get("code", {}).get("revision", "")),
            _hardware(record),
            _marks(result, one),
            _items(one["items"]),
            bool(method.get("uses_truth")),
        )


def _hardware(record: Mapping[str, Any]) -> str:
    hardware = record.get("hardware", {})
    return str(hardware.get("device_name") or hardware.get("cpu", ""))


def _marks(result: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[str, ...]:
    marks = []
    if result.get("partial"):
        marks.append(f"partial: {coverage_text(result['coverage'])}")
    if result["failures"]:
        marks.append(f"failed: {len(result['failures'])} of {result['scored']['of']} videos")
    if one.get("missing"):
        marks.append(f"{one['missing']} missing predictions taken as empty")
    if result.get("annotator") is not None:
        marks.append(f"annotator {result['annotator']} alone")
    return tuple(marks)


def _items(items: Sequence[Mapping[str, Any]]) -> str:
    names = "\n".join(sorted(f"{i['video']}/{i['expression']}" for i in items))
    return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()


def _figures(path: Path) -> Iterator[Measured]:
    """Yield what ``--json`` of ``bench score``, ``params`` or ``speed`` wrote; nothing for any other file."""
    content = parse_json(path.read_bytes())
    if not isinstance(content, dict):
        return
    if {"protocol", "items", "dataset"} <= {*content}:
        # A result of `bench run --json` stands in its run folder too.
        if "run" not in content:
            yield from _scores(path.name, _named(path.stem, content), content, {"name": path.stem}, {})
        return
    if "method" not in content:
        return
    readers: tuple[tuple[Kind, _Reader], ...] = (("params", _parameters), ("speed", _speeds))
    for kind, read in readers:
        metrics, bounds = read(content)
        if metrics:
            named = path.stem.startswith(f"{kind}-")
            ident = path.stem.removeprefix(f"{kind}-") if named else str(content["method"])
            yield Measured(
                kind,
                path.name,
                ALIASES.get(ident, ident),
                str(content["method"]),
                metrics,
                intervals=bounds,
                dataset=str(content.get("dataset", "")),
                split=str(content.get("split", "")),
                revision=str(content.get("code", {}).get("revision", "")),
                hardware=_hardware(content),
            )


_Figures = tuple[dict[str, float], dict[str, Sequence[float]]]
_Reader = Callable[[Mapping[str, Any]], _Figures]


def _parameters(content: Mapping[str, Any]) -> _Figures:
    if not {"learnable", "total", "modules"} <= {*content}:
        return {}, {}
    counts = {name: content[name] / 1e6 for name in ("learnable", "total")}
    for module, of in content["modules"].items():
        counts |= {f"modules.{module}.{name}": of[name] / 1e6 for name in ("learnable", "total")}
    return counts, {}


def _speeds(content: Mapping[str, Any]) -> _Figures:
    """Read ``fps_single``: its median with what the repetitions spread over; only where the accuracy gate passed."""
    told = content.get("fps_single")
    if told is None or not gate_passed(content):
        return {}, {}
    return {"fps_single": float(told["median"])}, {"fps_single": [float(told["min"]), float(told["max"])]}
