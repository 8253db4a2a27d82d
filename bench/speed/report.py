"""What ``bench speed`` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from refseg.bench.tables import text_table

Result = Mapping[str, Any]


class PublishedSpeed(Protocol):
    """A published figure; ``name`` is the method's here, empty where there is none."""

    @property
    def name(self) -> str:
        """Registered name."""

    @property
    def label(self) -> str:
        """Name as published."""

    @property
    def backbone(self) -> str:
        """Backbone as published."""

    @property
    def fps(self) -> float:
        """Frames a second as published."""

    @property
    def hardware(self) -> str:
        """Hardware as published."""


def summary(result: Result) -> str:
    """Return one method's figures."""
    if "error" in result:
        return f"{result['method']}: {result['error']}"
    on = result["measured_on"]
    hardware = result["hardware"]
    where = hardware["device_name"] or f"{hardware['cpu']}, {result['threads']} threads"
    lines = [
        f"{result['method']} on {result['dataset']} {on['split']}: {len(on['videos'])} videos, "
        f"{on['frames']} frames, {result['repetitions']} repetitions",
        f"{where}; {result['dtype']}; load {result['load_average']:.1f}",
        "",
        text_table(("frames a second", "median", "least", "most"), _speed_rows(result)),
        "",
        text_table(
            ("stage, one expression", "ms a frame", "least", "most", "of the processor"), _stage_rows(result)
        ),
        "",
        _latencies(result),
        _costs(result),
    ]
    if "gate" in result:
        lines.append(gate_text(result["gate"]))
    lines += list(result["not_measured"].values())
    return "\n".join(lines)


def table_x(published: Sequence[PublishedSpeed], results: Sequence[Result]) -> str:
    """Return Table X: published frames a second with their hardware, and what was measured here."""
    found = {r["method"]: r for r in results}
    rows = []
    notes = []
    for row in published:
        result = found.get(row.name)
        cells = [f"{row.label}, {row.backbone}", f"{row.fps:.1f}", row.hardware]
        if result is None or "error" in result:
            rows.append((*cells, "–", "–", "–"))
            if result is not None:
                notes.append(f"{row.name}: {result['error']}")
            continue
        counts = result["fps_amortised"]
        most = max(counts, key=int)
        mark = {True: "", False: " (gate failed)", None: " (no gate)"}[gate_passed(result)]
        rows.append(
            (
                *cells,
                f"{result['fps_single']['median']:.3g}{mark}",
                f"{counts[most]['median']:.3g} (K={most})",
                _hardware(result),
            )
        )
    header = ("Table X", "published FPS", "its hardware", "fps_single", "fps_amortised", "hardware here")
    return "\n".join([text_table(header, rows), *notes])


def gate_passed(result: Result) -> bool | None:
    """Return whether a result's speed counts; None: it was measured without the accuracy gate."""
    passed: bool | None = result.get("gate", {}).get("passed")
    return passed


def gate_text(gate: Result) -> str:
    """Return the accuracy gate's outcome in a sentence."""
    if "kept" not in gate:
        return f"Accuracy gate: passed ({gate['by']})."
    outcome = "passed" if gate["passed"] else "FAILED, so this speed does not count"
    detail = f"{100 * gate['kept']:.3f} % of the reference by {gate['by']}"
    if "J&F" in gate:
        detail += f" ({gate['J&F']:.3f} of {gate['J&F_reference']:.3f})"
    return f"Accuracy gate: {outcome}: {detail}; mask IoU to it {100 * gate['iou_to_reference']:.3f} %."


def _speed_rows(result: Result) -> list[tuple[str, ...]]:
    named = {"fps_single": result["fps_single"], "steady, one expression": result["steady_fps"]}
    named |= {f"fps_amortised, K = {k}": v for k, v in result["fps_amortised"].items()}
    return [_row(name, v, "{:.3g}") for name, v in named.items() if v]


def _stage_rows(result: Result) -> list[tuple[str, ...]]:
    processor = result["stages_processor_ms_per_frame"]
    stages = sorted(result["stages_ms_per_frame"].items(), key=lambda item: -item[1]["median"])
    return [(*_row(name, v, "{:.2f}"), f"{processor[name]['median']:.2f}") for name, v in stages]


def _row(name: str, values: Result, form: str) -> tuple[str, ...]:
    return (name, *(form.format(values[k]) for k in ("median", "min", "max")))


def _latencies(result: Result) -> str:
    found = result["latency_ms"]
    known = [f"{name} {value:.1f} ms" for name, value in found.items() if value is not None]
    first = f"first mask after {1e3 * result['first_mask_seconds']['median']:.1f} ms"
    return f"Latency of a frame: {', '.join(known) or 'one frame a video'}; {first}."


def _costs(result: Result) -> str:
    memory, sums = result["peak_memory"], result["parameters"]
    gpu = "" if memory["gpu_mib"] is None else f", {memory['gpu_mib']:.0f} MiB on the GPU"
    counted = result["flops"]["counted"]
    formula = result["flops"]["formula"]
    flops = (
        "not counted (compiled)" if counted is None else f"{sum(counted.values()) / 1e9:.1f} GFLOP counted"
    )
    if formula:
        flops += ", by formula " + ", ".join(f"{k} {v / 1e9:.1f} GFLOP" for k, v in formula.items())
    millions = ", ".join(f"{name.replace('_', ' ')} {count / 1e6:.2f} M" for name, count in sums.items())
    return (
        f"Peak memory {memory['process_mib']:.0f} MiB{gpu}. First frame: {flops} (a multiply-add is two). "
        f"Parameters: {millions}."
    )


def _hardware(result: Result) -> str:
    hardware = result["hardware"]
    return str(hardware["device_name"] or f"{hardware['cpu']}, {result['threads']} threads")
