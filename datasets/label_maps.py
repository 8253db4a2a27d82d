"""Videos whose truth is one PNG a frame, where a pixel's value is its object's id: DAVIS, YouTube-VOS."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.cards import Card
from refseg.bench.errors import DataError, Fault
from refseg.bench.layouts.png import VOID
from refseg.bench.types import GroundTruth, Video
from refseg.datasets.images import frame_size, read_label_map
from refseg.datasets.metadata import Entry, Report, Sentence
from refseg.datasets.videos import (
    FrameFolder,
    HiddenDataset,
    VideoDataset,
    empty,
    file_sizes,
    file_states,
    missing,
)


class LabelMapDataset(VideoDataset):
    """A split with label maps in ``<labels>/<video>/<frame>.png``; the truth of an expression is png == obj_id.

    Its entries are those of :func:`numbered`.
    """

    def __init__(self, *args: Any, labels: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._labels = labels
        self._decoded: tuple[str, NDArray[np.uint8]] | None = None
        self._lock = threading.Lock()

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return the masks of an expression's object, and the void pixels where there are any.

        Raises:
            InputError: A label map is bad, or the object is in none of them.
        """
        _, sentence = self._find(video_id, expression_id)
        number = _number(sentence)
        labels = self.label_maps(video_id)
        masks = labels == number
        if not masks.any():
            raise DataError(self._nowhere(video_id, sentence, number, len(labels)))
        void = labels == VOID
        return GroundTruth(masks, void if void.any() else None)

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids, 0 background, 255 void; read-only. The last video's are kept.

        Raises:
            InputError: The video is unknown, or a label map is bad.
        """
        with self._lock:
            if self._decoded is None or self._decoded[0] != video_id:
                self._decoded = None
                self._decoded = (video_id, self._read_labels(self._videos.by_id(video_id)))
            return self._decoded[1]

    def label_map(self, video_id: str, frame: int) -> NDArray[np.uint8]:
        """Return (H, W) uint8 object ids of one frame; see :meth:`label_maps`."""
        video = self._videos.by_id(video_id)
        return read_label_map(self._root, self._label_name(video_id, video.frame_ids[frame]), video.size)

    def label_ids(self, video_id: str, expression_id: str) -> tuple[int, ...]:
        """Return the id of an expression's object in label maps."""
        return (_number(self._find(video_id, expression_id)[1]),)

    def truth_fingerprint(self, video_id: str) -> str:
        """Return a hash of a video's label maps' files: names, sizes and times."""
        states = file_states(self._root / self._labels / video_id)
        listed = (f"{f}.png {states.get(f'{f}.png')}" for f in self._videos.by_id(video_id).frame_ids)
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()

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
        sizes = file_sizes(self._root / self._labels / video.id)
        return "\n".join(f"{f}.png {sizes.get(f'{f}.png')}" for f in video.frame_ids)

    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
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
            number = _number(sentence)
            if number not in found | told:
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


def open_labels(
    card: Card,
    split: str,
    entries: Sequence[Entry],
    frames: FrameFolder,
    *,
    fingerprint: str,
    metadata: str,
    report: Report,
) -> LabelMapDataset | HiddenDataset:
    """Return a split of Refer-YouTube-VOS's layout, its labels hidden where the metadata has no obj_id.

    Label maps alone say nothing then: those of YouTube-VOS, of first frames only, may lie there.
    """
    labels = f"{split}/Annotations"
    told = any(s.object_ids is not None for e in entries for s in e.sentences)
    if card.splits[split].labels == "public" or (told and (frames.root / labels).is_dir()):
        entries = numbered(entries, metadata, frames.root, report)
        return LabelMapDataset(card, split, entries, frames, fingerprint=fingerprint, labels=labels)
    return HiddenDataset(card, split, entries, frames, fingerprint=fingerprint)


def numbered(entries: Iterable[Entry], name: str, root: Path, report: Report) -> list[Entry]:
    """Return videos whose expressions have an object's number, 1 to 254; others are reported and left out.

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
            found = None if sentence.object_ids is None else sentence.object_ids[0]
            if found is not None and _is_number(found):
                kept.append(sentence)
                continue
            text = (
                f'{root / name}: "obj_id" of expression {sentence.id!r} of video {entry.id!r} is '
                f"{found!r}; a number from 1 to 254 is expected."
            )
            report(Fault("id", name, text))
        out.append(replace(entry, sentences=tuple(kept)))
    return out


def _number(sentence: Sentence) -> int:
    assert sentence.object_ids is not None, "numbered() sees to it"
    return int(sentence.object_ids[0])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < VOID
