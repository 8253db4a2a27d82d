"""Looks at predictions before they are scored, and finds at once all that is wrong with them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from refseg.bench.errors import InputError
from refseg.bench.layouts.findings import Finding, faults, missing, note, shown
from refseg.bench.layouts.png import FaultKind
from refseg.bench.layouts.read import FolderPredictions, Part, YtvosPredictions
from refseg.bench.progress import Progress, Silent
from refseg.bench.types import Dataset, Predictions, Video

Depth = Literal["names", "sample", "all"]
"""How closely predictions are looked at; see :func:`lint`."""

_THREADS = min(8, os.cpu_count() or 1)
_MANY_EMPTY = 0.5


@dataclass
class _Seen:
    """What was met in files: sentences by kind of fault, names by a mask's highest value."""

    faults: dict[FaultKind, list[str]] = field(default_factory=dict)
    highest: dict[int, list[str]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.faults and not self.highest

    def add(self, other: _Seen) -> None:
        for kind, told in other.faults.items():
            self.faults.setdefault(kind, []).extend(told)
        for value, names in other.highest.items():
            self.highest.setdefault(value, []).extend(names)


@dataclass
class _Tally:
    """What was met while all was looked through."""

    videos: int = 0
    parts: int = 0
    frames: int = 0
    looked_at: int = 0
    missing_video: list[str] = field(default_factory=list)
    missing_expression: list[str] = field(default_factory=list)
    missing_frame: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    seen: _Seen = field(default_factory=_Seen)


def lint(
    predictions: Predictions, dataset: Dataset, *, depth: Depth = "all", progress: Progress | None = None
) -> list[Finding]:
    """Return what is wrong with predictions; an empty list where nothing is.

    Args:
        predictions: What :func:`refseg.bench.layouts.open_predictions` returned.
        dataset: What was to be predicted.
        depth: ``"names"``: what is there; no file is opened. ``"sample"``: also size and kind of every file by
            its header, and the values of the first, middle and last frame of each expression; where these are
            empty, of more frames until one is not. ``"all"``: every file is decoded. A run is always
            decoded.
        progress: Where it is shown, by files.
    """
    tally = _Tally()
    if not isinstance(predictions, FolderPredictions):
        _ask_for(predictions, dataset, tally)
        return _findings(tally, "expressions")
    wanted, present = _list(predictions, dataset, tally)
    if depth != "names":
        _look(predictions, present, tally, depth == "all", progress or Silent())
    unit = "expressions" if isinstance(predictions, YtvosPredictions) else "videos by an annotator"
    return _findings(tally, unit) + _unasked(predictions.files.names, wanted)


def _list(
    predictions: FolderPredictions, dataset: Dataset, tally: _Tally
) -> tuple[set[str], list[tuple[Video, Part]]]:
    """Return the names that are looked for, and the parts with those of their files that are there."""
    names = predictions.files.names
    wanted, present = set[str](), list[tuple[Video, Part]]()
    for video in dataset.videos():
        parts = predictions.parts(video)
        there = [Part(p.name, tuple(n for n in p.files if n in names)) for p in parts]
        tally.videos += 1
        tally.parts += len(parts)
        for whole, found in zip(parts, there, strict=True):
            wanted.update(whole.files)
            tally.frames += len(whole.files)
            if found.files:
                present.append((video, found))
        if parts and not any(p.files for p in there):
            tally.missing_video.append(video.id)
            continue
        for whole, found in zip(parts, there, strict=True):
            if not found.files:
                tally.missing_expression.append(whole.name)
            elif len(found.files) < len(whole.files):
                tally.missing_frame += [n for n in whole.files if n not in names]
    return wanted, present


def _look(
    predictions: FolderPredictions,
    present: Sequence[tuple[Video, Part]],
    tally: _Tally,
    every: bool,
    progress: Progress,
) -> None:
    """Look into the files, in threads."""
    tally.looked_at = len(present)
    total = sum(len(part.files) for _, part in present)
    look = _look_at_all if every else _look_at_some
    with progress.task("looking at the predictions", total, "files") as task, _threads() as pool:
        for (_, part), seen in zip(
            present, pool.map(lambda item: look(predictions, *item), present), strict=True
        ):
            if seen.empty:
                tally.empty.append(part.name)
            tally.seen.add(seen)
            task.advance(len(part.files))


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="lint")
    try:
        yield pool
    finally:
        # After Ctrl-C nothing more is begun.
        pool.shutdown(cancel_futures=True)


