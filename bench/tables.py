"""Small tables of scores and counts in words, for the terminal, Markdown and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [_aligned(row, widths) for row in table]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def percent(value: object) -> str:
    """Return a score with one decimal, as papers print it; a dash where there is none."""
    if not isinstance(value, int | float):
        return "–"
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text


def coverage_text(short: Mapping[str, Sequence[int]]) -> str:
    """Return a coverage in words, e.g. ``"2 of 30 videos, 5 of 1999 frames"``."""
    return ", ".join(f"{found} of {whole} {name}" for name, (found, whole) in short.items())


def signed(value: float) -> str:
    """Return a difference of scores with its sign and one decimal."""
    text = percent(value)
    return text if text == "0.0" or value < 0 else f"+{text}"


def interval(bounds: Sequence[float] | None) -> str:
    """Return an interval with one decimal; a dash where there is none."""
    return "–" if bounds is None else f"{percent(bounds[0])} to {percent(bounds[1])}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()
