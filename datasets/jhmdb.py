"""JHMDB-Sentences: one sentence about the actor of each of 928 clips, scored in three frames a clip.

The three frames are a list that MTTR published, since they were chosen at random. A clip is a video of these frames;
``--set dataset.frames=all`` shows the method the whole clip up to the last of them, and only the three count.

Source: the authors' layout as MTTR's ``datasets/jhmdb_sentences`` reads it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from refseg.bench.errors import DataError, Fault, InputError, unknown_name
from refseg.bench.layouts.names import safe_id
from refseg.bench.options import parse_options
from refseg.bench.parsing import parse_json
from refseg.bench.types import BoolArray, DatasetRequest, Expression, GroundTruth, ImageArray, Video
from refseg.datasets.cards.a2d import JHMDB
from refseg.datasets.files import digest_of, file_bytes, read_rows
from refseg.datasets.images import frame_size, read_frame
from refseg.datasets.videos import LazyVideos, missing, require

CARDS = {JHMDB.name: JHMDB}
SENTENCES = "jhmdb_annotation.txt"
PINNED = "jhmdb_sentences_samples_metadata.json"
EXPRESSION, OBJECT = "0", "1"
"""Ids of a clip's only sentence and of its only actor."""

_MEND = "copy it again from the dataset's source"


@dataclass(frozen=True)
class JhmdbOptions:
    """Options of ``--set dataset.KEY=VALUE``; the card says what they do."""

    frames: Literal["labelled", "all"] = "labelled"


@dataclass(frozen=True)
class Clip:
    """One clip: its folder's two names, its sentence and the numbers of its scored frames, from 1."""

    action: str
    id: str
    sentence: str
    scored: tuple[int, ...]

    def frame_name(self, number: int) -> str:
        """Return a frame's path relative to the root."""
        return f"Rename_Images/{self.action}/{self.id}/{number:05d}.png"

    @property
    def mask_name(self) -> str:
        """Path of the clip's masks relative to the root."""
        return f"puppet_mask/{self.action}/{self.id}/puppet_mask.mat"


