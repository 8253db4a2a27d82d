"""The committed baseline: what the tiny methods scored, item by item, and what they cost, in one readable JSON file.

    {"format", "reason", "made", "code": {"revision", "sources_sha256"}, "machine": {…}, "reference",
     "dataset": {"name", "split", "version", "fingerprint", "videos"},
     "stages": {stage: [time in units of the reference, …]},
     "methods": {label: {"method", "options", "facts": {"revision", "config", "weights"},
                         "parameters": {module: [learnable, total]}, "failures": [video, …], "speed": […],
                         "protocols": {name: {"metrics", "columns", "items": {video: [[expression, …], …]}}}}}}

Lists stand on one line, so that a diff shows which video moved. Scores are percent, rounded to four decimals. There
is no time in it: times mean nothing on another machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.atomic import write_bytes
from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.bench.scoring.score import from_json

FORMAT = "refseg-baseline-1"
DECIMALS = 4
"""Of scores in percent; more would be noise of the last bit in every diff."""

_SPEED_DECIMALS = 4

Item = Mapping[str, Any]
"""An item as results hold it: video, expression, scores in percent, frames, facts."""


@dataclass(frozen=True)
class Entry:
    """What is known of one method with its options.

    Attributes:
        method: Registered name.
        options: Its ``--set`` options.
        facts: ``revision``, ``config`` and ``weights`` as its run's record has them.
        parameters: Module -> (learnable, total); ``all`` is the sum. Empty where there is no network.
        protocols: Protocol -> items, rounded.
        failures: Videos that failed.
        speed: Its time on a few frames, in units of the reference; empty where it was not timed.
    """

    method: str
    options: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Sequence[int]] = field(default_factory=dict)
    protocols: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    failures: Sequence[str] = ()
    speed: Sequence[float] = ()

    @property
    def exact(self) -> bool:
        """Whether there is no network, whose rounding would differ from machine to machine."""
        return not self.parameters


@dataclass(frozen=True)
class Baseline:
    """A whole baseline; see the module's text for what stands in it.

    Attributes:
        reason: Why it was made.
        made: When, UTC.
        code: ``revision`` and ``sources_sha256`` of the code.
        machine: CPU, cores, system, Python and packages.
        reference: Which reference workload times are in units of.
        dataset: ``name``, ``split``, ``version``, ``fingerprint`` and how many ``videos``.
        stages: What all methods share -> time in units of the reference.
        methods: Label -> what was found.
    """

    reason: str
    made: str
    code: Mapping[str, str]
    machine: Mapping[str, Any]
    reference: str
    dataset: Mapping[str, Any]
    stages: Mapping[str, Sequence[float]]
    methods: Mapping[str, Entry]


def label_of(method: str, options: Mapping[str, str]) -> str:
    """Return what a method with its options is called, as one would type it."""
    return " ".join([method, *(f"--set {k}={v}" for k, v in sorted(options.items()))])


def rounded(items: Sequence[Item]) -> list[Item]:
    """Return items with their scores rounded as a baseline holds them."""
    return [{k: round(v, DECIMALS) if isinstance(v, float) else v for k, v in i.items()} for i in items]


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        InputError: It is not there, or not as :func:`write_baseline` writes it.
    """
    make = "`bench regress --baseline FILE --update --reason TEXT` writes one"
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"The baseline {path} does not exist; {make}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"The baseline {path} cannot be read as JSON ({error}); {make}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is no baseline of the form {FORMAT}; {make}.")
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"The baseline {path} is damaged ({type(error).__name__}: {error}); restore it, or {make}."
        ) from None


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline atomically."""
    content = {"format": FORMAT} | {
        name: value for name, value in asdict(baseline).items() if name not in ("methods", "stages")
    }
    content["stages"] = {n: _short(v) for n, v in baseline.stages.items()}
    content["methods"] = {label: _entry_json(entry) for label, entry in baseline.methods.items()}
    write_bytes(path, (_text(content) + "\n").encode("ascii"))


def metrics_of(protocol: str, items: Sequence[Item]) -> dict[str, float]:
    """Return a protocol's metrics of items, in percent."""
    return registry.build_protocol(protocol).aggregate([from_json(i) for i in items])


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "method": entry.method,
        "options": dict(entry.options),
        "facts": dict(entry.facts),
        "parameters": {name: list(counts) for name, counts in entry.parameters.items()},
        "failures": list(entry.failures),
        "speed": _short(entry.speed),
        "protocols": {name: _items_json(name, items) for name, items in entry.protocols.items()},
    }


def _items_json(protocol: str, items: Sequence[Item]) -> dict[str, Any]:
    columns = [name for name in items[0] if name != "video"]
    rows: dict[str, list[list[Any]]] = {}
    for item in items:
        rows.setdefault(item["video"], []).append([item[c] for c in columns])
    # For those who read a diff; a comparison computes them from the items.
    metrics = {name: round(value, 2) for name, value in metrics_of(protocol, items).items()}
    return {"metrics": metrics, "columns": columns, "items": rows}


def _short(values: Sequence[float]) -> list[float]:
    return [round(v, _SPEED_DECIMALS) for v in values]


def _text(value: Any, indent: str = "") -> str:
    """Return JSON in which objects take a line a member, and lists one line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False)
    deeper = f"{indent}  "
    members = [f"{deeper}{json.dumps(k)}: {_text(v, deeper)}" for k, v in value.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def _parsed(content: Mapping[str, Any]) -> Baseline:
    dataset = {k: content["dataset"][k] for k in ("name", "split", "version", "fingerprint", "videos")}
    if type(dataset["videos"]) is not int or dataset["videos"] < 1:
        raise ValueError(f"{dataset['videos']!r} videos")
    return Baseline(
        reason=str(content["reason"]),
        made=str(content["made"]),
        code=dict(content["code"]),
        machine=dict(content["machine"]),
        reference=str(content["reference"]),
        dataset=dataset,
        stages={str(n): _times(v) for n, v in content["stages"].items()},
        methods={str(label): _parsed_entry(one) for label, one in content["methods"].items()},
    )


def _parsed_entry(content: Mapping[str, Any]) -> Entry:
    return Entry(
        method=str(content["method"]),
        options={str(k): str(v) for k, v in content["options"].items()},
        facts={k: content["facts"][k] for k in ("revision", "config", "weights")},
        parameters={str(n): (int(c[0]), int(c[1])) for n, c in content["parameters"].items()},
        protocols={str(n): list(_parsed_items(v)) for n, v in content["protocols"].items()},
        failures=tuple(map(str, content["failures"])),
        speed=_times(content["speed"]),
    )


def _parsed_items(content: Mapping[str, Any]) -> Iterator[Item]:
    columns = content["columns"]
    for video, rows in content["items"].items():
        for row in rows:
            item = {"video": video} | dict(zip(columns, row, strict=True))
            # What is no item is found here and not in the middle of a comparison.
            from_json(item)
            yield item


def _times(values: Sequence[Any]) -> tuple[float, ...]:
    times = tuple(float(v) for v in values)
    if any(not 0 < t < float("inf") for t in times):
        raise ValueError("a time is not positive")
    return times