def _look_at_all(predictions: FolderPredictions, video: Video, part: Part) -> _Seen:
    seen = _Seen()
    for name in part.files:
        _decode(seen, predictions, name, video)
    return seen


def _look_at_some(predictions: FolderPredictions, video: Video, part: Part) -> _Seen:
    seen = _Seen()
    good = [n for n in part.files if _is_good(seen, lambda n: predictions.check(n, video.size), n)]
    if not good:
        return seen
    sample = dict.fromkeys((good[0], good[len(good) // 2], good[-1]))
    for name in sample:
        _decode(seen, predictions, name, video)
    # Only where these are empty do the other frames tell whether all are.
    for name in good:
        if not seen.empty:
            break
        if name not in sample:
            _decode(seen, predictions, name, video)
    return seen


def _decode(seen: _Seen, predictions: FolderPredictions, name: str, video: Video) -> None:
    def decode(name: str) -> None:
        highest = predictions.highest(name, video.size)
        if highest:
            seen.highest.setdefault(highest, []).append(name)

    _is_good(seen, decode, name)


def _is_good(seen: _Seen, check: Callable[[str], None], name: str) -> bool:
    """Return whether a check of a file passes; what it raises is kept."""
    try:
        check(name)
    except InputError as error:
        seen.faults.setdefault(getattr(error, "kind", "damaged"), []).append(str(error))
        return False
    return True


def _ask_for(predictions: Predictions, dataset: Dataset, tally: _Tally) -> None:
    """Look through predictions that are no folder of PNGs."""
    for video in dataset.videos():
        lost = []
        tally.videos += 1
        tally.parts += len(video.expressions)
        for expression in video.expressions:
            name = f"{video.id}/{expression.id}"
            try:
                masks = predictions.masks(video, expression)
            except InputError as error:
                tally.seen.faults.setdefault("damaged", []).append(str(error))
                continue
            if masks is None:
                lost.append(name)
                continue
            tally.looked_at += 1
            if not masks.any():
                tally.empty.append(name)
        if lost and len(lost) == len(video.expressions):
            tally.missing_video.append(video.id)
        else:
            tally.missing_expression += lost


def _findings(tally: _Tally, unit: str) -> list[Finding]:
    found = [
        *missing("missing_video", tally.missing_video, tally.videos, "videos"),
        *missing("missing_expression", tally.missing_expression, tally.parts, unit),
        *missing("missing_frame", tally.missing_frame, tally.frames, "frames"),
        *faults(tally.seen.faults),
    ]
    ones, full = (tally.seen.highest.get(value, []) for value in (1, 255))
    if ones and full:
        text = (
            f"{len(ones)} masks hold 0 and 1 (first {shown(ones[:1])}) and {len(full)} hold 0 and 255 (first "
            f"{shown(full[:1])}); both are read as masks, but were they written by the same code?"
        )
        found.append(note("mixed_values", ones, text))
    if tally.empty:
        share = len(tally.empty) / tally.looked_at
        warn = "; were they saved rightly?" if share >= _MANY_EMPTY else "."
        text = (
            f"{len(tally.empty)} of {tally.looked_at} {unit} have no pixel in any frame ({share:.0%}; "
            f"{shown(tally.empty)}){warn}"
        )
        found.append(note("empty", tally.empty, text))
    return found


def _unasked(names: frozenset[str], wanted: set[str]) -> list[Finding]:
    """Return the findings on files that nothing asks for."""
    extra = sorted(names - wanted)
    if not extra:
        return []
    lost = {_plain(n): n for n in wanted - names}
    alike = {n: lost[_plain(n)] for n in extra if _plain(n) in lost}
    rest = [n for n in extra if n not in alike]
    found = []
    if alike:
        first, meant = next(iter(alike.items()))
        one = len(alike) == 1
        what = "1 file looks like a missing one" if one else f"{len(alike)} files look like missing ones"
        text = f"{what} by another name ({shown([first])} for {meant}); rename {'it' if one else 'them'}."
        found.append(note("misnamed", [*alike], text))
    if rest:
        verb = "file is" if len(rest) == 1 else "files are"
        found.append(note("extra", rest, f"{len(rest)} {verb} not asked for ({shown(rest)})."))
    return found


def _plain(name: str) -> tuple[str | int, ...]:
    """Return a name without what programs write in different ways: case, zeros, suffix, form of accents."""
    parts = unicodedata.normalize("NFC", name).casefold().split("/")
    parts[-1] = parts[-1].rpartition(".")[0]
    return tuple(int(p) if p.isascii() and p.isdecimal() and len(p) < 20 else p for p in parts)