class JhmdbSentences:
    """The test split; see :func:`build`."""

    def __init__(
        self, root: Path, split: str, clips: Sequence[Clip], *, frames: str, fingerprint: str
    ) -> None:
        self.info = JHMDB.info(split, fingerprint=fingerprint)
        self._root, self._all = root, frames == "all"
        self._clips = {c.id: c for c in clips}
        self._videos = LazyVideos(list(self._clips), self._video)

    def videos(self) -> Sequence[Video]:
        """Return the clips in the sentences' order; one header a clip is read when it is asked for.

        Raises:
            DataError: (when a clip is asked for) Its first frame cannot be opened.
        """
        return self._videos

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return the actor's masks; frames that are not scored are void in whole.

        Raises:
            DataError: The file of masks is missing, damaged or ends before a scored frame.
            InputError: The clip or the sentence is unknown.
        """
        clip = self._clip(video_id)
        if expression_id != EXPRESSION:
            raise unknown_name(f"expression of video {video_id}", expression_id, [EXPRESSION])
        masks = self._masks(clip)
        numbers = self._shown(clip)
        out = np.zeros((len(numbers), *masks.shape[1:]), bool)
        void = np.ones_like(out)
        for i, number in enumerate(numbers):
            if number in clip.scored:
                out[i], void[i] = masks[number - 1], False
        return GroundTruth(out, void if void.any() else None)

    def content(self, video: Video) -> str:
        """Return the hash of a clip's frames and of its masks' file."""
        name = self._clip(video.id).mask_name
        return digest_of([video.fingerprint, name, file_bytes(self._root / name)])

    def video_faults(self, video_id: str, *, quick: bool) -> Iterator[Fault]:
        """Yield what is wrong with a clip's frames and masks; ``quick`` sees headers and whether files are there."""
        clip = self._clip(video_id)
        size = frame_size(self._root, clip.frame_name(self._shown(clip)[0]))
        for number in self._shown(clip):
            name = clip.frame_name(number)
            try:
                if not quick:
                    read_frame(self._root, name, size, any_mode=True)
                elif frame_size(self._root, name) != size:
                    yield Fault(
                        "size",
                        name,
                        f"{name} in {self._root} is of another size than the clip's first; {_MEND}.",
                    )
            except DataError as error:
                yield error.fault
        if quick:
            if not (self._root / clip.mask_name).is_file():
                yield missing(self._root, clip.mask_name)
            return
        try:
            masks = self._masks(clip)
        except DataError as error:
            yield error.fault
            return
        for number in clip.scored:
            if not masks[number - 1].any():
                text = f"{clip.mask_name} in {self._root} has no pixel in frame {number}, which is scored; {_MEND}."
                yield Fault("truth", clip.mask_name, text)

    def _video(self, video_id: str) -> Video:
        clip = self._clip(video_id)
        numbers = self._shown(clip)
        names = [clip.frame_name(n) for n in numbers]
        size = frame_size(self._root, names[0])
        return Video(
            clip.id,
            tuple(f"{n:05d}" for n in numbers),
            size,
            (Expression(EXPRESSION, clip.sentence, (OBJECT,)),),
            partial(_read_frame, self._root, names, size),
            digest_of([[n, file_bytes(self._root / n)] for n in names]),
        )

    def _shown(self, clip: Clip) -> list[int]:
        """Return the numbers of the frames that a method is shown, from 1."""
        return list(range(1, clip.scored[-1] + 1)) if self._all else list(clip.scored)

    def _masks(self, clip: Clip) -> BoolArray:
        """Return (T, H, W) masks of all labelled frames of a clip."""
        masks = read_puppet_masks(self._root, clip.mask_name)
        if len(masks) < clip.scored[-1]:
            last = clip.scored[-1]
            text = f"{clip.mask_name} in {self._root} ends at frame {len(masks)}; frame {last} is scored: {_MEND}."
            raise DataError(Fault("truth", clip.mask_name, text))
        size = frame_size(self._root, clip.frame_name(clip.scored[0]))
        if masks.shape[1:] != size:
            text = f"{clip.mask_name} in {self._root} holds masks of {masks.shape[1:]}, its frames are {size}; {_MEND}."
            raise DataError(Fault("size", clip.mask_name, text))
        return masks

    def _clip(self, video_id: str) -> Clip:
        if video_id not in self._clips:
            raise InputError(f"jhmdb has no video {video_id!r}; ids are the names of J-HMDB's folders.")
        return self._clips[video_id]


def build(request: DatasetRequest) -> JhmdbSentences:
    """Open JHMDB-Sentences; only its two lists are read.

    Raises:
        InputError: The split or an option is unknown, the root is not set or holds something else.
        DataError: A list is wrong.
    """
    options = parse_options(JhmdbOptions, request.options, owner="dataset jhmdb")
    split = JHMDB.split(request.split)
    root = JHMDB.root(request, split)
    if not (root / PINNED).exists():
        text = f"{PINNED} is missing in {root}; it is published at {JHMDB.source[-1]}. jhmdb is expected as"
        raise InputError(f"{text}\n{JHMDB.drawing(split, root)}")
    require(JHMDB, request, split, SENTENCES, "Rename_Images", "puppet_mask")
    sentences, pinned = _sentences(request, root), _pinned(request, root)
    for video_id in sorted(sentences.keys() ^ pinned.keys()):
        there, absent = (SENTENCES, PINNED) if video_id in sentences else (PINNED, SENTENCES)
        request.fault(
            Fault("id", there, f"{there} in {root} has the clip {video_id!r}, {absent} has it not.")
        )
    clips = [
        Clip(pinned[v][0], v, text, tuple(sorted(pinned[v][1])))
        for v, text in sentences.items()
        if v in pinned
    ]
    if not clips:
        raise InputError(
            f"{SENTENCES} and {PINNED} in {root} have no clip in common; are they of one dataset?"
        )
    digest = digest_of([options.frames, [[c.action, c.id, c.sentence, c.scored] for c in clips]])
    return JhmdbSentences(root, split, clips, frames=options.frames, fingerprint=digest)


