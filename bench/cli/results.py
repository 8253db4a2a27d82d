"""Results as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refseg.bench.tables import coverage_text, interval, percent, text_table


def result_text(result: Mapping[str, Any]) -> str:
    """Return a run's tables: every protocol's metrics, then those of kinds of sentences."""
    scored = result["scored"]
    head = f"{result.get('method', 'predictions')} on {result['dataset']} {result['split']}"
    lines = [f"{head} (version {result['version']})"]
    for one in (result, *result["also"]):
        lines += ["", _protocol_text(one)]
    if result.get("annotator") is not None:
        lines += ["", f"Scored as the label maps of annotator {result['annotator']} alone."]
    if result.get("note"):
        lines += ["", f"Not scored: {result['note']}."]
    if scored["videos"] < scored["of"]:
        failed = ", ".join(f["video"] for f in result["failures"][:5])
        lines += ["", f"Only {scored['videos']} of {scored['of']} videos are scored; these failed: {failed}"]
    if result["partial"]:
        lines += [
            "",
            f"Partial: {coverage_text(result['coverage'])} of the split; not comparable with whole ones.",
        ]
    if "run" in result:
        lines += ["", f"Run folder: {result['run']}"]
    if "annotations" in result:
        lines.append(f"Label PNGs for the official evaluator: {result['annotations']}")
    return "\n".join(lines)


def comparison_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Return one table a protocol that puts the runs of several methods side by side; "" where fewer than two ran."""
    rows: dict[str, list[list[str]]] = {}
    headers: dict[str, list[str]] = {}
    for result in results:
        for one in (result, *result.get("also", ())) if result.get("metrics") else ():
            protocol, metrics = str(one["protocol"]), one["metrics"]
            headline = next(iter(metrics))
            bounds = one.get("intervals", {}).get(headline)
            headers[protocol] = [protocol, "items", *metrics, f"95 % of {headline}"]
            row = [
                str(result["method"]),
                str(len(one["items"])),
                *map(percent, metrics.values()),
                interval(bounds),
            ]
            rows.setdefault(protocol, []).append(row)
    return "\n\n".join(text_table(headers[p], table) for p, table in rows.items() if len(table) > 1)


def lint_text(found: Mapping[str, Any]) -> str:
    """Return what is wrong with predictions, the gravest first."""
    head = f"{found['predictions']} on {found['dataset']} {found['split']}, layout {found['layout']}"
    lines = [f"  {f['severity']:9}{f['kind']:20}{f['text']}" for f in found["findings"]]
    verdict = "They can be scored." if found["can_be_scored"] else "They cannot be scored as they are."
    return "\n".join([head, *(lines or ["  nothing is wrong"]), verdict])


def plan_text(plan: Mapping[str, Any]) -> str:
    """Return what would run."""
    dataset = plan["dataset"]
    rows = [
        ("method", plan["method"]["name"]),
        ("dataset", f"{dataset['name']} {dataset['split']} (version {dataset['version']})"),
        ("protocols", ", ".join(plan["protocols"])),
        ("videos", str(plan["videos"])),
        ("frames", str(plan["frames"])),
        ("expressions", f"{plan['expressions']}, {plan['expressions_to_predict']} of them to predict"),
        ("device", f"{plan['device']}, {plan['dtype']}"),
        ("run folder", plan["out"]),
    ]
    return "\n".join(f"{name:12}{value}" for name, value in rows)


def _protocol_text(result: Mapping[str, Any]) -> str:
    metrics = result["metrics"]
    if not metrics:
        return str(result["protocol"])
    headline = next(iter(metrics))
    intervals = result.get("intervals", {})
    header = [str(result["protocol"]), "items", *metrics, f"95 % of {headline}"]
    cells = [percent(v) for v in metrics.values()]
    rows = [["all", str(len(result["items"])), *cells, interval(intervals.get(headline))]]
    # Two narrow rows and not one wide one: a table of seven metrics must fit a terminal.
    for label, end in (("  95 % from", 0), ("  95 % to", 1)):
        if len(metrics) > 1 and intervals:
            ends = [percent(intervals[m][end] if m in intervals else None) for m in metrics]
            rows.append([label, "", *ends, ""])
    for name, groups in result.get("breakdown", {}).items():
        for label, means in groups.items():
            cells = [percent(means.get(m)) for m in metrics]
            title = f"  {name.replace('_', ' ')}: {label}"
            rows.append(
                [title, str(int(means["n"])), *cells, interval(means.get("intervals", {}).get(headline))]
            )
    note = result.get("bootstrap", {}).get("note")
    return text_table(header, rows) + (f"\n({note[:1].upper()}{note[1:]}.)" if note else "")
