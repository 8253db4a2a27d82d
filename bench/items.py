"""The items of results as CSV: a row for every sentence that a protocol scored, unrounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_bytes
from refseg.bench.results import each_protocol

WHOSE = ("method", "dataset", "version", "split", "protocol")
"""The first columns: what the item is of. ``method`` is empty where another program's masks were scored."""


def write_items(results: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write the items of results, with a column for each score that any of them has.

    Raises:
        InputError: The file cannot be written.
    """
    rows = [
        {name: result.get(name, "") for name in WHOSE} | {"protocol": one["protocol"]} | dict(item)
        for result in results
        for one in each_protocol(result)
        for item in one["items"]
    ]
    columns = dict.fromkeys([*WHOSE, "video", "expression", *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode("utf-8"))