def read_puppet_masks(root: Path, name: str) -> BoolArray:
    """Return the (T, H, W) masks of a clip from MATLAB's (H, W, T) ``part_mask``.

    Raises:
        DataError: The file is missing, no MATLAB file or of another form.
    """
    import scipy.io

    kind: Literal["missing", "damaged", "schema"] = "schema"
    try:
        masks = np.asarray(
            scipy.io.loadmat(str(root / name), appendmat=False, variable_names=["part_mask"])["part_mask"]
        )
        if masks.ndim == 3 and masks.dtype.kind in "uifb":
            return np.ascontiguousarray(np.moveaxis(masks, 2, 0) != 0)
        found = f"its part_mask is {masks.shape} {masks.dtype}"
    except FileNotFoundError:
        kind, found = "missing", "there is no such file"
    except KeyError:
        found = "it has no part_mask"
    except (OSError, ValueError, TypeError, NotImplementedError, IndexError, EOFError, zlib.error) as error:
        kind, found = "damaged", f"{type(error).__name__}: {error}"
    text = f"{name} in {root} holds no masks (height, width, frames): {found}; {_MEND}."
    raise DataError(Fault(kind, name, text))


def _sentences(request: DatasetRequest, root: Path) -> dict[str, str]:
    """Return clip -> sentence; the first line names the columns."""
    out: dict[str, str] = {}
    for number, row in enumerate(read_rows(root, SENTENCES)[1:], 2):
        if len(row) != 2:
            text = (
                f"{SENTENCES} in {root}: line {number} must be video_id,sentence; it has {len(row)} columns."
            )
            request.fault(Fault("schema", SENTENCES, text))
        elif row[0] in out:
            text = f"{SENTENCES} in {root}: line {number} is a second sentence about {row[0]!r}; the first one counts."
            request.fault(Fault("duplicate", SENTENCES, text))
        else:
            out[safe_id(row[0], what="video id", where=str(root / SENTENCES))] = " ".join(row[1].split())
    return out


def _pinned(request: DatasetRequest, root: Path) -> dict[str, tuple[str, set[int]]]:
    """Return clip -> (action, numbers of the scored frames)."""
    try:
        rows = parse_json((root / PINNED).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{root / PINNED} cannot be read as JSON ({error}); copy it again from MTTR."
        ) from None
    out: dict[str, tuple[str, set[int]]] = {}
    for row in rows if isinstance(rows, list) else [rows]:
        sample = _sample(row)
        if sample is None:
            text = f"{PINNED} in {root} must list [video, path of the frame, …], e.g. …/<action>/<video>/00002.png; "
            request.fault(Fault("schema", PINNED, f"{text}{str(row)[:120]!r} was found."))
            continue
        action, video_id, number = sample
        for part in (action, video_id):
            safe_id(part, what="folder", where=str(root / PINNED))
        numbers = out.setdefault(video_id, (action, set()))[1]
        if number in numbers:
            text = f"{PINNED} in {root} lists frame {number} of {video_id} twice."
            request.fault(Fault("duplicate", PINNED, text))
        numbers.add(number)
    return out


def _sample(row: Any) -> tuple[str, str, int] | None:
    """Return (action, clip, number of the frame) of a row of MTTR's list."""
    if not isinstance(row, list) or len(row) < 2 or not all(isinstance(v, str) for v in row[:2]):
        return None
    path = PurePosixPath(row[1])
    number = path.stem if path.stem.isascii() and path.stem.isdecimal() else "0"
    if len(path.parts) < 3 or path.parts[-2] != row[0] or int(number) < 1:
        return None
    return path.parts[-3], path.parts[-2], int(number)


def _read_frame(root: Path, names: Sequence[str], size: tuple[int, int], i: int) -> ImageArray:
    return read_frame(root, names[i], size, any_mode=True)
