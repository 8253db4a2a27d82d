"""The runs below a folder, as rows of tables."""

from __future__ import annotations

import contextlib
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refseg.bench.cli.run_index import RunIndex, run_folders, state_of
from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.bench.tables import coverage_text, interval, markdown_table, percent, tex

FORMATS = ("md", "csv", "html", "latex")
SUFFIXES = {"md": "md", "csv": "csv", "html": "html", "latex": "tex"}


@dataclass(frozen=True)
class Row:
    """One run under one protocol.

    Attributes:
        run: Its folder, relative to the one that was looked through.
        method: Name of the method.
        dataset: Name and split.
        version: Version of the dataset.
        protocol: Name of the protocol.
        metrics: Name -> percent; empty where nothing is scored.
        intervals: Name -> bounds of the 95 % interval, of metrics that have one.
        marks: What a reader must know: partial, failed videos, not finished.
    """

    run: str
    method: str
    dataset: str
    version: str
    protocol: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    marks: tuple[str, ...]


def collect(runs: Path) -> tuple[list[Row], list[str]]:
    """Return the rows of all runs below a folder, by folder name, and a sentence on each that cannot be read.

    Raises:
        InputError: There is no such folder, or no run in it.
    """
    if not runs.is_dir():
        raise InputError(f"The folder {runs} does not exist; give --runs DIR, where `bench run` wrote.")
    rows: list[Row] = []
    notes: list[str] = []
    folders = run_folders(runs)
    with RunIndex(runs) as index:
        for folder in folders:
            try:
                rows += _indexed_rows(index, folder, folder.relative_to(runs).as_posix())
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                notes.append(f"{folder} is left out: its run.json or result.json is damaged ({error!r})")
        index.keep_only([folder.relative_to(runs).as_posix() for folder in folders])
    if not folders:
        raise InputError(f"{runs} holds no run; `bench run` writes one, or give another --runs DIR.")
    return rows, notes


def render(rows: Sequence[Row], form: str) -> str:
    """Return all rows in one of ``FORMATS``; each dataset, version and protocol has a table of its own."""
    if form == "csv":
        return _csv(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.dataset} (version {row.version}), {row.protocol}", []).append(row)
    make = {"md": _markdown, "html": _html, "latex": _latex}[form]
    return make({title: _cells(group) for title, group in groups.items()})


def _indexed_rows(index: RunIndex, folder: Path, name: str) -> list[Row]:
    """Return a run's rows as the index has them, or read, and kept there."""
    state = state_of(folder)
    kept = index.get(name, state)
    if kept is not None:
        with contextlib.suppress(TypeError, KeyError):
            return [Row(**{**one, "marks": tuple(one["marks"])}) for one in kept]
    rows = _rows(folder, name)
    index.put(name, state, [asdict(row) for row in rows])
    return rows


def _rows(folder: Path, name: str) -> list[Row]:
    record = parse_json((folder / "run.json").read_bytes())
    method = str(record["method"]["name"])
    dataset, version = record["dataset"], str(record["dataset"]["version"])
    title = f"{dataset['name']} {dataset['split']}"
    name = folder.name if name == "." else name
    if record.get("status") != "done":
        return [Row(name, method, title, version, record["protocols"][0], {}, {}, ("not finished",))]
    result = parse_json((folder / "result.json").read_bytes())
    marks = _marks(result)
    return [
        Row(
            name,
            method,
            title,
            version,
            str(one["protocol"]),
            dict(one["metrics"]),
            dict(one.get("intervals", {})),
            marks,
        )
        for one in (result, *result.get("also", ()))
    ]


def _marks(result: Mapping[str, Any]) -> tuple[str, ...]:
    scored, marks = result["scored"], []
    if result.get("partial"):
        marks.append(f"partial: {coverage_text(result['coverage'])}")
    if result["failures"]:
        marks.append(f"failed: {len(result['failures'])} of {scored['of']} videos")
    if result.get("note"):
        marks.append("not scored")
    return tuple(marks)


Table = tuple[list[str], list[list[str]]]


def _cells(rows: Sequence[Row]) -> Table:
    metrics = list(dict.fromkeys(m for row in rows for m in row.metrics))
    headline = metrics[:1]
    header = ["method", *metrics, *(f"95 % of {m}" for m in headline), "notes", "run"]
    cells = [
        [
            r.method,
            *(percent(r.metrics.get(m)) for m in metrics),
            *(interval(r.intervals.get(m)) for m in headline),
            "; ".join(r.marks),
            r.run,
        ]
        for r in rows
    ]
    return header, cells


def _markdown(tables: Mapping[str, Table]) -> str:
    return "\n\n".join(f"### {title}\n\n{markdown_table(*table)}" for title, table in tables.items())


def _csv(rows: Sequence[Row]) -> str:
    import csv

    metrics = list(dict.fromkeys(m for row in rows for m in row.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    bounds = [f"{m} {end}" for m in metrics for end in ("low", "high")]
    writer.writerow(["method", "dataset", "version", "protocol", *metrics, *bounds, "notes", "run"])
    for r in rows:
        # Unrounded: a table to compute with.
        values = [r.metrics.get(m, "") for m in metrics]
        ends = [end for m in metrics for end in r.intervals.get(m, ("", ""))]
        writer.writerow(
            [r.method, r.dataset, r.version, r.protocol, *values, *ends, "; ".join(r.marks), r.run]
        )
    return text.getvalue().rstrip("\n")


def _html(tables: Mapping[str, Table]) -> str:
    parts = []
    for title, (header, cells) in tables.items():
        head = "".join(f"<th>{html.escape(c)}</th>" for c in header)
        body = "\n".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>" for row in cells)
        parts.append(
            f"<h2>{html.escape(title)}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table>"
        )
    style = (
        "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}"
        "th,td{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:left}"
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Runs</title>\n'
        f"<style>{style}</style>\n" + "\n".join(parts) + "\n</html>"
    )


def _latex(tables: Mapping[str, Table]) -> str:
    parts = []
    for title, (header, cells) in tables.items():
        lines = [" & ".join(map(tex, row)) + r" \\" for row in (header, *cells)]
        columns = "l" + "r" * (len(header) - 3) + "ll"
        parts.append(
            "\n".join(
                [
                    f"% {title}",
                    rf"\begin{{tabular}}{{{columns}}}",
                    r"\toprule",
                    lines[0],
                    r"\midrule",
                    *lines[1:],
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(parts)
