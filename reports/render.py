"""Writes tables of published and measured numbers: Markdown, LaTeX (booktabs), CSV and HTML."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from refseg.bench.tables import markdown_table, tex
from refseg.reports.commands import template
from refseg.reports.tables import Block, Column, Row, Table

_DIGITS_OF_COUNTS = 3
_COMMAND = "bench "

METRICS = {"learnable": "#Params (M)", "fps_single": "FPS"}
"""Names of metrics that are not those of papers."""


@dataclass(frozen=True)
class Line:
    """One printed line of a row.

    Attributes:
        stubs: What names the row; empty on its later lines.
        what: ``published``, ``measured``, ``95 %`` (of timings ``spread``) or ``difference``.
        cells: One a column.
        run: Where the numbers come from, or that nothing was run.
        notes: Numbers of the table's notes that belong to it.
    """

    stubs: tuple[str, ...]
    what: str
    cells: tuple[str, ...]
    run: str = ""
    notes: tuple[int, ...] = ()


def lines_of(table: Table) -> tuple[list[Line], list[str]]:
    """Return a table's lines, and the commands that fill it, which the lines name by their number from 1 on."""
    lines: list[Line] = []
    commands: list[str] = []
    for row in table.rows:
        numbers = []
        for command in template(row.fill):
            if command not in commands:
                commands.append(command)
            numbers.append(commands.index(command) + 1)
        lines += _row_lines(table, row, tuple(numbers))
    return lines, commands


def _row_lines(table: Table, row: Row, notes: tuple[int, ...]) -> Iterator[Line]:
    stubs = row.stubs
    if not row.published and not row.blocks:
        yield Line(stubs, "", ("–",) * len(table.columns), "not run", notes)
    if row.published:
        cells = tuple(_published(row, c) for c in table.columns)
        waits = not row.blocks
        yield Line(stubs, "published", cells, "not run" if waits and notes else "", notes if waits else ())
        stubs = ("",) * len(stubs)
    for block in row.blocks:
        cells = tuple(_number(block.values.get(c), c) for c in table.columns)
        rest = "the rest not run" if row.fill else ""
        yield Line(
            stubs, "measured", cells, "; ".join(filter(None, (_runs(block), rest))), notes if rest else ()
        )
        stubs = ("",) * len(stubs)
        if block.bounds:
            spread = "95 %" if block.runs[0].kind == "scores" else "spread"
            yield Line(stubs, spread, tuple(_bounds(block, c) for c in table.columns))
        if row.published:
            yield Line(stubs, "difference", tuple(_difference(row, block, c) for c in table.columns))


def _published(row: Row, column: Column) -> str:
    claim = row.published.get(column)
    if claim is None:
        return "–"
    if claim.unit == "rank":
        return "best" if claim.value == 1 else f"{claim.value}."
    return str(claim.value)


def _digits(column: Column) -> int:
    return _DIGITS_OF_COUNTS if column.unit == "M" else column.digits


def _number(value: float | None, column: Column) -> str:
    if value is None:
        return "–"
    text = f"{value:.{_digits(column)}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _bounds(block: Block, column: Column) -> str:
    bounds = block.bounds.get(column)
    return "–" if bounds is None else f"{_number(bounds[0], column)} to {_number(bounds[1], column)}"


def _difference(row: Row, block: Block, column: Column) -> str:
    """Return measured less published."""
    claim, value = row.published.get(column), block.values.get(column)
    if claim is None or value is None:
        return "–"
    text = _number(value - float(claim.value), column)
    return text if text.startswith("-") or not text.strip("0.") else f"+{text}"


def _runs(block: Block) -> str:
    told = []
    for m in block.runs:
        facts = ", ".join(filter(None, (m.protocol, m.revision, m.hardware if m.kind == "speed" else "")))
        told.append(f"{m.run} ({facts})" if facts else m.run)
    return "; ".join(told)


def _headers(table: Table) -> list[str]:
    """Return the headers of the columns of numbers on one line."""
    several = len({c.group for c in table.columns}) > 1
    names = [METRICS.get(c.metric, c.metric) for c in table.columns]
    return [f"{c.group} {name}" if several else name for c, name in zip(table.columns, names, strict=True)]


