"""Small readers that datasets of plain files share: CSV rows, sizes of files, hashes of values."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

from refseg.bench.errors import DataError, Fault


def read_rows(root: Path, name: str) -> list[list[str]]:
    """Return the rows of a CSV file, without empty lines.

    Args:
        root: The dataset's folder.
        name: The file's path relative to it.

    Raises:
        DataError: The file is missing, not UTF-8 or no CSV.
    """
    try:
        with open(root / name, encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise DataError(Fault("missing", name, f"{name} is missing in {root}.")) from None
    except UnicodeDecodeError as error:
        text = f"{name} in {root} is not UTF-8 (byte {error.start}); save it as UTF-8."
        raise DataError(Fault("encoding", name, text)) from None
    except (OSError, csv.Error) as error:
        text = f"{name} in {root} cannot be read ({error}); copy it again from the dataset's source."
        raise DataError(Fault("damaged", name, text)) from None


def file_bytes(path: Path | str) -> int | None:
    """Return a file's size in bytes, or None where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def digest_of(value: object) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode("ascii")).hexdigest()
