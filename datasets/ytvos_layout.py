"""Refer-YouTube-VOS's layout, which converted copies of other datasets share.

    ROOT/meta_expressions/<split>/meta_expressions.json
    ROOT/<split>/JPEGImages/<video>/<frame>.jpg
    ROOT/<split>/Annotations/<video>/<frame>.png        (where labels are public)

Opening reads the metadata and, per video, one folder listing and one header; frames are decoded when they
are read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError
from refseg.bench.layouts.names import natural_key, safe_id
from refseg.bench.types import Expression, ImageArray, Video
from refseg.datasets.images import frame_size, read_frame, read_label_map

TREE = """{root}/
  meta_expressions/{split}/meta_expressions.json
  {split}/JPEGImages/<video>/<frame>.jpg
  {split}/Annotations/<video>/<frame>.png"""


@dataclass(frozen=True)
class Sentence:
    """One expression as the metadata has it; ``object_id`` is None where the file gives none."""

    id: str
    text: str
    object_id: str | None


@dataclass(frozen=True)
class Entry:
    """One video as the metadata has it: frames in temporal order, sentences by the number of their id."""

    id: str
    frame_ids: tuple[str, ...]
    sentences: tuple[Sentence, ...]


class YtvosLayout:
    """A split in this layout.

    Args:
        root: The dataset's folder.
        split: Name of the split's folders.
        dataset: Registered name, for messages.

    Raises:
        InputError: The tree is not there, or its metadata is broken.
    """

    def __init__(self, root: Path, split: str, *, dataset: str) -> None:
        self.root, self.split = root, split
        self._metadata = Path("meta_expressions") / split / "meta_expressions.json"
        tree = TREE.format(root=root, split=split)
        for path in (self._metadata, Path(split) / "JPEGImages"):
            if not (root / path).exists():
                raise InputError(f"{path} is missing in {root}; {dataset} is expected as\n{tree}")
        self._content = _read(root / self._metadata)
        self.entries = parse_metadata(self._content, str(root / self._metadata))

    def frame_name(self, video_id: str, frame_id: str) -> str:
        """Return a frame's path relative to the root."""
        return f"{self.split}/JPEGImages/{video_id}/{frame_id}.jpg"

    def label_name(self, video_id: str, frame_id: str) -> str:
        """Return a label map's path relative to the root."""
        return f"{self.split}/Annotations/{video_id}/{frame_id}.png"

    def video(self, entry: Entry, expressions: tuple[Expression, ...]) -> Video:
        """Return a video whose size is that of its first frame.

        Raises:
            InputError: No frame of the video can be opened.
        """
        names = tuple(self.frame_name(entry.id, f) for f in entry.frame_ids)
        size = self._size(names)
        return Video(
            entry.id,
            entry.frame_ids,
            size,
            expressions,
            partial(_read_frame, self.root, names, size),
            self._frames_fingerprint(entry),
        )

    def label_maps(self, video: Video) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids, read-only.

        Raises:
            InputError: A file is missing, damaged, of another size than the frames, or holds no ids.
        """
        labels = np.empty((len(video), *video.size), np.uint8)
        for i in range(len(video)):
            labels[i] = self.label_map(video, i)
        labels.flags.writeable = False
        return labels

    def label_map(self, video: Video, frame: int) -> NDArray[np.uint8]:
        """Return (H, W) uint8 object ids of one frame; see :meth:`label_maps`."""
        return read_label_map(self.root, self.label_name(video.id, video.frame_ids[frame]), video.size)

    def labels_fingerprint(self, video: Video) -> str:
        """Return the SHA-256 over names, sizes and times of the files of a video's label maps."""
        files = _files(self.root / self.split / "Annotations" / video.id)
        listed = [f"{f}.png {files.get(f'{f}.png')}" for f in video.frame_ids]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()

    def fingerprint(self) -> str:
        """Return the SHA-256 of the metadata file."""
        return hashlib.sha256(self._content).hexdigest()

    def _frames_fingerprint(self, entry: Entry) -> str:
        """Return the SHA-256 over the names and sizes of the files of a video's listed frames."""
        files = _files(self.root / self.split / "JPEGImages" / entry.id)
        sizes = {name: size for name, (size, _) in files.items()}
        listed = [f"{f}.jpg {sizes.get(f'{f}.jpg')}" for f in entry.frame_ids]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()

    def _size(self, names: Sequence[str]) -> tuple[int, int]:
        """Return the first frame's size; where that file is bad the next one's, so that one frame fails."""
        first: InputError | None = None
        for name in names:
            try:
                return frame_size(self.root, name)
            except InputError as error:
                first = first or error
        assert first is not None
        raise first


