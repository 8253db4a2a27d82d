"""Looks at other programs' predictions before they are scored, and says at once all that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.layouts.files import Files
from refseg.bench.layouts.read import FolderPredictions, Part
from refseg.bench.types import Dataset, OnMissing, Predictions, Video

Severity = Literal["error", "missing", "note"]

_EXAMPLES = 3
_MANY_EMPTY = 0.5


@dataclass(frozen=True)
class Finding:
    """One kind of fault, with how often it was found.

    Attributes:
        kind: ``missing_video``, ``missing_expression``, ``missing_frame``, ``bad_file``, ``empty`` or
            ``extra``.
        severity: ``error``: cannot be scored; ``missing``: ``--on-missing`` decides; ``note``: good to know.
        count: How many there are.
        examples: The first few, or for a bad file the whole sentence about it.
        text: One sentence.
    """

    kind: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    text: str


@dataclass
class _Tally:
    """What was met while the files were looked through."""

    missing_video: list[str] = field(default_factory=list)
    missing_expression: list[str] = field(default_factory=list)
    missing_frame: list[str] = field(default_factory=list)
    bad_file: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    parts: int = 0


def lint(predictions: Predictions, dataset: Dataset, *, decode: bool = True) -> list[Finding]:
    """Return what is wrong with predictions; an empty list where nothing is.

    Args:
        predictions: What :func:`refseg.bench.layouts.open_predictions` returned.
        dataset: What was to be predicted.
        decode: Read every file and check sizes and values; else only look at what is there.
    """
    tally, wanted = _Tally(), set[str]()
    for video in dataset.videos():
        if isinstance(predictions, FolderPredictions):
            parts = predictions.parts(video)
            wanted.update(name for part in parts for name in part.files)
            _look_at(predictions, video, parts, tally, decode)
        else:
            _ask_for(predictions, video, tally)
    findings = _findings(tally)
    if isinstance(predictions, FolderPredictions):
        findings += _extra(predictions.files, wanted)
    return findings


def refuse(findings: Sequence[Finding], *, where: str, on_missing: OnMissing) -> None:
    """Raise where the findings forbid scoring.

    Raises:
        InputError: There are errors, or something is missing and that is an error.
    """
    fatal = [f for f in findings if f.severity == "error" or (f.severity, on_missing) == ("missing", "error")]
    if not fatal:
        return
    told = " ".join(f.text for f in fatal)
    only_missing = all(f.severity == "missing" for f in fatal)
    mend = "; --on-missing empty scores what is missing as empty" if only_missing else ""
    raise InputError(f"{where} cannot be scored as it is: {told} Mend it{mend}.")


def _look_at(
    predictions: FolderPredictions, video: Video, parts: Sequence[Part], tally: _Tally, decode: bool
) -> None:
    names = predictions.files.names
    if parts and not any(name in names for part in parts for name in part.files):
        tally.missing_video.append(video.id)
        return
    for part in parts:
        there = [name for name in part.files if name in names]
        if not there:
            tally.missing_expression.append(f"{video.id}/{part.name}")
            continue
        tally.parts += 1
        tally.missing_frame += [name for name in part.files if name not in names]
        if decode and _decode_all(predictions, video, there, tally):
            tally.empty.append(f"{video.id}/{part.name}")


def _decode_all(predictions: FolderPredictions, video: Video, names: Sequence[str], tally: _Tally) -> bool:
    """Decode files; return True where all of them can be read and hold no pixel."""
    empty = True
    for name in names:
        try:
            empty &= not np.any(predictions.decode(name, video.size))
        except InputError as error:
            tally.bad_file.append(str(error))
            empty = False
    return empty


def _ask_for(predictions: Predictions, video: Video, tally: _Tally) -> None:
    missing = []
    for expression in video.expressions:
        masks = predictions.masks(video, expression)
        if masks is None:
            missing.append(f"{video.id}/{expression.id}")
            continue
        tally.parts += 1
        if not masks.any():
            tally.empty.append(f"{video.id}/{expression.id}")
    if missing and len(missing) == len(video.expressions):
        tally.missing_video.append(video.id)
    else:
        tally.missing_expression += missing


def _findings(tally: _Tally) -> list[Finding]:
    found = [
        _finding("missing_video", "missing", tally.missing_video, "videos are missing"),
        _finding("missing_expression", "missing", tally.missing_expression, "expressions are missing"),
        _finding("missing_frame", "missing", tally.missing_frame, "frames are missing"),
    ]
    bad = tally.bad_file
    if bad:
        text = bad[0] if len(bad) == 1 else f"{len(bad)} files cannot be used; the first: {bad[0]}"
        found.append(Finding("bad_file", "error", len(bad), tuple(bad[:_EXAMPLES]), text))
    if tally.empty:
        share = len(tally.empty) / tally.parts
        warn = "; were they saved rightly?" if share >= _MANY_EMPTY else "."
        what = f"of {tally.parts} predictions have no pixel in any frame ({share:.0%}){warn}"
        text = f"{len(tally.empty)} {what}"
        found.append(Finding("empty", "note", len(tally.empty), tuple(tally.empty[:_EXAMPLES]), text))
    return [f for f in found if f.count]


def _extra(files: Files, wanted: set[str]) -> list[Finding]:
    extra = sorted(files.names - wanted)
    finding = _finding("extra", "note", extra, "files are not asked for")
    return [finding] if extra else []


def _finding(kind: str, severity: Severity, names: Sequence[str], what: str) -> Finding:
    shown = ", ".join(names[:_EXAMPLES]) + (", …" if len(names) > _EXAMPLES else "")
    return Finding(kind, severity, len(names), tuple(names[:_EXAMPLES]), f"{len(names)} {what} ({shown}).")
