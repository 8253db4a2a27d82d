"""A grid's table as people read it: measured beside published, differences beside their noise, and curves."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_bytes
from refseg.bench.tables import interval, markdown_table, percent, signed

Published = Mapping[tuple[str, str], float]
"""(setting, dataset) -> headline metric in percent."""

_QUICK = "QUICK: a few steps and videos, to prove that the grid runs. The numbers say nothing."
_AGREES = "as published"
_AGAINST = "against"
_NOISE = "within noise"


def published_values(table: str, metric: str) -> dict[tuple[str, str], float]:
    """Return what the paper's table has of a metric, from the claims; empty where they are not installed."""
    try:
        claims: Any = importlib.import_module("refseg.reports.claims")
    except ModuleNotFoundError:
        return {}
    return {
        (c.setting, c.dataset): float(c.value)
        for c in claims.of_table(claims.load_claims(), table)
        if c.metric == metric and c.unit == "%"
    }


def write_report(table: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write ``report.md``, ``report.csv`` and, where the grid has curves, ``curve.png``; returns their paths."""
    metric = _headline(table)
    published = published_values(table["table"], metric) if table["table"] else {}
    written = [folder / "report.md", folder / "report.csv"]
    drawn = draw_curves(table, folder / "curve.png") if table["curve"] else False
    text = describe(table, published)
    if drawn:
        text += f"\n![{table['curve']} over the steps of training](curve.png)\n"
        written.append(folder / "curve.png")
    write_bytes(written[0], text.encode())
    write_bytes(written[1], as_csv(table, published).encode())
    return written


def describe(table: Mapping[str, Any], published: Published) -> str:
    """Return the table as Markdown, with what one must know to read it."""
    header, rows = _cells(table, published)
    lines = [f"{table['title']} ({table['dataset']} {table['split']}, {table['protocol']})", ""]
    if table["quick"]:
        lines += [f"**{_QUICK}**", ""]
    lines += [markdown_table(header, rows), ""]
    lines += _remarks(table, published)
    return "\n".join(lines) + "\n"


def as_csv(table: Mapping[str, Any], published: Published) -> str:
    """Return one line a setting, numbers unrounded."""
    metric, datasets = _headline(table), _datasets(published)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    base = ["difference_to_base", "low", "high", "verdict", "noise"]
    measured = [*table["columns"], f"{metric}_deviation", "seeds"]
    writer.writerow(["setting", *measured, *(f"published_{d}" for d in datasets), *base, "quick", "error"])
    for row in table["rows"]:
        against = row["against_base"] or {}
        low, high = against.get("interval") or (None, None)
        writer.writerow(
            [
                row["label"],
                *(row["metrics"].get(c) for c in table["columns"]),
                row["deviations"].get(metric),
                len(row["runs"]),
                *(published.get((row["published"], d)) for d in datasets),
                against.get("difference"),
                low,
                high,
                against.get("verdict"),
                against.get("noise"),
                table["quick"],
                row["error"],
            ]
        )
    return out.getvalue()


def ordering(row: Mapping[str, Any], table: Mapping[str, Any], published: Published, dataset: str) -> str:
    """Return whether a setting stands to the base as it does in the paper, or empty where nothing says so."""
    against, base = row["against_base"], _published_base(table)
    ours, theirs = published.get((row["published"], dataset)), published.get((base, dataset))
    if against is None or ours is None or theirs is None:
        return ""
    if against["verdict"] in ("within noise", "equal", "no interval"):
        return _NOISE
    return _AGREES if (against["difference"] > 0) == (ours > theirs) else _AGAINST


def draw_curves(table: Mapping[str, Any], picture: Path) -> bool:
    """Draw a figure of the trainings' logs over their steps, a line a setting, a band over seeds; False without any."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    drawn = False
    for row in table["rows"]:
        curves = [c for c in (_curve(seed, table["curve"]) for seed in row["trainings"]) if c]
        if not curves:
            continue
        drawn = True
        steps = sorted(set.intersection(*(set(c) for c in curves)))
        values = [[c[s] for c in curves] for s in steps]
        (line,) = axes.plot(steps, [sum(v) / len(v) for v in values], marker="o", label=row["label"])
        if len(curves) > 1:
            axes.fill_between(
                steps, list(map(min, values)), list(map(max, values)), color=line.get_color(), alpha=0.15
            )
    if not drawn:
        return False
    axes.set_xlabel("step")
    axes.set_ylabel(f"{table['curve'].removeprefix('val_')} on videos of val, percent")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    if table["quick"]:
        axes.set_title(_QUICK, fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(picture, content.getvalue())
    return True


def _curve(trainings: Sequence[Mapping[str, Any]], name: str) -> dict[int, float]:
    """Return step -> value over a setting's trainings, one after the other."""
    out: dict[int, float] = {}
    before = 0
    for training in trainings:
        last = before
        with (Path(training["out"]) / "log.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                last = before + int(row["step"])
                if row["figure"] == name:
                    out[last] = float(row["value"])
        before = last
    return out


def _cells(table: Mapping[str, Any], published: Published) -> tuple[list[str], list[list[str]]]:
    metric, datasets = _headline(table), _datasets(published)
    others = [c for c in table["columns"] if c != metric]
    header = ["setting", metric, *others, *(f"published {d}" for d in datasets)]
    same = table["dataset"] in datasets
    header += [f"{metric} less published"] if same else []
    compared = bool(table["base"])
    header += ["to the base", "95 % of it", ""] if compared else []
    header += [f"published {d}: to the base" for d in datasets] if compared else []
    header += ["order"] if compared and datasets else []
    rows = []
    for row in table["rows"]:
        cells = [row["label"], _measured(row, metric), *(_measured(row, c) for c in others)]
        values = [published.get((row["published"], d)) for d in datasets]
        cells += [percent(v) for v in values]
        if same:
            cells.append(_difference(row["metrics"].get(metric), values[datasets.index(table["dataset"])]))
        if compared:
            against = row["against_base"]
            cells += _against(row, table, against)
            cells += [
                _difference(v, published.get((_published_base(table), d)))
                for v, d in zip(values, datasets, strict=True)
            ]
            if datasets:
                cells.append(ordering(row, table, published, datasets[0]))
        rows.append(cells)
    return header, rows


def _against(
    row: Mapping[str, Any], table: Mapping[str, Any], against: Mapping[str, Any] | None
) -> list[str]:
    if row["label"] == table["base"]:
        return ["base", "", ""]
    if against is None:
        return ["–", "–", ""]
    return [signed(against["difference"]), interval(against["interval"]), against["verdict"]]


def _measured(row: Mapping[str, Any], column: str) -> str:
    if row["error"] and not row["metrics"]:
        return "failed"
    mean, deviation = row["metrics"].get(column), row["deviations"].get(column)
    return percent(mean) if deviation is None else f"{percent(mean)} ± {percent(deviation)}"


def _difference(value: float | None, other: float | None) -> str:
    return "–" if value is None or other is None else signed(value - other)


def _remarks(table: Mapping[str, Any], published: Published) -> list[str]:
    told = []
    if table["note"]:
        told.append(table["note"])
    if table["partial"]:
        told.append("Only a part of the split was run, so the scores are partial.")
    datasets = _datasets(published)
    if datasets and table["dataset"] not in datasets:
        told.append(
            f"Published values are the paper's on {' and '.join(datasets)} with its full-size model; on "
            f"{table['dataset']} only differences between settings can be set beside theirs."
        )
    noises = sorted({r["against_base"]["noise"] for r in table["rows"] if r["against_base"]})
    if noises:
        told.append(f"Noise is that over {' and '.join(noises)}.")
        if noises != ["seeds"]:
            told.append("What another seed would change is not in it; --seeds 3 measures that.")
    if datasets:
        found = [ordering(r, table, published, datasets[0]) for r in table["rows"]]
        counts = [f"{found.count(word)} {word}" for word in (_AGREES, _AGAINST, _NOISE) if word in found]
        if counts:
            told.append(f"Order of settings against the base, beside {datasets[0]}: {', '.join(counts)}.")
    told += [f"{r['label']} failed: {r['error']}" for r in table["rows"] if r["error"]]
    return [f"{line}\n" for line in told]


def _headline(table: Mapping[str, Any]) -> str:
    return str(table["columns"][0])


def _datasets(published: Published) -> list[str]:
    """Return the datasets of published values, Ref-DAVIS17 first, which all of the paper's ablations are on."""
    return sorted({d for _, d in published}, key=lambda d: (d != "refdavis17", d))


def _published_base(table: Mapping[str, Any]) -> str:
    return next((str(r["published"]) for r in table["rows"] if r["label"] == table["base"]), "")
