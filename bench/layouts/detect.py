"""Finds out how a folder or zip of PNGs is laid out, by where the names of videos stand in its paths."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.files import Files
from refseg.bench.layouts.names import printable
from refseg.bench.types import Dataset

LAYOUTS = ("ytvos", "mevis", "davis", "run")
"""Layouts that are read. MeViS's is Refer-YouTube-VOS's: only what stands before the videos' folders differs."""

EXPECTED = (
    "ytvos and mevis: [Annotations/]<video>/<expression>/<frame>.png; davis: anno_0..3/<video>/<frame>.png, "
    "or one folder <video>/<frame>.png; run: a folder of `bench run`"
)

_ANNOTATOR = re.compile(r"anno_(0|[1-9]\d?)")
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
_PICTURES = (".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".npy", ".npz")


@dataclass(frozen=True)
class Place:
    """Where a set of predictions lies.

    Attributes:
        layout: How it is laid out; ``mevis`` is ``ytvos`` here.
        base: What stands before its paths: empty, or a path that ends in ``/``.
        single: Davis: one folder of label maps, not one per annotator.
    """

    layout: Literal["ytvos", "davis"]
    base: str
    single: bool = False

    def __str__(self) -> str:
        kind = f"{self.layout} (one folder)" if self.single else self.layout
        return f"{kind} in {printable(self.base) or 'its top folder'}"


def find_place(files: Files, dataset: Dataset, layout: str | None) -> Place:
    """Return where the predictions lie.

    Args:
        files: What is there.
        dataset: What was to be predicted.
        layout: One of ``LAYOUTS`` but ``"run"`` if it is known.

    Raises:
        InputError: No predictions for the dataset's videos are there, or more than one set of them.
    """
    if layout is not None and layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    wanted = "ytvos" if layout == "mevis" else layout
    expressions = {v.id: frozenset(e.id for e in v.expressions) for v in dataset.videos()}
    found = count_places(files.names, expressions, wanted)
    if len(found) == 1:
        return next(iter(found))
    if found:
        told = "; ".join(f"{place} ({n} PNGs)" for place, n in sorted(found.items(), key=str))
        raise InputError(
            f"{files.path} holds {len(found)} sets of predictions: {told}. Give the folder of one of "
            f"them, or move the others away{', or give --layout' if len({p.layout for p in found}) > 1 else ''}."
        )
    others = count_places(files.names, expressions)
    if others:
        told = "; ".join(map(str, others))
        raise InputError(f"{files.path} is not of layout {layout}; it looks like {told}.")
    info = dataset.info
    raise InputError(
        f"{files.path} holds no PNG for a video of {info.name} {info.split} ({_told(files.names)}). "
        f"Expected is {EXPECTED}."
    )


def count_places(
    names: Iterable[str], expressions: Mapping[str, Collection[str]], layout: str | None = None
) -> Counter[Place]:
    """Return each place where PNGs of these videos lie, with their number.

    Args:
        names: Paths of files.
        expressions: Ids of the expressions by video id.
        layout: Look for this one only.
    """
    # Files are looked at by their folders, of which there are far fewer.
    folders = Counter(n.rpartition("/")[0] for n in names if n[-4:].lower() == ".png")
    lengths = sorted({i.count("/") + 1 for i in expressions}, reverse=True)
    found: Counter[Place] = Counter()
    annotators: dict[Place, set[str]] = {}
    for folder, n in folders.items():
        parts = folder.split("/")
        place = next((p for k in lengths if (p := _place_of(parts, k, expressions, layout))), None)
        if place is None:
            continue
        above = place.base[:-1].rpartition("/")[2]
        if place.layout == "davis" and _ANNOTATOR.fullmatch(above):
            place = Place("davis", place.base[: -len(above) - 1])
            annotators.setdefault(place, set()).add(above)
        found[place] += n
    for place, named in annotators.items():
        if len(named) == 1:
            # One annotator's folder is one folder of label maps, whether its parent was given or not.
            found[Place("davis", f"{place.base}{named.pop()}/", single=True)] = found.pop(place)
    return found


def _place_of(
    parts: Sequence[str], length: int, expressions: Mapping[str, Collection[str]], layout: str | None
) -> Place | None:
    """Return the place of a folder that ends in a video's id of so many parts, or in one of its expressions."""
    last = parts[-1]
    above = parts[-1 - length : -1] if len(parts) > length else []
    ids = expressions.get("/".join(above))
    video = "/".join(parts[-length:])
    # A folder below a video's is an expression's, unless only its own name is a video's too.
    if layout != "davis" and ids is not None and (last in ids or video not in expressions):
        return Place("ytvos", _join(parts[: -1 - length]))
    if layout != "ytvos" and len(parts) >= length and video in expressions:
        return Place("davis", _join(parts[:-length]), single=True)
    return None


def annotator_of(files: Files, place: Place) -> int:
    """Return the annotator of one folder of label maps: k where it is named ``anno_k``, else 0."""
    given = os.path.basename(os.path.abspath(files.path)).removesuffix(".zip")
    match = _ANNOTATOR.fullmatch(place.base.rstrip("/").rpartition("/")[2] or given)
    return int(match[1]) if match else 0


def _join(parts: Sequence[str]) -> str:
    return "".join(f"{p}/" for p in parts)


def _told(names: Collection[str]) -> str:
    if not names:
        return "it is empty"
    shown = ", ".join(map(printable, sorted(names)[:3]))
    told = f"found: {shown}{', …' if len(names) > 3 else ''}, {_counted(len(names))}"
    inner = next((n for n in sorted(names) if n.lower().endswith(_ARCHIVES)), None)
    if inner is not None:
        return f"{told}; archives in it, such as {printable(inner)}, are not opened: unpack them"
    if any(n.lower().endswith(_PICTURES) for n in names):
        return f"{told}; masks must be saved as PNGs"
    return told


def _counted(n: int) -> str:
    return "1 file" if n == 1 else f"{n} files"