def parse_metadata(content: bytes, where: str) -> tuple[Entry, ...]:
    """Return the videos of a ``meta_expressions.json``, in the file's order.

    Args:
        content: The file's content.
        where: The file, for messages.

    Raises:
        InputError: It is no JSON, names something twice, or is not of the expected form.
    """
    videos = _mapping(_load_json(content, where).get("videos"), '"videos"', where)
    if not videos:
        raise InputError(f"{where} lists no video; is it the right file?")
    return tuple(_entry(video_id, value, where) for video_id, value in videos.items())


def _entry(video_id: str, value: Any, where: str) -> Entry:
    safe_id(video_id, what="video id", where=where)
    fields = _mapping(value, f"video {video_id!r}", where)
    frames = fields.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(f, str) for f in frames):
        raise InputError(f'{where}: "frames" of video {video_id!r} must be a list of frame names, not empty.')
    for frame in frames:
        safe_id(frame, what="frame name", where=where)
    if len(set(frames)) != len(frames):
        twice = next(f for f in frames if frames.count(f) > 1)
        raise InputError(f"{where} lists frame {twice!r} of video {video_id!r} twice; list it once.")
    listed = _mapping(fields.get("expressions"), f'"expressions" of video {video_id!r}', where)
    sentences = [_sentence(video_id, expression_id, v, where) for expression_id, v in listed.items()]
    return Entry(
        video_id,
        tuple(sorted(frames, key=natural_key)),
        tuple(sorted(sentences, key=lambda s: natural_key(s.id))),
    )


def _sentence(video_id: str, expression_id: str, value: Any, where: str) -> Sentence:
    safe_id(expression_id, what="expression id", where=where)
    name = f"expression {expression_id!r} of video {video_id!r}"
    fields = _mapping(value, name, where)
    text, object_id = fields.get("exp"), fields.get("obj_id")
    if not isinstance(text, str):
        raise InputError(f'{where}: {name} has no "exp" with a sentence.')
    # Some copies write the number without quotes; true is an int in Python and no id.
    if isinstance(object_id, int) and not isinstance(object_id, bool):
        object_id = str(object_id)
    if object_id is not None and not isinstance(object_id, str):
        raise InputError(f'{where}: "obj_id" of {name} is {object_id!r}; one id such as "1" is expected.')
    return Sentence(expression_id, text, object_id)


def _mapping(value: Any, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {name} must be an object {{…}}; {_told(value)} was found.")
    return value


def _told(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _load_json(content: bytes, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=partial(_unique, where))
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 (byte {error.start}); save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} is broken JSON at line {error.lineno}, column {error.colno} ({error.msg}); copy it "
            "again."
        ) from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply to be the expected file.") from None
    return _mapping(value, "the file", where)


def _unique(where: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise InputError(f"{where} holds the key {key!r} twice in one object; keep one of them.")
        out[key] = value
    return out


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the last change, in nanoseconds, of a folder's files."""
    try:
        with os.scandir(folder) as files:
            found = {f.name: f.stat() for f in files if f.is_file()}
    except OSError:
        return {}
    return {name: (state.st_size, state.st_mtime_ns) for name, state in found.items()}


def _read_frame(root: Path, names: Sequence[str], size: tuple[int, int], i: int) -> ImageArray:
    return read_frame(root, names[i], size)
