"""Compares what was observed with a baseline: one row a figure, and which of them moved.

- Accuracy: a metric moved where the paired interval of its difference leaves 0 out and the difference is more than
  ``MARGIN``. Items moved where more than ``ITEM_SHARE`` of them moved by more than ``ITEM_MARGIN``: a fault that
  lifts as many sentences as it lowers leaves the mean alone. Without a network, any difference counts.
- Parameters, configuration and weights: exactly.
- Speed: where the whole interval of the quotient lies above what is allowed. Getting quicker is told and is no fault.

Higher scores count as well as lower ones: a score that rises without a reason is as wrong.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from refseg.bench.compare import compare_items
from refseg.bench.regress.baseline import Entry, Item
from refseg.bench.regress.noise import quotient

MARGIN = 0.1
"""Percent points of a metric that are never more than another machine's rounding."""

ITEM_MARGIN = 1.0
ITEM_SHARE = 0.05

Kind = Literal["accuracy", "items", "parameters", "configuration", "speed", "failures"]


@dataclass(frozen=True)
class Row:
    """One figure, then and now.

    Attributes:
        label: The method, or ``harness``.
        kind: What sort of figure.
        what: Its name.
        then: In the baseline; None: it is not there.
        now: Now; None: it is not there.
        change: Difference, or for speed the quotient; None where there is none.
        interval: The 95 % interval of ``change``; None where there is none.
        verdict: In a few words.
        moved: Whether it counts.
    """

    label: str
    kind: Kind
    what: str
    then: Any
    now: Any
    change: float | None
    interval: Sequence[float] | None
    verdict: str
    moved: bool

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {"interval": None if self.interval is None else list(self.interval)}


def entry_rows(label: str, then: Entry, now: Entry, video_ids: frozenset[str]) -> Iterator[Row]:
    """Yield the rows of one method, its speed left out.

    Args:
        label: What it is called.
        then: The baseline's entry.
        now: What was observed.
        video_ids: The videos that were looked at; others of the baseline do not count.
    """
    yield from _configuration(label, then, now)
    yield from _parameters(label, then.parameters, now.parameters)
    for protocol in dict.fromkeys([*then.protocols, *now.protocols]):
        before, after = (
            [i for i in entry.protocols.get(protocol, ()) if i["video"] in video_ids] for entry in (then, now)
        )
        yield from _accuracy(label, protocol, before, after, exact=now.exact and then.exact)
    failed, fail = set(then.failures) & video_ids, set(now.failures) & video_ids
    if failed or fail:
        other = sorted(failed ^ fail)
        verdict = f"changed: {', '.join(other[:5])}" if other else "as before"
        counts = len(failed), len(fail)
        yield Row(label, "failures", "failed videos", *counts, None, None, verdict, bool(other))


def speed_row(label: str, what: str, then: Sequence[float], now: Sequence[float], allowed: float) -> Row:
    """Return a timing's row.

    Args:
        label: The method, or ``harness``.
        what: What was timed.
        then: Repetitions of the baseline, in units of the reference.
        now: Repetitions now.
        allowed: How many times slower it may be.
    """
    found = quotient(now, then)
    low, high = found.interval or (found.value, found.value)
    slower, faster = low > allowed, high < 1 / allowed
    verdict = "slower" if slower else "faster" if faster else "within noise"
    before, after = statistics.median(then), statistics.median(now)
    return Row(label, "speed", what, before, after, found.value, found.interval, verdict, slower)


def _configuration(label: str, then: Entry, now: Entry) -> Iterator[Row]:
    before, after = _flat(then.facts), _flat(now.facts)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            pair = before.get(name), after.get(name)
            yield Row(label, "configuration", name, *pair, None, None, "changed", True)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested facts by dotted names."""
    out: dict[str, Any] = {}
    for name, value in facts.items():
        out |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return out


def _parameters(
    label: str, then: Mapping[str, Sequence[int]], now: Mapping[str, Sequence[int]]
) -> Iterator[Row]:
    for module in dict.fromkeys([*then, *now]):
        counts = then.get(module, (None, None)), now.get(module, (None, None))
        for what, before, after in zip(("learnable", "total"), *counts, strict=True):
            same = before == after
            # A count that holds is one line a method.
            if not same or (module == "all" and what == "total"):
                change = None if before is None or after is None else float(after - before)
                verdict = "equal" if same else "changed"
                yield Row(
                    label, "parameters", f"{module}, {what}", before, after, change, None, verdict, not same
                )


def _accuracy(
    label: str, protocol: str, then: Sequence[Item], now: Sequence[Item], *, exact: bool
) -> Iterator[Row]:
    lost, new = _without(then, now), _without(now, then)
    if lost or new:
        named = ", ".join([*lost, *new][:5])
        verdict = f"changed: {named}"
        yield Row(label, "items", f"{protocol}: items", len(then), len(now), None, None, verdict, True)
    if len(lost) == len(then) or len(new) == len(now):
        return
    found = compare_items(protocol, then, now)
    for metric, m in found["metrics"].items():
        moved, verdict = _verdict(m, exact)
        what = f"{protocol}: {metric}"
        yield Row(label, "accuracy", what, m["a"], m["b"], m["difference"], m["interval"], verdict, moved)
    yield _items_row(label, protocol, then, now, exact=exact)


def _verdict(m: Mapping[str, Any], exact: bool) -> tuple[bool, str]:
    """Return whether a metric moved, and how that is said."""
    difference = m["difference"]
    if exact:
        return difference != 0, "equal" if difference == 0 else "higher" if difference > 0 else "lower"
    large = abs(difference) > MARGIN
    if m["verdict"] == "no interval":
        return large, "moved; one video tells no noise" if large else "too little to count"
    if m["verdict"] in ("higher", "lower") and not large:
        return False, "too little to count"
    return m["verdict"] in ("higher", "lower"), str(m["verdict"])


def _items_row(label: str, protocol: str, then: Sequence[Item], now: Sequence[Item], *, exact: bool) -> Row:
    before = dict(zip(_keys(then), then, strict=True))
    after = dict(zip(_keys(now), now, strict=True))
    common = [key for key in before if key in after]
    moves = {key: _largest(before[key], after[key]) for key in common}
    margin = 0.0 if exact else ITEM_MARGIN
    beyond = [key for key, move in moves.items() if move > margin]
    moved = len(beyond) > (0 if exact else ITEM_SHARE * len(common))
    largest = max(moves, key=lambda key: moves[key])
    verdict = "equal" if moves[largest] == 0 else f"most {moves[largest]:.1f}, {largest[0]}/{largest[1]}"
    what = f"{protocol}: of {len(common)} items moved" + ("" if exact else f" by over {ITEM_MARGIN:g}")
    return Row(label, "items", what, 0, len(beyond), None, None, verdict, moved)


def _largest(a: Item, b: Item) -> float:
    """Return by how much the score of an item that moved most did, in percent points."""
    return max((abs(b[n] - a[n]) for n in a if isinstance(a[n], float) and n in b), default=0.0)


def _without(items: Sequence[Item], others: Sequence[Item]) -> list[str]:
    there = set(_keys(others))
    return [
        f"{video}/{expression}"
        for video, expression, n in _keys(items)
        if (video, expression, n) not in there
    ]


def _keys(items: Sequence[Item]) -> Iterator[tuple[str, str, int]]:
    seen: Counter[tuple[str, str]] = Counter()
    for item in items:
        pair = (item["video"], item["expression"])
        yield (*pair, seen[pair])
        seen[pair] += 1
