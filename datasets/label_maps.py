"""Videos whose truth is one PNG a frame, where a pixel's value is its object's id: DAVIS, YouTube-VOS."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import DataError, Fault, InputError
from refseg.bench.layouts.png import VOID
from refseg.bench.types import GroundTruth, Video
from refseg.datasets.images import frame_size, read_label_map
from refseg.datasets.metadata import Entry, Report, Sentence
from refseg.datasets.videos import VideoDataset, digest, empty, file_sizes, file_states, missing


class LabelMapDataset(VideoDataset):
    """A split with label maps in ``<labels>/<video>/<frame>.png``; the truth of an expression is png == obj_id.

    ``labels`` is None where labels are hidden.
    """

    def __init__(self, *args: Any, labels: str | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._labels = labels
        self._decoded: tuple[str, NDArray[np.uint8]] | None = None
        self._lock = threading.Lock()

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the masks of an expression's object, and the void pixels where there are any.

        Raises:
            InputError: A label map is bad, or the object is in none of them.
        """
        _, sentence = self._find(video_id, expression_id)
        number = self._object(sentence)
        if self._labels is None or number is None:
            return None
        labels = self.label_maps(video_id)
        masks = labels == number
        if not masks.any():
            raise DataError(self._nowhere(video_id, sentence, number, len(labels)))
        void = labels == VOID
        return GroundTruth(masks, void if void.any() else None)

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids, 0 background, 255 void; read-only. The last video's are kept.

        Raises:
            InputError: Labels are hidden, the video is unknown, or a label map is bad.
        """
        if self._labels is None:
            raise InputError(f"The labels of {self.info.name} {self.info.split} are hidden.")
        with self._lock:
            if self._decoded is None or self._decoded[0] != video_id:
                self._decoded = None
                self._decoded = (video_id, self._read_labels(self._videos.by_id(video_id)))
            return self._decoded[1]

    @property
    def framewise(self) -> LabelMapDataset | None:
        """The truth frame by frame, or None where labels are hidden."""
        return None if self._labels is None else self

    def label_map(self, video_id: str, frame: int) -> NDArray[np.uint8]:
        """Return (H, W) uint8 object ids of one frame; see :meth:`label_maps`."""
        video = self._videos.by_id(video_id)
        return read_label_map(self._root, self._label_name(video_id, video.frame_ids[frame]), video.size)

    def label_ids(self, video_id: str, expression_id: str) -> tuple[int, ...]:
        """Return the id of an expression's object."""
        _, sentence = self._find(video_id, expression_id)
        number = self._object(sentence)
        return () if number is None else (number,)

    def truth_fingerprint(self, video_id: str) -> str:
        """Return a hash of the label maps' files: names, sizes and times."""
        files = file_states(self._root / str(self._labels) / video_id)
        listed = [f"{f}.png {files.get(f'{f}.png')}" for f in self._videos.by_id(video_id).frame_ids]
        return digest("\n".join(listed).encode())

    def _object(self, sentence: Sentence) -> int | None:
        """Return the number of an expression's object, or None where the metadata does not say."""
        return None if sentence.object_ids is None else int(sentence.object_ids[0])

    def _read_labels(self, video: Video) -> NDArray[np.uint8]:
        labels = np.empty((len(video), *video.size), np.uint8)
        for i in range(len(video)):
            labels[i] = self.label_map(video.id, i)
        if (labels == VOID).any() and not ((labels > 0) & (labels < VOID)).any():
            raise DataError(self._binary(video))
        labels.flags.writeable = False
        return labels

    def _label_name(self, video_id: str, frame_id: str) -> str:
        return f"{self._labels}/{video_id}/{frame_id}.png"

    def _truth_files(self, video: Video) -> str:
        if self._labels is None:
            return ""
        sizes = file_sizes(self._root / self._labels / video.id)
        return "\n".join(f"{f}.png {sizes.get(f'{f}.png')}" for f in video.frame_ids)

    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        if self._labels is None:
            return
        sizes = file_sizes(self._root / self._labels / video.id)
        found: set[int] = set()
        whole = True
        for i, frame_id in enumerate(video.frame_ids):
            name = self._label_name(video.id, frame_id)
            if f"{frame_id}.png" not in sizes:
                fault: Fault | None = missing(self._root, name)
            elif sizes[f"{frame_id}.png"] == 0:
                fault = empty(self._root, name)
            else:
                # One header a video tells a folder of another size.
                fault = self._label_fault(video, name, found, quick) if i == 0 or not quick else None
            if fault is not None:
                whole = False
                yield fault
        if whole and not quick:
            yield from self._object_faults(video, found)

    def _label_fault(self, video: Video, name: str, found: set[int], quick: bool) -> Fault | None:
        """Return what is wrong with a label map, and add its values to those found."""
        try:
            if quick and frame_size(self._root, name) == video.size:
                return None
            labels = read_label_map(self._root, name, video.size)
        except DataError as error:
            return error.fault
        found.update(np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist())
        return None

    def _object_faults(self, video: Video, found: set[int]) -> Iterator[Fault]:
        """Yield objects that sentences refer to and no label map holds."""
        if VOID in found and not found - {0, VOID}:
            yield self._binary(video)
            return
        told: set[int] = set()
        for sentence in self._entries[video.id].sentences:
            number = self._object(sentence)
            if number is not None and number not in found and number not in told:
                told.add(number)
                yield self._nowhere(video.id, sentence, number, len(video))

    def _nowhere(self, video_id: str, sentence: Sentence, number: int, frames: int) -> Fault:
        folder = f"{self._labels}/{video_id}"
        return Fault(
            "truth",
            folder,
            f"Object {number} of video {video_id} (expression {sentence.id}) is in none of its {frames} label "
            f"maps, so an empty answer would score 100; check obj_id and the folder {folder} in {self._root}.",
        )

    def _binary(self, video: Video) -> Fault:
        return Fault(
            "encoding",
            f"{self._labels}/{video.id}",
            f"The label maps of video {video.id} in {self._root} hold 255 and no object id; they look like 0/255 "
            "masks, but palette PNGs with ids 1, 2, … are expected.",
        )

    def __getstate__(self) -> dict[str, object]:
        # A lock cannot go to another process, and decoded label maps need not.
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_decoded": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def numbered(entries: Iterable[Entry], name: str, root: Path, report: Report) -> list[Entry]:
    """Return videos whose expressions have an object's number, 1 to 254, or none; others are reported and left out.

    Args:
        entries: Videos as the metadata has them.
        name: The metadata's path relative to the root.
        root: The dataset's folder.
        report: Takes the faults.
    """
    out = []
    for entry in entries:
        kept = []
        for sentence in entry.sentences:
            if sentence.object_ids is None or _is_number(sentence.object_ids[0]):
                kept.append(sentence)
                continue
            text = (
                f'{root / name}: "obj_id" of expression {sentence.id!r} of video {entry.id!r} is '
                f"{sentence.object_ids[0]!r}; a number from 1 to 254 is expected."
            )
            report(Fault("id", name, text))
        out.append(replace(entry, sentences=tuple(kept)))
    return out


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < VOID
