"""Finds out how a folder or zip of PNGs is laid out, by where the names of videos stand in its paths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.files import Files
from refseg.bench.types import Dataset

LAYOUTS = ("ytvos", "davis", "run")

EXPECTED = (
    "ytvos: [Annotations/]<video>/<expression>/<frame>.png; davis: anno_0..3/<video>/<frame>.png, or one "
    "folder <video>/<frame>.png; run: a folder of `bench run`"
)

_ANNOTATOR = re.compile(r"anno_(\d{1,2})")


@dataclass(frozen=True)
class Place:
    """Where a set of predictions lies.

    Attributes:
        layout: How it is laid out.
        base: What stands before its paths: empty, or a path that ends in ``/``.
        single: Davis: one folder of label maps, not one per annotator.
    """

    layout: Literal["ytvos", "davis"]
    base: str
    single: bool = False

    def __str__(self) -> str:
        kind = f"{self.layout} (one folder)" if self.single else self.layout
        return f"{kind} in {self.base or 'its top folder'}"


def find_place(files: Files, dataset: Dataset, layout: str | None) -> Place:
    """Return where the predictions lie.

    Args:
        files: What is there.
        dataset: What was to be predicted.
        layout: ``"ytvos"`` or ``"davis"`` if it is known.

    Raises:
        InputError: No predictions for the dataset's videos are there, or more than one set of them.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    found = count_places(files.names, {v.id for v in dataset.videos()})
    fitting = {place: n for place, n in found.items() if layout in (None, place.layout)}
    if len(fitting) == 1:
        return next(iter(fitting))
    info = dataset.info
    if fitting:
        told = "; ".join(f"{place} ({n} PNGs)" for place, n in sorted(fitting.items(), key=str))
        raise InputError(
            f"{files.path} holds {len(fitting)} sets of predictions: {told}. Give the folder of one of "
            f"them{', or --layout' if len({p.layout for p in fitting}) > 1 else ''}."
        )
    if found:
        told = "; ".join(map(str, found))
        raise InputError(f"{files.path} is not of layout {layout}; it looks like {told}.")
    raise InputError(
        f"{files.path} holds no PNG for a video of {info.name} {info.split} ({_told(files.names)}). "
        f"Expected is {EXPECTED}."
    )


def count_places(names: Iterable[str], video_ids: Collection[str]) -> Counter[Place]:
    """Return each place where PNGs of these videos lie, with their number."""
    found: Counter[Place] = Counter()
    for name in names:
        parts = name.split("/")
        at = next((i for i, part in enumerate(parts[:-1]) if part in video_ids), None)
        if at is None or not name.endswith(".png"):
            continue
        below = len(parts) - at - 1
        if below == 2:
            found[Place("ytvos", _join(parts[:at]))] += 1
        elif below == 1 and at > 0 and _ANNOTATOR.fullmatch(parts[at - 1]):
            found[Place("davis", _join(parts[: at - 1]))] += 1
        elif below == 1:
            found[Place("davis", _join(parts[:at]), single=True)] += 1
    return found


def annotator_of(folder: str) -> int | None:
    """Return the annotator that a folder ``anno_k`` is named for, or None."""
    match = _ANNOTATOR.fullmatch(folder)
    return int(match[1]) if match else None


def _join(parts: Sequence[str]) -> str:
    return "".join(f"{p}/" for p in parts)


def _told(names: Collection[str]) -> str:
    if not names:
        return "it is empty"
    shown = ", ".join(sorted(names)[:3])
    return f"found: {shown}{', …' if len(names) > 3 else ''}, {len(names)} files"
