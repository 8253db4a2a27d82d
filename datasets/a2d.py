"""A2D-Sentences: sentences about actors in short clips, with masks in three to five frames of a clip.

A clip is a video of its labelled frames; ``--set dataset.frames=all`` shows the method the whole clip up to its
last labelled frame, and only the labelled ones count. Masks are HDF5 files, one a frame, transposed as MATLAB writes
them.

Source: the authors' layout as MTTR's ``datasets/a2d_sentences`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from refseg.bench.errors import DataError, Fault, FaultKind, InputError, unknown_name
from refseg.bench.layouts.names import safe_id
from refseg.bench.options import parse_options
from refseg.bench.types import BoolArray, DatasetRequest, Expression, GroundTruth, ImageArray, Video
from refseg.datasets.cards.a2d import A2D
from refseg.datasets.clips import ClipReader
from refseg.datasets.files import digest_of, file_bytes, read_rows
from refseg.datasets.index import indexed
from refseg.datasets.videos import LazyVideos, missing, require

CARDS = {A2D.name: A2D}
VIDEOSET = "Release/videoset.csv"
CLIPS = ("Release/clips320H", "Release/CLIPS320")
SENTENCES = "text_annotations/a2d_annotation.txt"
MISSED = "text_annotations/a2d_missed_videos.txt"
MASKS = "text_annotations/a2d_annotation_with_instances"
SUBSETS = {"0": "train", "1": "test"}
"""Values of the last column of ``videoset.csv``."""

PUBLISHED = {VIDEOSET: 3782, SENTENCES: 6655}
"""Rows of the published files, which MTTR's reader asserts."""

MOST_PIXELS = 2**28
"""Larger arrays of masks are refused unread: a small file may say that it holds any size."""

_COLUMNS = 9
_COPIED = "1 (copy)"
_REVISION = 1


@dataclass(frozen=True)
class A2dOptions:
    """Options of ``--set dataset.KEY=VALUE``; the card says what they do."""

    frames: Literal["labelled", "all"] = "labelled"


@dataclass(frozen=True)
class Clip:
    """One clip with its sentences and its labelled frames.

    Attributes:
        id: YouTube id.
        sentences: Instance -> sentence.
        labels: Number of the frame, from 1 -> the instances that its file holds.
        size: (H, W) of the masks.
    """

    id: str
    sentences: Mapping[int, str]
    labels: Mapping[int, Sequence[int]]
    size: tuple[int, int]


