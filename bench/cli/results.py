"""Results as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refseg.bench.tables import percent, text_table


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
    if scored["of"] < scored["in_split"]:
        lines += ["", f"Partial: {scored['of']} of the split's {scored['in_split']} videos."]
    if "run" in result:
        lines += ["", f"Run folder: {result['run']}"]
    if "annotations" in result:
        lines.append(f"Label PNGs for the official evaluator: {result['annotations']}")
    return "\n".join(lines)


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
    intervals = result.get("intervals") or {}
    header = [str(result["protocol"]), "items", *metrics]
    rows = [["all", str(len(result["items"])), *(percent(v) for v in metrics.values())]]
    if intervals:
        rows.append(["  95 % interval", "", *(_interval(intervals.get(m)) for m in metrics)])
    for name, groups in result.get("breakdown", {}).items():
        for label, means in groups.items():
            cells = [percent(means.get(m)) for m in metrics]
            rows.append([f"  {name.replace('_', ' ')}: {label}", str(int(means["n"])), *cells])
    return text_table(header, rows)


def _interval(bounds: Any) -> str:
    if isinstance(bounds, list | tuple) and len(bounds) == 2:
        return f"{percent(bounds[0])}..{percent(bounds[1])}"
    return "–"
