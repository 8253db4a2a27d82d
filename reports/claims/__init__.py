"""What papers and READMEs publish, as data: one row a number, with its source; never mixed with measurements.

``claims.csv`` holds the numbers, ``sources.csv`` where they were read, ``references.csv`` a paper's own list of
references as far as its tables cite it, ``statements.csv`` the comparisons that its text makes. Datasets, splits,
protocols and metrics bear the harness's names, so that a run and a claim can be joined.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from refseg.bench.errors import InputError

Unit = Literal["%", "M", "FPS", "rank"]
"""Percent, millions of parameters, frames a second, place among the settings shown (1 is the best)."""

Relation = Literal[">", "<", "=", "slightly <"]
"""How a text compares two numbers; ``slightly <``: less, by at most a tenth."""

FOLDER = Path(__file__).parent
PAPER = "refsam"
"""The source whose tables are regenerated."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class Claim:
    """One published number.

    Attributes:
        source: Where it was read, an id of ``sources.csv``.
        table: Table (``"I"``) or figure (``"fig4"``) there; ``"text"`` for a number in the text.
        method: Its name as printed.
        id: The registered name where the harness has the method, else a short name of our own.
        cites: Number of the reference that the source gives for it, as printed, or empty.
        setting: What was varied (ablations), parts separated by ``"; "``.
        dataset: Registered name, or empty.
        version: The dataset's version as the harness names it.
        split: The harness's name.
        protocol: The protocol that measures the same.
        metric: The harness's name of the metric.
        value: As printed, so that its digits are known.
        unit: Its unit.
        backbone: Visual encoder, or empty where none is printed.
        text_encoder: Likewise.
        hardware: What it ran on, for speed.
        note: What else one must know.
        where: File and line, for messages.
    """

    source: str
    table: str
    method: str
    id: str
    cites: str
    setting: str
    dataset: str
    version: str
    split: str
    protocol: str
    metric: str
    value: Decimal
    unit: Unit
    backbone: str
    text_encoder: str
    hardware: str
    note: str
    where: str = ""

    @property
    def half(self) -> Decimal:
        """Half a unit of the last printed digit: how far rounding may have moved the number."""
        exponent = self.value.as_tuple().exponent
        assert isinstance(exponent, int)
        return Decimal(5).scaleb(exponent - 1)

    @property
    def digits(self) -> int:
        """How many decimals are printed."""
        return max(0, -int(self.value.as_tuple().exponent))

    @property
    def row(self) -> str:
        """Name of its row: the setting where one is varied, else the method."""
        return self.setting or self.method

    @property
    def split_key(self) -> tuple[str, str]:
        """Dataset and split."""
        return self.dataset, self.split


@dataclass(frozen=True)
class Source:
    """A publication that numbers were read from.

    Attributes:
        id: Short name.
        title: Authors and title, or what it is.
        year: Of publication.
        address: Where it is.
        revision: Version or commit that was read.
        note: What one must know of its numbers.
        where: File and line.
    """

    id: str
    title: str
    year: str
    address: str
    revision: str
    note: str
    where: str = ""


@dataclass(frozen=True)
class Reference:
    """An entry of a source's list of references.

    Attributes:
        source: Whose list.
        number: As printed.
        introduces: Ids of the methods that it introduces, separated by spaces.
        title: Its title.
        year: Of publication.
        where: File and line.
    """

    source: str
    number: str
    introduces: str
    title: str
    year: str
    where: str = ""


@dataclass(frozen=True)
class Statement:
    """A comparison that a source's text makes between two of its numbers.

    Attributes:
        source: Whose text.
        section: Where in it.
        text: What is said; in quotation marks where it is quoted.
        relation: How ``left`` stands to ``right``.
        left: ``TABLE/ROW/DATASET/METRIC`` of a claim; ROW is the setting or the method, with its backbone in
            brackets where the table has several.
        right: The other.
        difference: The difference that is stated, or None.
        where: File and line.
    """

    source: str
    section: str
    text: str
    relation: Relation
    left: str
    right: str
    difference: Decimal | None
    where: str = ""


def load_claims(path: Path | None = None) -> list[Claim]:
    """Return the published numbers in the file's order.

    Args:
        path: A table of the same columns; None: the one that is shipped.

    Raises:
        InputError: The file cannot be read, or a cell is not what its column holds; the line is named.
    """
    path = path or FOLDER / "claims.csv"
    out = []
    for where, row in _rows(path, Claim):
        unit = _one_of(row["unit"], Unit, "unit", where)
        value = _number(row["value"], where)
        texts = {k: v for k, v in row.items() if k not in ("unit", "value")}
        out.append(Claim(**texts, unit=unit, value=value, where=where))
    return out


def load_sources(path: Path | None = None) -> dict[str, Source]:
    """Return the sources by id."""
    found = [Source(**row, where=where) for where, row in _rows(path or FOLDER / "sources.csv", Source)]
    return {s.id: s for s in found}


def load_references(path: Path | None = None) -> list[Reference]:
    """Return the references."""
    return [
        Reference(**row, where=where) for where, row in _rows(path or FOLDER / "references.csv", Reference)
    ]


def load_statements(path: Path | None = None) -> list[Statement]:
    """Return the comparisons that texts make."""
    out = []
    for where, row in _rows(path or FOLDER / "statements.csv", Statement):
        relation = _one_of(row["relation"], Relation, "relation", where)
        difference = _number(row["difference"], where) if row["difference"] else None
        texts = {k: v for k, v in row.items() if k not in ("relation", "difference")}
        out.append(Statement(**texts, relation=relation, difference=difference, where=where))
    return out


def of_table(claims: Sequence[Claim], table: str, source: str = PAPER) -> list[Claim]:
    """Return the claims of one table."""
    return [c for c in claims if c.source == source and c.table == table]


def _rows(path: Path, kind: type[Record]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield file and line, and the cells by column.

    Raises:
        InputError: It cannot be read, or its columns or a row's cells are others.
    """
    expected = [f.name for f in fields(kind) if f.name != "where"]  # type: ignore[arg-type]
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The claims in {path} cannot be read ({error}).") from None
    reader = csv.reader(text.splitlines())
    header = next(reader, [])
    if header != expected:
        raise InputError(
            f"{path} has the columns {', '.join(header) or 'of an empty file'}; expected {', '.join(expected)}."
        )
    for row in reader:
        where = f"{path.name}:{reader.line_num}"
        if len(row) != len(expected):
            raise InputError(f"{where} has {len(row)} cells; expected {len(expected)}, as in the first line.")
        yield where, dict(zip(expected, row, strict=True))


def _number(text: str, where: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise InputError(f"{where}: {text!r} is not a number; write it as printed, for instance 71.9.")
    return value


def _one_of(text: str, kind: Any, column: str, where: str) -> Any:
    known = get_args(kind)
    if text not in known:
        raise InputError(f"{where}: the {column} {text!r} is unknown; expected one of {', '.join(known)}.")
    return text
