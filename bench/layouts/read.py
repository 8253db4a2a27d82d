"""Predictions in the layouts ``ytvos`` and ``davis``, as protocols read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
from refseg.bench.scoring.frames import Frames, remembered
from refseg.bench.scoring.packed import merged, pack_labels, pack_mask
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
        read = self._reader(video, expression)
        if read is None:
            return None
        out = np.empty((len(video), *video.size), bool)
        for i in range(len(video)):
            out[i] = read(i)
        return out

    def mask_frames(self, video: Video, expression: Expression) -> Frames | None:
        """Return the masks of one expression frame by frame; see :meth:`masks`."""
        read = self._reader(video, expression)
        return None if read is None else lambda i: pack_mask(read(i).view(np.bool_))

    def label_frames(self, video: Video, annotator: int) -> Frames | None:
        """Return one annotator's merged masks frame by frame; see :meth:`label_maps`."""
        group = next((g for g in merge_groups(video) if g.annotator == annotator), None)
        if group is None:
            return None
        objects = [self.mask_frames(video, e) for e in group.expressions]
        there = [masks for masks in objects if masks is not None]
        if len(there) < len(objects):
            return None
        ids = [object_number(e) for e in group.expressions]
        return lambda i: merged([masks(i).of(1) for masks in there], ids, video.size)

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

    def _reader(self, video: Video, expression: Expression) -> Callable[[int], NDArray[np.uint8]] | None:
        part = Part(f"{video.id}/{expression.id}", self._names(video, expression))
        return _reader(self, part, video.size, self._on_missing)

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
        self._shared: tuple[str, dict[int, Frames]] = ("", {})

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

    def mask_frames(self, video: Video, expression: Expression) -> Frames | None:
        """Return the masks of one expression frame by frame; see :meth:`masks`."""
        if not expression.object_ids or not all(_is_label(i) for i in expression.object_ids):
            return None
        labels = self._frames(video, expression.annotator or 0)
        ids = tuple(map(int, expression.object_ids))
        return None if labels is None else lambda i: labels(i).of(*ids)

    def label_frames(self, video: Video, annotator: int) -> Frames | None:
        """Return one annotator's object ids frame by frame; see :meth:`label_maps`."""
        return self._frames(video, annotator)

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
        read = self._reader(video, annotator)
        if read is None:
            return None
        self._last = None
        labels = np.empty((len(video), *video.size), np.uint8)
        for i in range(len(video)):
            labels[i] = read(i)
        self._last = (video.id, annotator, labels)
        return labels

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads for itself.
        return self.__dict__ | {"_last": None, "_shared": ("", {})}

    def _frames(self, video: Video, annotator: int) -> Frames | None:
        """Return one annotator's label maps frame by frame; a video's objects and protocols share them."""
        if self._shared[0] != video.id:
            self._shared = (video.id, {})
        kept = self._shared[1]
        if annotator not in kept:
            read = self._reader(video, annotator)
            if read is None:
                return None
            kept[annotator] = remembered(lambda i: pack_labels(read(i)))
        return kept[annotator]

    def _reader(self, video: Video, annotator: int) -> Callable[[int], NDArray[np.uint8]] | None:
        if self.annotators is not None and annotator not in self.annotators:
            return None
        part = Part(f"{video.id} by annotator {annotator}", self._names(video, annotator))
        return _reader(self, part, video.size, self._on_missing)

    def _names(self, video: Video, annotator: int) -> tuple[str, ...]:
        folder = "" if self.place.single else f"anno_{annotator}/"
        return tuple(f"{self.place.base}{folder}{video.id}/{f}.png" for f in video.frame_ids)


FolderPredictions = YtvosPredictions | DavisPredictions


def _reader(
    predictions: FolderPredictions, part: Part, size: tuple[int, int], on_missing: OnMissing
) -> Callable[[int], NDArray[np.uint8]] | None:
    """Return what decodes one frame, zeros where it is missing; None where every frame is."""
    found = _present(predictions.files, part, on_missing)
    if found is None:
        return None
    there = frozenset(found)
    return lambda i: predictions.decode(part.files[i], size) if i in there else np.zeros(size, np.uint8)


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