class A2dSentences:
    """A split; see :func:`build`."""

    def __init__(
        self, root: Path, split: str, clips: Sequence[Clip], *, folder: str, frames: str, digest: str
    ) -> None:
        self.info = A2D.info(split, fingerprint=digest)
        self._root, self._folder, self._all = root, folder, frames == "all"
        self._clips = {c.id: c for c in clips}
        self._reader = ClipReader()
        self._videos = LazyVideos(list(self._clips), self._video)

    def videos(self) -> Sequence[Video]:
        """Return the clips in ``videoset.csv``'s order; none is opened."""
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return an instance's masks; frames in which it has no label are void in whole.

        Raises:
            DataError: A file of masks is missing, damaged or of another form.
            InputError: The clip or the sentence is unknown.
        """
        clip = self._clip(video_id)
        if expression_id not in {str(i) for i in clip.sentences}:
            raise unknown_name(f"expression of video {video_id}", expression_id, map(str, clip.sentences))
        numbers = self._shown(clip)
        masks = np.zeros((len(numbers), *clip.size), bool)
        void = np.ones_like(masks)
        for i, number in enumerate(numbers):
            if int(expression_id) in clip.labels.get(number, ()):
                masks[i] = self._masks(clip, number)[int(expression_id)]
                void[i] = False
        return GroundTruth(masks, void if void.any() else None)

    def content(self, video: Video) -> str:
        """Return the hash of a clip's file and of its masks' files."""
        clip = self._clip(video.id)
        names = [mask_name(clip.id, n) for n in clip.labels]
        return digest_of([video.fingerprint, [[n, file_bytes(self._root / n)] for n in names]])

    def video_faults(self, video_id: str, *, quick: bool) -> Iterator[Fault]:
        """Yield what is wrong with a clip and its masks; ``quick`` sees whether the files are there."""
        clip, name = self._clip(video_id), f"{self._folder}/{video_id}.mp4"
        if quick:
            if not (self._root / name).is_file():
                yield missing(self._root, name)
            return
        for number in self._shown(clip):
            try:
                self._reader.read(self._root, name, number - 1, clip.size)
            except DataError as error:
                yield error.fault
                break
        for number in clip.labels:
            try:
                masks = self._masks(clip, number)
            except DataError as error:
                yield error.fault
                continue
            for instance in sorted(clip.sentences.keys() & masks.keys()):
                if not masks[instance].any():
                    file = mask_name(clip.id, number)
                    text = f"Instance {instance} in {file} has no pixel; copy it again from the dataset's source."
                    yield Fault("truth", file, text)

    def _video(self, video_id: str) -> Video:
        clip = self._clip(video_id)
        numbers = self._shown(clip)
        name = f"{self._folder}/{clip.id}.mp4"
        return Video(
            clip.id,
            tuple(f"{n:05d}" for n in numbers),
            clip.size,
            tuple(Expression(str(i), text, (str(i),)) for i, text in clip.sentences.items()),
            partial(_read_frame, self._reader, self._root, name, numbers, clip.size),
            digest_of([name, file_bytes(self._root / name), numbers]),
        )

    def _shown(self, clip: Clip) -> list[int]:
        """Return the numbers of the frames that a method is shown, from 1."""
        if self._all:
            return list(range(1, max(clip.labels) + 1))
        return sorted(clip.labels)

    def _masks(self, clip: Clip, number: int) -> Mapping[int, BoolArray]:
        name = mask_name(clip.id, number)
        masks = read_masks(self._root, name)
        wrong = next((m.shape for m in masks.values() if m.shape != clip.size), None)
        if wrong is not None:
            text = f"{name} in {self._root} holds masks of {wrong}, the clip's others are {clip.size} (height, width)"
            raise DataError(Fault("size", name, f"{text}; copy it again from the dataset's source."))
        return masks

    def _clip(self, video_id: str) -> Clip:
        if video_id not in self._clips:
            raise InputError(f"a2d {self.info.split} has no video {video_id!r} with a sentence.")
        return self._clips[video_id]


def build(request: DatasetRequest) -> A2dSentences:
    """Open a split of A2D-Sentences.

    The first opening looks into every file of masks for its instances; later ones read an index.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else.
        DataError: A file of the metadata is wrong, or a clip has no masks.
    """
    options = parse_options(A2dOptions, request.options, owner="dataset a2d")
    split = A2D.split(request.split)
    root = A2D.root(request, split)
    folder = next((c for c in CLIPS if (root / c).is_dir()), CLIPS[0])
    require(A2D, request, split, VIDEOSET, SENTENCES, MISSED, MASKS, folder)
    sentences = _sentences(request, root, _videoset(request, root)[split])
    files = {v: sorted((root / MASKS / v).glob("*.h5")) for v in sentences}
    labels = _labels(root, split, files)
    clips = []
    for video_id, told in sentences.items():
        clip = _clip(request, root, video_id, told, labels.get(video_id, {}))
        clips += [clip] if clip is not None else []
    digest = digest_of(
        [options.frames, [[c.id, list(c.sentences.items()), list(c.labels.items())] for c in clips]]
    )
    return A2dSentences(root, split, clips, folder=folder, frames=options.frames, digest=digest)


def mask_name(video_id: str, number: int) -> str:
    """Return the path of a frame's masks, relative to the root."""
    return f"{MASKS}/{video_id}/{number:05d}.h5"


def read_masks(root: Path, name: str) -> dict[int, BoolArray]:
    """Return instance -> (H, W) mask of one frame; MATLAB's arrays are stored transposed.

    Raises:
        DataError: The file is missing, no HDF5 or of another form.
    """
    import h5py

    try:
        with h5py.File(root / name) as file:
            instances = np.asarray(file["instance"]).ravel()
            stored = file["reMask"]
            if stored.size > MOST_PIXELS:
                raise ValueError(f"reMask is {stored.shape}")
            masks = np.asarray(stored)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        kind: Literal["missing", "damaged"] = "damaged" if (root / name).exists() else "missing"
        text = f"{name} in {root} is {kind} or not as published ({error}); copy it again from the dataset's source."
        raise DataError(Fault(kind, name, text)) from None
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3 or len(masks) != len(instances):
        text = (
            f"{name} in {root} holds {len(instances)} instances and masks of shape {masks.shape}; (instances, width, "
            "height) is expected: copy it again from the dataset's source."
        )
        raise DataError(Fault("schema", name, text))
    return {int(i): m.T != 0 for i, m in zip(instances, masks, strict=True)}


def _videoset(request: DatasetRequest, root: Path) -> dict[str, list[str]]:
    """Return the clips of each split, in the file's order, without those that the authors left out."""
    rows = read_rows(root, VIDEOSET)
    _count_rows(request, VIDEOSET, len(rows))
    missed = {row[0] for row in read_rows(root, MISSED) if row}
    out: dict[str, list[str]] = {split: [] for split in SUBSETS.values()}
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if len(row) != _COLUMNS or row[-1].strip() not in SUBSETS:
            text = f"{VIDEOSET} in {root}: line {number} must have {_COLUMNS} columns, the last 0 (train) or 1 (test)."
            request.fault(Fault("schema", VIDEOSET, text))
            continue
        video_id = safe_id(row[0], what="video id", where=str(root / VIDEOSET))
        if video_id in seen:
            text = (
                f"{VIDEOSET} in {root}: line {number} is a second one about {video_id}; the first one counts."
            )
            request.fault(Fault("duplicate", VIDEOSET, text))
        elif video_id not in missed:
            out[SUBSETS[row[-1].strip()]].append(video_id)
        seen.add(video_id)
    return out


