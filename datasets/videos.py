"""What loaders of videos share: videos made when they are asked for, frames in folders, one split's facts.

Opening a dataset reads its metadata. A video costs one folder listing and one header when it is asked for; frames
are decoded when they are read.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import overload

from refseg.bench.cards import Card
from refseg.bench.errors import DataError, Fault, unknown_name
from refseg.bench.layouts.names import natural_key
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, ImageArray, Video
from refseg.datasets.images import frame_size, read_frame
from refseg.datasets.metadata import Entry, Sentence

_SUFFIXES = (".jpg", ".jpeg", ".png")


class LazyVideos(Sequence[Video]):
    """Videos by index or id, each made once, when it is asked for."""

    def __init__(self, ids: Sequence[str], make: Callable[[str], Video]) -> None:
        self.ids, self._make = tuple(ids), make
        self._made: dict[str, Video] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Video: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Video]: ...
    def __getitem__(self, index: int | slice) -> Video | Sequence[Video]:
        if isinstance(index, slice):
            return [self.by_id(i) for i in self.ids[index]]
        return self.by_id(self.ids[index])

    def by_id(self, video_id: str) -> Video:
        """Return a video of the split."""
        if video_id not in self._made:
            self._made[video_id] = self._make(video_id)
        return self._made[video_id]


class FrameFolder:
    """The frames of a dataset's videos, ``<folder>/<video>/<frame>.jpg`` below its root."""

    def __init__(self, root: Path, folder: str) -> None:
        self.root, self.folder = root, folder

    def files(self, video_id: str) -> dict[str, tuple[str, int]]:
        """Return frame name -> (file name, size in bytes) of the frames that are there."""
        found: dict[str, tuple[str, int]] = {}
        for name, size in sorted(file_sizes(self.root / self.folder / video_id).items()):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in _SUFFIXES:
                found.setdefault(stem, (name, size))
        return found

    def names(self, video_id: str, frame_ids: Sequence[str], files: dict[str, tuple[str, int]]) -> list[str]:
        """Return the paths of frames relative to the root; one that is missing is expected as a JPEG."""
        return [f"{self.folder}/{video_id}/{files.get(f, (f'{f}.jpg', 0))[0]}" for f in frame_ids]

    def video(self, entry: Entry, expressions: tuple[Expression, ...]) -> Video:
        """Return a video whose size is that of its first frame.

        Raises:
            DataError: No frame of the video can be opened.
        """
        files = self.files(entry.id)
        # Where the metadata lists no frames, those in the folder are the video.
        frame_ids = entry.frame_ids or tuple(sorted(files, key=natural_key))
        if not frame_ids:
            folder = f"{self.folder}/{entry.id}"
            text = f"{folder} in {self.root} holds no frame; images such as 00000.jpg are expected."
            raise DataError(Fault("missing", folder, text))
        names = self.names(entry.id, frame_ids, files)
        # A list of many thousand names of which none is there must not cost an attempt each.
        there = [name for name, f in zip(names, frame_ids, strict=True) if f in files]
        size = self._size(there or names[:1])
        listed = (f"{name} {files.get(f, ('', None))[1]}" for name, f in zip(names, frame_ids, strict=True))
        return Video(
            entry.id,
            frame_ids,
            size,
            expressions,
            partial(_read, self.root, tuple(names), size),
            hashlib.sha256("\n".join(listed).encode()).hexdigest(),
        )

    def faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        """Yield what is wrong with the frames of a video."""
        files = self.files(video.id)
        names = self.names(video.id, video.frame_ids, files)
        for i, (frame, name) in enumerate(zip(video.frame_ids, names, strict=True)):
            if frame not in files:
                yield missing(self.root, name)
            elif files[frame][1] == 0:
                yield empty(self.root, name)
            else:
                try:
                    if not quick:
                        video.read(i)
                    elif i == 0:
                        frame_size(self.root, name)
                except DataError as error:
                    yield error.fault

    def _size(self, names: Sequence[str]) -> tuple[int, int]:
        """Return the first frame's size; where that file is bad the next one's, so that one frame fails."""
        first: DataError | None = None
        for name in names:
            try:
                return frame_size(self.root, name)
            except DataError as error:
                first = first or error
        assert first is not None
        raise first


