"""Predictions in the layouts ``ytvos`` and ``davis``, as protocols read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.layouts.detect import Place, annotator_of
from refseg.bench.layouts.files import Files
from refseg.bench.layouts.png import (
    HEADER,
    MOST_IDS,
    MaskFault,
    check_header,
    decode_labels,
    decode_mask,
    decode_values,
)
from refseg.bench.merge import merge_groups, object_number
from refseg.bench.types import BoolArray, Expression, OnMissing, Video


@dataclass(frozen=True)
class Part:
    """The files of one expression (ytvos) or of one annotator's label maps (davis) in one video."""

    name: str
    files: tuple[str, ...]


class YtvosPredictions:
    """``[Annotations/]<video>/<expression>/<frame>.png``: one mask an expression and frame.

    Args:
        files: What is there.
        place: Where in it the predictions lie.
        on_missing: What a missing frame of an expression is whose other frames are there: an error, or empty.
    """

    layout = "ytvos"
    annotators: tuple[int, ...] | None = None

    def __init__(self, files: Files, place: Place, on_missing: OnMissing = "error") -> None:
        self.files, self.place, self._on_missing = files, place, on_missing

    def parts(self, video: Video) -> list[Part]:
        """Return the files that are looked for, by expression."""
        return [Part(f"{video.id}/{e.id}", self._names(video, e)) for e in video.expressions]

    def check(self, name: str, size: tuple[int, int]) -> None:
        """Check a file's size and kind by its header.

        Raises:
            MaskFault: They are wrong.
        """
        check_header(self.files.read(name, HEADER), self.files.shown(name), size, labels=False)

    def highest(self, name: str, size: tuple[int, int]) -> int:
        """Return the highest value that a file stores: 0 where it is empty, else 1 or 255; see :meth:`decode`."""
        return int(decode_values(self.files.read(name), self.files.shown(name), size).max(initial=0))

    def decode(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a file's mask as 0 and 1.

        Raises:
            InputError: It is damaged, of another size, or holds values that a mask cannot hold.
        """
        return decode_mask(self.files.read(name), self.files.shown(name), size).view(np.uint8)

    def masks(self, video: Video, expression: Expression) -> BoolArray | None:
        """Return the (T, H, W) masks of one expression; None where no frame of it is there.

        Raises:
            InputError: A file is bad, or a frame is missing and that is an error.
        """
        part = Part(f"{video.id}/{expression.id}", self._names(video, expression))
        found = _present(self.files, part, self._on_missing)
        if found is None:
            return None
        out = np.zeros((len(video), *video.size), bool)
        for i in found:
            out[i] = self.decode(part.files[i], video.size)
        return out

    def label_maps(self, video: Video, annotator: int) -> NDArray[np.uint8] | None:
        """Return (T, H, W) with one annotator's masks merged; None where one of them is missing.

        Masks carry no probabilities, so where two claim a pixel the object with the lower id takes it.
        """
        group = next((g for g in merge_groups(video) if g.annotator == annotator), None)
        if group is None:
            return None
        labels = np.zeros((len(video), *video.size), np.uint8)
        for expression in reversed(group.expressions):
            masks = self.masks(video, expression)
            if masks is None:
                return None
            labels[masks] = object_number(expression)
        return labels

    def _names(self, video: Video, expression: Expression) -> tuple[str, ...]:
        folder = f"{self.place.base}{video.id}/{expression.id}"
        return tuple(f"{folder}/{f}.png" for f in video.frame_ids)


class DavisPredictions:
    """``anno_k/<video>/<frame>.png``, or one folder of them: one label map an annotator and frame.

    Attributes:
        annotators: The only annotators that there are predictions for, where the folder is a single one; else
            None: those of the dataset.
    """

    layout = "davis"

    def __init__(self, files: Files, place: Place, on_missing: OnMissing = "error") -> None:
        self.files, self.place, self._on_missing = files, place, on_missing
        self.annotators: tuple[int, ...] | None = (annotator_of(files, place),) if place.single else None
        self._last: tuple[str, int, NDArray[np.uint8]] | None = None

    def parts(self, video: Video) -> list[Part]:
        """Return the files that are looked for, by annotator."""
        # A video that no sentence is about has label maps all the same (DAVIS's own tasks).
        wanted = {e.annotator or 0 for e in video.expressions} or {0}
        if self.annotators is not None:
            wanted &= {*self.annotators}
        return [Part(f"anno_{a}/{video.id}", self._names(video, a)) for a in sorted(wanted)]

    def check(self, name: str, size: tuple[int, int]) -> None:
        """Check a file's size and kind by its header.

        Raises:
            MaskFault: They are wrong.
        """
        check_header(self.files.read(name, HEADER), self.files.shown(name), size, labels=True)

    def highest(self, name: str, size: tuple[int, int]) -> int:
        """Return the highest object id in a file; see :meth:`decode`."""
        return int(self.decode(name, size).max(initial=0))

    def decode(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a file's object ids.

        Raises:
            InputError: It is damaged, of another size, or holds no object ids.
        """
        shown = self.files.shown(name)
        labels = decode_labels(self.files.read(name), shown, size)
        highest = int(labels.max(initial=0))
        if highest > MOST_IDS:
            raise MaskFault(
                f"{shown} holds the object id {highest}; the official evaluator admits 1 to {MOST_IDS}, and "
                "void (255) stands in the truth only.",
                "object_id",
            )
        return labels

    def masks(self, video: Video, expression: Expression) -> BoolArray | None:
        """Return the (T, H, W) masks of one expression; None where its annotator's label maps are missing.

        They are its objects' pixels in the merged label maps. What a mask lost to other objects cannot be had
        back, so a score per expression can be lower here than from masks that were saved each alone.
        """
        if not expression.object_ids or not all(_is_label(i) for i in expression.object_ids):
            return None
        labels = self._kept(video, expression.annotator or 0)
        if labels is None:
            return None
        masks: BoolArray = np.isin(labels, [int(i) for i in expression.object_ids])
        return masks

    def label_maps(self, video: Video, annotator: int) -> NDArray[np.uint8] | None:
        """Return (T, H, W) object ids of one annotator; None where no frame is there.

        Raises:
            InputError: A file is bad, or a frame is missing and that is an error.
        """
        labels = self._kept(video, annotator)
        return None if labels is None else labels.copy()

    def _kept(self, video: Video, annotator: int) -> NDArray[np.uint8] | None:
        """Return one annotator's label maps; the last are kept, since its objects are asked for in turn."""
        if self._last is not None and self._last[:2] == (video.id, annotator):
            return self._last[2]
        if self.annotators is not None and annotator not in self.annotators:
            return None
        part = Part(f"{video.id} by annotator {annotator}", self._names(video, annotator))
        found = _present(self.files, part, self._on_missing)
        if found is None:
            return None
        self._last = None
        labels = np.zeros((len(video), *video.size), np.uint8)
        for i in found:
            labels[i] = self.decode(part.files[i], video.size)
        self._last = (video.id, annotator, labels)
        return labels

    def _names(self, video: Video, annotator: int) -> tuple[str, ...]:
        folder = "" if self.place.single else f"anno_{annotator}/"
        return tuple(f"{self.place.base}{folder}{video.id}/{f}.png" for f in video.frame_ids)


FolderPredictions = YtvosPredictions | DavisPredictions


def _present(files: Files, part: Part, on_missing: OnMissing) -> Sequence[int] | None:
    """Return which of the part's files are there; None where none is."""
    found = [i for i, name in enumerate(part.files) if name in files.names]
    if not found:
        return None
    if len(found) < len(part.files) and on_missing == "error":
        first = next(n for n in part.files if n not in files.names)
        raise InputError(
            f"{len(part.files) - len(found)} of {len(part.files)} frames of {part.name} are missing "
            f"({files.shown(first)} is the first); add them, or give --on-missing empty."
        )
    return found


def _is_label(object_id: str) -> bool:
    return object_id.isascii() and object_id.isdecimal() and 0 < int(object_id) <= MOST_IDS