def _sentences(request: DatasetRequest, root: Path, videos: Sequence[str]) -> dict[str, dict[int, str]]:
    """Return the sentences of a split's clips by instance."""
    header, *rows = read_rows(root, SENTENCES) or [[]]
    if header[:2] != ["video_id", "instance_id"] or len(header) != 3:
        text = f"{SENTENCES} in {root} must begin with video_id, instance_id and the sentence's column, not {header}."
        raise DataError(Fault("schema", SENTENCES, text))
    _count_rows(request, SENTENCES, len(rows))
    out: dict[str, dict[int, str]] = {v: {} for v in videos}
    for number, row in enumerate(rows, 2):
        # One sentence of the published file belongs to a copy that its masks do not have; every reader leaves it out.
        if len(row) == 3 and (row[0] not in out or row[1].strip() == _COPIED):
            continue
        wrong = _add_sentence(out, row)
        if wrong:
            request.fault(Fault(wrong[0], SENTENCES, f"{SENTENCES} in {root}: line {number} {wrong[1]}"))
    return out


def _add_sentence(out: dict[str, dict[int, str]], row: Sequence[str]) -> tuple[FaultKind, str] | None:
    if len(row) != 3 or not row[1].strip().isdecimal():
        return "schema", "is not video_id,instance_id,sentence with a number as instance_id."
    video_id, instance, text = row[0], int(row[1]), " ".join(row[2].split())
    if instance in out[video_id]:
        return (
            "duplicate",
            f"is a second sentence about instance {instance} of {video_id}; the first one counts.",
        )
    out[video_id][instance] = text
    return None


def _labels(root: Path, split: str, files: Mapping[str, Sequence[Path]]) -> dict[str, dict[str, Any]]:
    """Return video -> number of frame -> ``{"instances", "size"}``, or ``{"fault"}`` where a file is not usable."""

    def make() -> dict[str, bytes]:
        found = {
            v: {p.stem: _look(root, f"{MASKS}/{v}/{p.name}") for p in paths} for v, paths in files.items()
        }
        return {"labels.json": json.dumps(found).encode("ascii")}

    listed = (p for paths in files.values() for p in paths)
    content = indexed(f"a2d-{split}", root, listed, "labels.json", make, revision=_REVISION)
    labels: dict[str, dict[str, Any]] = json.loads(content)
    return labels


def _look(root: Path, name: str) -> dict[str, Any]:
    try:
        masks = read_masks(root, name)
    except DataError as error:
        return {"fault": [error.fault.kind, error.fault.file, error.fault.text]}
    return {"instances": list(masks), "size": list(next(iter(masks.values())).shape) if masks else None}


def _clip(
    request: DatasetRequest,
    root: Path,
    video_id: str,
    sentences: Mapping[int, str],
    labels: Mapping[str, Any],
) -> Clip | None:
    """Return a clip with the sentences that some frame has a mask for, or None where there is none."""
    folder = f"{MASKS}/{video_id}"
    if not labels and sentences:
        text = f"{folder} in {root} holds no masks, though {SENTENCES} has sentences about it."
        request.fault(Fault("missing", folder, text))
    usable: dict[int, list[int]] = {}
    sizes = []
    for stem, label in labels.items():
        if "fault" in label:
            request.fault(Fault(*label["fault"]))
        elif not (stem.isascii() and stem.isdecimal() and int(stem) > 0 and stem == f"{int(stem):05d}"):
            text = f"{folder}/{stem}.h5 in {root} is not named by the number of its frame, as 00030.h5 is."
            request.fault(Fault("id", f"{folder}/{stem}.h5", text))
        elif label["instances"]:
            usable[int(stem)] = label["instances"]
            sizes.append(tuple(label["size"]))
    shown = {i for instances in usable.values() for i in instances}
    told = {i: text for i, text in sentences.items() if i in shown}
    return Clip(video_id, told, usable, sizes[0]) if told else None


def _count_rows(request: DatasetRequest, name: str, found: int) -> None:
    """Tell a check of another number of rows than the published file's; a part of the data may still be used."""
    if request.on_fault is not None and found != PUBLISHED[name]:
        request.fault(Fault("count", name, f"{name} has {found} rows; {PUBLISHED[name]} are published."))


def _read_frame(
    reader: ClipReader, root: Path, name: str, numbers: Sequence[int], size: tuple[int, int], i: int
) -> ImageArray:
    return reader.read(root, name, numbers[i] - 1, size, [n - 1 for n in numbers])