class VideoDataset(ABC):
    """A split of videos with frames in folders; a subclass knows the truth.

    Args:
        card: What the dataset is.
        split: The split.
        entries: Its videos, in the metadata's order.
        frames: Where frames are.
        fingerprint: Hash of the metadata.
        version: Where it is not the card's.
    """

    def __init__(
        self,
        card: Card,
        split: str,
        entries: Sequence[Entry],
        frames: FrameFolder,
        *,
        fingerprint: str,
        version: str | None = None,
    ) -> None:
        self.info: DatasetInfo = card.info(split, fingerprint=fingerprint, version=version)
        self._root, self._frames = frames.root, frames
        self._entries = {e.id: e for e in entries}
        self._expressions = {e.id: tuple(map(self._expression, e.sentences)) for e in entries}
        self._videos = LazyVideos(list(self._entries), self._video)

    def videos(self) -> Sequence[Video]:
        """Return the videos in the metadata's order, each made when it is asked for.

        Raises:
            DataError: (when a video is asked for) None of its frames can be opened.
        """
        return self._videos

    @abstractmethod
    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the truth of an expression, or None where labels are hidden."""

    def content(self, video: Video) -> str:
        """Return the hash of a video's files: names and sizes of its frames and of its truth."""
        return hashlib.sha256(f"{video.fingerprint}\n{self._truth_files(video)}".encode()).hexdigest()

    def video_faults(self, video_id: str, *, quick: bool) -> Iterator[Fault]:
        """Yield every fault of a video's files; ``quick`` decodes nothing."""
        video = self._videos.by_id(video_id)
        yield from self._frames.faults(video, quick=quick)
        yield from self._truth_faults(video, quick=quick)

    def _expression(self, sentence: Sentence) -> Expression:
        return Expression(
            sentence.id, sentence.text, sentence.object_ids or (), attributes=sentence.attributes
        )

    @abstractmethod
    def _truth_files(self, video: Video) -> str:
        """Return a text that changes with the files that hold a video's truth."""

    @abstractmethod
    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        """Yield what is wrong with the files that hold a video's truth."""

    def _video(self, video_id: str) -> Video:
        if video_id not in self._entries:
            raise unknown_name(f"video of {self.info.name}", video_id, self._entries)
        return self._frames.video(self._entries[video_id], self._expressions[video_id])

    def _find(self, video_id: str, expression_id: str) -> tuple[Entry, Sentence]:
        """Return what the metadata says of an expression.

        Raises:
            InputError: The video or the expression is unknown.
        """
        video = self._entries.get(video_id)
        if video is None:
            raise unknown_name(f"video of {self.info.name}", video_id, self._entries)
        for sentence in video.sentences:
            if sentence.id == expression_id:
                return video, sentence
        raise unknown_name(f"expression of video {video_id}", expression_id, [s.id for s in video.sentences])


class HiddenDataset(VideoDataset):
    """A split whose labels are not there: it is predicted, and scored by somebody else."""

    def ground_truth(self, video_id: str, expression_id: str) -> None:
        """Return nothing."""
        self._find(video_id, expression_id)

    def _truth_files(self, video: Video) -> str:
        return ""

    def _truth_faults(self, video: Video, *, quick: bool) -> Iterator[Fault]:
        return iter(())


def digest(content: bytes) -> str:
    """Return the SHA-256 of metadata."""
    return hashlib.sha256(content).hexdigest()


def file_states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return file name -> (size in bytes, time of the last change in nanoseconds); nothing without such a folder."""
    try:
        with os.scandir(folder) as files:
            found = {f.name: f.stat() for f in files if f.is_file()}
    except OSError:
        return {}
    return {name: (state.st_size, state.st_mtime_ns) for name, state in found.items()}


def file_sizes(folder: Path) -> dict[str, int]:
    """Return file name -> size in bytes; nothing where there is no such folder."""
    return {name: size for name, (size, _) in file_states(folder).items()}


def missing(root: Path, name: str) -> Fault:
    """Return the fault of a file that is listed and is not there."""
    return Fault("missing", name, f"{name} is missing in {root}; copy it again from the dataset's source.")


def empty(root: Path, name: str) -> Fault:
    """Return the fault of a file without content."""
    return Fault("damaged", name, f"{name} in {root} is empty (0 bytes); copy it again.")


def require(card: Card, request: DatasetRequest, split: str, *paths: str) -> Path:
    """Return the root, where these files and folders must be.

    Raises:
        InputError: The root is not set or no folder, or something is missing in it; the tree is shown.
    """
    root = card.root(request, split)
    for path in paths:
        if not (root / path).exists():
            raise DataError(
                Fault(
                    "missing",
                    path,
                    f"{path} is missing in {root}; {card.name} is expected as\n{card.drawing(split, root)}",
                )
            )
    return root


def _read(root: Path, names: Sequence[str], size: tuple[int, int], i: int) -> ImageArray:
    return read_frame(root, names[i], size)
