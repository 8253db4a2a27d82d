"""What a training tells of itself: ``log.csv``, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_bytes, write_error

_HEAD = ("step", "figure", "value")


class TrainingLog:
    """The log of one training from a step on.

    Args:
        out: The training's folder; ``log.csv`` and ``tensorboard`` lie in it.
        start: Steps that an earlier start has done.
    """

    def __init__(self, out: Path, start: int) -> None:
        self._out, self._start = out, start
        self._path = out / "log.csv"
        self._board: Any = None
        self._tried = False

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Add figures of a step.

        Raises:
            InputError: The folder cannot be written, or its disk is full.
        """
        rows = [(step, name, value) for name, value in figures.items()]
        try:
            with self._path.open("a", newline="") as file:
                csv.writer(file).writerows([_HEAD, *rows] if not file.tell() else rows)
        except OSError as error:
            raise write_error(self._path, error) from error
        board = self._tensorboard()
        if board is not None:
            for name, value in figures.items():
                board.add_scalar(name, value, step)

    def cut(self) -> None:
        """Drop what was logged after ``start``, which the resumed training writes again."""
        if self._path.exists():
            with self._path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            # A killed process may have left a part of a row, but after the checkpoint's.
            kept = [r for r in rows if len(r) == 3 and int(r[0]) <= self._start]
            text = io.StringIO(newline="")
            csv.writer(text).writerows([_HEAD, *kept])
            write_bytes(self._path, text.getvalue().encode())

    def close(self) -> None:
        """Write what is buffered."""
        if self._board is not None:
            self._board.close()

    def _tensorboard(self) -> Any:
        if not self._tried:
            self._tried = True
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            purge = self._start + 1 if self._start else None
            self._board = SummaryWriter(str(self._out / "tensorboard"), purge_step=purge)
        return self._board


def read_log(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of every figure of a ``log.csv``."""
    out: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            out.setdefault(row["figure"], []).append((int(row["step"]), float(row["value"])))
    return out
