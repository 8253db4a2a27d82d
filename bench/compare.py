"""``bench compare`` as a function: two results on the same videos, metric by metric, from stored scores alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.bench.results import each_protocol
from refseg.bench.scoring.bootstrap import Interval, described, estimator_of, interval_of_each, video_numbers
from refseg.bench.scoring.score import from_json
from refseg.bench.types import Estimator, ScoredItem

_SAME = ("dataset", "version", "split")

Key = tuple[str, str, int]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Result:
    """A result that was read: where from, and its JSON."""

    path: Path
    content: Mapping[str, Any]

    def protocols(self) -> dict[str, Mapping[str, Any]]:
        """Return what was scored, by protocol."""
        return {one["protocol"]: one for one in each_protocol(self.content) if one["items"]}

    def facts(self) -> dict[str, Any]:
        """Return what the comparison says of it."""
        return {
            "path": str(self.path),
            "method": self.content.get("method", self.path.name),
            "failures": len(self.content["failures"]),
            "missing": self.content.get("missing", 0),
        }


def compare(a: str, b: str) -> dict[str, Any]:
    """Compare two results over the items that both hold.

    The difference's interval is paired: each draw of videos is the same for both, so what makes a video hard for
    both cancels out.

    Args:
        a: A run folder, or the JSON of a result (``bench run`` or ``bench score`` with ``--json``).
        b: The other; differences are B less A.

    Returns:
        ``{"a", "b": {"path", "method", "failures", "missing"}, "dataset", "version", "split", "protocols":
        [{"protocol", "items", "bootstrap", "metrics": {name: {"a", "b", "difference", "interval", "verdict"}},
        "only_a", "only_b"}], "only_a", "only_b"}``: metrics and differences in percent; ``interval`` is None where
        there is none; ``verdict`` is ``"higher"``, ``"lower"``, ``"within noise"``, ``"equal"`` or ``"no interval"``;
        ``only_…`` name items, and protocols, that one result lacks.

    Raises:
        InputError: One of them is no result, nothing of it is scored, or they differ in dataset, version, split,
            content or every protocol.
    """
    first, second = _read(Path(a)), _read(Path(b))
    _refuse_others(first, second)
    ours, theirs = first.protocols(), second.protocols()
    common = [name for name in ours if name in theirs]
    if not common:
        raise InputError(
            f"{a} is scored by {', '.join(ours)} and {b} by {', '.join(theirs)}; score one of them again with "
            f"`bench score --protocol {next(iter(ours))}`."
        )
    return {
        "a": first.facts(),
        "b": second.facts(),
        **{name: first.content[name] for name in _SAME},
        "protocols": [compare_items(name, ours[name]["items"], theirs[name]["items"]) for name in common],
        "only_a": [name for name in ours if name not in theirs],
        "only_b": [name for name in theirs if name not in ours],
    }


def compare_items(
    name: str, ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Compare the items of two results under one protocol; see :func:`compare` for what is returned.

    Raises:
        InputError: They share no item.
    """
    a, b = dict(_keyed(ours)), dict(_keyed(theirs))
    common = [key for key in a if key in b]
    if not common:
        raise InputError(f"The two results share no item of {name}, so there is nothing to compare.")
    protocol = registry.build_protocol(name)
    items = [a[key] for key in common], [b[key] for key in common]
    clusters = video_numbers([video for video, _, _ in common])
    means = tuple(protocol.aggregate(one) for one in items)
    (of_a, draws), (of_b, draws_b) = (estimator_of(protocol, one) for one in items)
    draws = min(draws, draws_b)
    found = interval_of_each(_difference(of_a, of_b), clusters, draws)
    metrics = {
        metric: _compared(means[0][metric], means[1][metric], found.get(metric))
        for metric in means[0]
        if metric in means[1]
    }
    return {
        "protocol": name,
        "items": len(common),
        "bootstrap": described(found, clusters, draws)["bootstrap"],
        "metrics": metrics,
        "only_a": [_said(key) for key in a if key not in b],
        "only_b": [_said(key) for key in b if key not in a],
    }


def _difference(a: Estimator, b: Estimator) -> Estimator:
    def estimate(weights: Array) -> dict[str, Array]:
        ours, theirs = a(weights), b(weights)
        return {name: theirs[name] - ours[name] for name in ours if name in theirs}

    return estimate


def _compared(a: float, b: float, bounds: Interval | None) -> dict[str, Any]:
    if bounds is None:
        verdict = "no interval"
    elif bounds[0] > 0:
        verdict = "higher"
    elif bounds[1] < 0:
        verdict = "lower"
    else:
        verdict = "equal" if bounds == (0, 0) else "within noise"
    interval = None if bounds is None else list(bounds)
    return {"a": a, "b": b, "difference": b - a, "interval": interval, "verdict": verdict}


def _keyed(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Key, ScoredItem]]:
    """Yield items by video, expression and, where an expression has several, their number."""
    seen: Counter[tuple[str, str]] = Counter()
    for item in items:
        pair = (item["video"], item["expression"])
        yield (*pair, seen[pair]), from_json(item)
        seen[pair] += 1


def _said(key: Key) -> str:
    video, expression, number = key
    return f"{video}/{expression}" + (f" ({number + 1})" if number else "")


def _read(path: Path) -> _Result:
    """Return a result.

    Raises:
        InputError: It is none, or nothing is scored.
    """
    file = path / "result.json" if path.is_dir() else path
    what = "give a run folder, or the JSON of one result"
    try:
        content = parse_json(file.read_bytes())
    except FileNotFoundError:
        lacks = f"{path} holds no result.json" if path.is_dir() else f"{path} does not exist"
        raise InputError(f"{lacks}; {what}.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as JSON ({error}); {what}.") from None
    if isinstance(content, dict) and "runs" in content:
        raise InputError(
            f"{file} holds {len(content['runs'])} results; {what}, for instance one of their run folders."
        )
    if not isinstance(content, dict) or not {*_SAME, "items", "protocol", "failures"} <= {*content}:
        raise InputError(f"{file} is not a result; {what}.")
    found = _Result(path, content)
    try:
        scored = found.protocols()
        for one in scored.values():
            for _ in _keyed(one["items"]):
                pass
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}: {error}); score it again.") from None
    if not scored:
        raise InputError(
            f"{path} holds no score ({content.get('note', 'no item')}), so nothing can be compared."
        )
    return found


def _refuse_others(a: _Result, b: _Result) -> None:
    ours, theirs = (tuple(str(r.content[name]) for name in _SAME) for r in (a, b))
    prints = [r.content.get("fingerprint") for r in (a, b)]
    other = prints[0] != prints[1] and None not in prints
    if ours == theirs and not other:
        return
    told = [f"{path} is of {d} {s}, version {v}" for path, (d, v, s) in ((a.path, ours), (b.path, theirs))]
    content = ", with other content" if ours == theirs else ""
    raise InputError(f"{' and '.join(told)}{content}; only results of the same sentences can be compared.")