def _heading(table: Table) -> str:
    return f"Beside {table.beside}: {table.title}" if table.beside else table.title


def markdown(tables: Sequence[Table]) -> str:
    """Return tables as Markdown."""
    return "\n\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    lines, commands = lines_of(table)
    header = [*table.stubs, "", *_headers(table), "run"]
    rows = [[*li.stubs, li.what, *li.cells, _told(li)] for li in lines]
    left = (*range(len(table.stubs) + 1), len(header) - 1)
    parts = [f"### {_heading(table)}", markdown_table(header, rows, left=left)]
    parts += [*table.notes]
    if commands:
        listed = [f"{i}. {f'`{c}`' if c.startswith(_COMMAND) else c}" for i, c in enumerate(commands, 1)]
        parts.append("\n".join(["Not run:", "", *listed]))
    return "\n\n".join(parts)


def _told(line: Line) -> str:
    return line.run + "".join(f" [{n}]" for n in line.notes)


def latex(tables: Sequence[Table]) -> str:
    """Return tables as LaTeX floats for booktabs, amssymb and graphicx."""
    head = r"% needs \usepackage{booktabs,amssymb,graphicx}"
    return "\n\n".join([head, *(_latex(t, i) for i, t in enumerate(tables, 1))])


def _latex(table: Table, number: int) -> str:
    lines, commands = lines_of(table)
    left = len(table.stubs) + 1
    runs = list(dict.fromkeys(li.run for li in lines if li.run and li.what == "measured"))
    rows = []
    for i, li in enumerate(lines):
        if i and any(li.stubs):
            rows.append(r"\addlinespace")
        told = f"({chr(97 + runs.index(li.run) % 26)})" if li.run in runs else _told(li)
        rows.append(" & ".join(map(_tex_cell, (*li.stubs, li.what, *li.cells, told))) + r" \\")
    names = [METRICS.get(c.metric, c.metric) for c in table.columns]
    header = " & ".join(map(tex, (*table.stubs, "", *names, "run"))) + r" \\"
    body = [
        rf"\begin{{tabular}}{{{'l' * left}{'r' * len(table.columns)}l}}",
        r"\toprule",
        *_latex_groups(table, left),
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [f"({chr(97 + i % 26)}) {tex(run)}." for i, run in enumerate(runs)]
    notes += [f"[{i}] {_tex_command(c)}" for i, c in enumerate(commands, 1)]
    return "\n".join(
        [
            r"\begin{table}[p]",
            rf"\caption{{{tex(_heading(table))}}}",
            rf"\label{{tab:refseg-{table.name}-{number}}}",
            r"\centering\small",
            # Shrinks what is wider than the page, and nothing else.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            *body[:-1],
            f"{body[-1]}}}",
            r"\par\smallskip\raggedright\footnotesize",
            *(f"{note}\\par" for note in (*map(tex, table.notes), *notes)),
            r"\end{table}",
        ]
    )


def _latex_groups(table: Table, left: int) -> list[str]:
    """Return the line of datasets above the metrics; none where nothing is to say."""
    if not any(c.group for c in table.columns):
        return []
    cells, rules, at = [], [], left + 1
    for name, members in groupby(table.columns, key=lambda c: c.group):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{tex(name)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [" & ".join([*[""] * left, *cells, ""]) + r" \\", "".join(rules)]


def _tex_command(text: str) -> str:
    return rf"\texttt{{{tex(text)}}}" if text.startswith(_COMMAND) else f"{tex(text)}."


def _tex_cell(text: str) -> str:
    """Return a cell; a number's sign is a minus and not a hyphen."""
    signed = text[:1] in "+-" and text[1:2].isdigit()
    return f"${text[0]}${tex(text[1:])}" if signed else tex(text)


_CSV = (
    *(
        "table",
        "beside",
        "row",
        "dataset",
        "split",
        "version",
        "protocol",
        "metric",
        "unit",
        "published",
        "source",
    ),
    *("measured", "low", "high", "difference", "run", "revision", "marks", "fill"),
)


def comma_separated(tables: Sequence[Table]) -> str:
    """Return all cells as one tidy table, unrounded: a line for each number that is published or measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                writer.writerows(_csv_lines(table, row, column))
    return text.getvalue().rstrip("\n")


def _csv_lines(table: Table, row: Row, column: Column) -> Iterator[list[object]]:
    claim = row.published.get(column)
    name = " ".join(filter(None, row.stubs)) or (claim.row if claim else "")
    place = [column.dataset, column.split, column.version, column.protocol, column.metric, column.unit]
    told = [str(claim.value), claim.source] if claim else ["", ""]
    head = [table.name, table.beside, name, *place, *told]
    command = row.fill.get((column.dataset, column.split), "")
    measured = [b for b in row.blocks if column in b.values]
    for block in measured:
        value, bounds = block.values[column], block.bounds.get(column, ("", ""))
        difference = value - float(claim.value) if claim else ""
        runs = [m for m in block.runs if not column.dataset or m.dataset == column.dataset]
        facts = ["; ".join(dict.fromkeys(getattr(m, k) for m in runs)) for k in ("run", "revision")]
        marks = "; ".join(dict.fromkeys(mark for m in runs for mark in m.marks))
        yield [*head, value, *bounds, difference, *facts, marks, ""]
    if not measured and claim:
        yield [*head, *[""] * 7, command]


def page(tables: Sequence[Table]) -> str:
    """Return a plain HTML page of tables."""
    style = (
        "body{font:15px/1.45 system-ui,sans-serif;margin:2em;color:#202124}table{border-collapse:collapse;"
        "margin:.5em 0}th,td{padding:.25em .7em;text-align:right;white-space:nowrap}th{border-bottom:1px solid #202124}"
        "td.l,th.l{text-align:left}tr.row td{border-top:1px solid #ccc}"
        "td.run{font-size:85%;color:#444;white-space:normal}"
        "tr.measured td:not(.run){font-weight:600}code{font-size:90%}section{overflow-x:auto}"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Published and measured</title>\n'
        f"<style>{style}</style>\n" + "\n".join(map(_html, tables)) + "\n</html>"
    )


def _html(table: Table) -> str:
    lines, commands = lines_of(table)
    names = [METRICS.get(c.metric, c.metric) for c in table.columns]
    head = "".join(f'<th class="l" scope="col">{html.escape(s)}</th>' for s in (*table.stubs, ""))
    head += "".join(f'<th scope="col">{html.escape(n)}</th>' for n in names)
    head += '<th class="l" scope="col">run</th>'
    body = "\n".join(_html_line(li) for li in lines)
    notes = "".join(f"<p>{html.escape(n)}</p>\n" for n in table.notes)
    if commands:
        items = (
            f"<code>{html.escape(c)}</code>" if c.startswith(_COMMAND) else html.escape(c) for c in commands
        )
        listed = "\n".join(f"<li>{item}</li>" for item in items)
        notes += f"<details><summary>Not run: {len(commands)} commands</summary>\n<ol>\n{listed}\n</ol></details>\n"
    return (
        f"<section>\n<h2>{html.escape(_heading(table))}</h2>\n<table>\n<thead>{_html_groups(table)}<tr>{head}</tr>"
        f"</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n{notes}</section>"
    )


def _html_groups(table: Table) -> str:
    if not any(c.group for c in table.columns):
        return ""
    cells = "".join(
        f'<th colspan="{len(list(members))}" scope="colgroup" style="text-align:center">{html.escape(name)}</th>'
        for name, members in groupby(table.columns, key=lambda c: c.group)
    )
    return f'<tr><td colspan="{len(table.stubs) + 1}"></td>{cells}<td></td></tr>'


def _html_line(line: Line) -> str:
    kind = "measured" if line.what == "measured" else "other"
    new = " row" if any(line.stubs) or line.what == "published" else ""
    cells = "".join(f'<td class="l">{html.escape(c)}</td>' for c in (*line.stubs, line.what))
    cells += "".join(f"<td>{html.escape(c)}</td>" for c in line.cells)
    return f'<tr class="{kind}{new}">{cells}<td class="l run">{html.escape(_told(line))}</td></tr>'
