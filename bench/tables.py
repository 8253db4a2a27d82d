"""Small tables of scores and counts in words, for the terminal, Markdown and pages."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns: the first to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [_aligned(row, widths) for row in table]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)
) -> str:
    """Return a Markdown table, the first column (or those that ``left`` numbers) to the left, others to the right."""
    rule = ["---" if i in left else "---:" for i in range(len(header))]
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


_TEX: Mapping[str, str] = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "✓": r"$\checkmark$",
    "“": "``",
    "”": "''",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # At the start of a row they would be an option of the line break before it.
    "[": "{[}",
    "*": "{*}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def tex(text: str) -> str:
    """Return a text for LaTeX: what means something there is escaped, and letters that its fonts lack become ?."""
    return "".join(_TEX.get(c) or (c if c.isascii() and c.isprintable() else _plain_letters(c)) for c in text)


def _plain_letters(letter: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", letter) if c.isascii() and c.isprintable())
    return "".join(_TEX.get(c, c) for c in plain) or "?"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()
