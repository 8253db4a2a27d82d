"""The prediction store: one file per (video, expression) in a run folder, whole or absent.

    RUN/run.json                                  what made it (see refseg.bench.provenance)
    RUN/result.json                               its scores
    RUN/predictions/<video>/<expression>.json     COCO compressed RLE per frame, the unit of resume

Names of videos and expressions are percent-encoded (:func:`refseg.bench.atomic.safe_name`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from refseg.bench.atomic import TEMPORARY, safe_name, sweep, write_bytes, write_json
from refseg.bench.errors import InputError
from refseg.bench.locks import LOCK, locked
from refseg.bench.merge import merge_groups, object_number, won_pixels
from refseg.bench.parsing import parse_json
from refseg.bench.run_lengths import fill
from refseg.bench.types import BoolArray, Expression, FramePrediction, Video

if TYPE_CHECKING:
    from refseg.bench.scoring.frames import Frames

FORMAT = "refseg-prediction-1"
_HEAD = b'{"format": "refseg-prediction'
RECORD = "run.json"
"""Name of a run's record."""

_OWN = (RECORD, "result.json", "index.html")


class DamagedPredictionError(InputError):
    """A stored file is truncated or does not belong to what it is read for."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; the `bench run` that made it makes it anew.")
        self.what = what


@dataclass(frozen=True)
class StoredPrediction:
    """The content of one file: the masks of one expression through its video.

    Attributes:
        key: Key of the run that made it.
        video: Video id.
        expression: Expression id.
        size: (H, W).
        frames: Frame names, in order.
        masks: COCO compressed RLE ``counts`` per frame.
        scores: The method's own confidence per frame.
        merged: RLE per frame of the pixels won when the annotator's objects were merged; else None.
        extras: What else the method found, by frame name; frames without are left out.
    """

    key: str
    video: str
    expression: str
    size: tuple[int, int]
    frames: tuple[str, ...]
    masks: tuple[str, ...]
    scores: tuple[float, ...]
    merged: tuple[str, ...] | None = None
    extras: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def decode(self, *, merged: bool = False) -> BoolArray:
        """Return the (T, H, W) masks, each alone or as merged."""
        rle = self.merged if merged else self.masks
        assert rle is not None
        height, width = self.size
        if not all(fill(counts, height * width) for counts in rle):
            raise self.damaged(ValueError(f"no run lengths of {width}x{height} pixels"))
        try:
            stacked = coco.decode([{"size": [height, width], "counts": c.encode("ascii")} for c in rle])
        except ValueError as error:
            raise self.damaged(error) from None
        out: BoolArray = np.moveaxis(stacked, 2, 0).astype(bool)
        return out

    def damaged(self, error: ValueError) -> DamagedPredictionError:
        """Return the error for run lengths that are none."""
        return DamagedPredictionError(f"The masks of {self.video}/{self.expression} are damaged ({error})")


class Recorder:
    """Encodes a video's predictions frame by frame; memory holds run lengths only."""

    def __init__(self, video: Video, expressions: Sequence[Expression], key: str) -> None:
        self._video, self._expressions, self._key = video, expressions, video_key(key, video)
        row = {e.id: k for k, e in enumerate(expressions)}
        groups = [[row.get(e.id) for e in g.expressions] for g in merge_groups(video)]
        self._groups: list[list[int]] = [[r for r in g if r is not None] for g in groups if None not in g]
        self._masks: list[list[str]] = [[] for _ in expressions]
        self._merged: list[list[str]] = [[] for _ in expressions]
        self._scores: list[list[float]] = [[] for _ in expressions]
        self._extras: list[dict[str, Mapping[str, Any]]] = [{} for _ in expressions]

    def add(self, prediction: FramePrediction) -> None:
        """Take the next frame."""
        for k, counts in enumerate(encode(prediction.masks)):
            self._masks[k].append(counts)
            self._scores[k].append(float(prediction.scores[k]))
        for own, extra in zip(self._extras, prediction.extras or (), strict=False):
            if extra:
                own[self._video.frame_ids[prediction.frame]] = dict(extra)
        for rows in self._groups:
            for k, counts in zip(rows, encode(won_pixels(prediction, rows)), strict=True):
                self._merged[k].append(counts)

    def finished(self) -> Iterator[StoredPrediction]:
        """Return what is to be stored, one per expression."""
        merged_rows = {k for rows in self._groups for k in rows}
        for k, expression in enumerate(self._expressions):
            yield StoredPrediction(
                key=self._key,
                video=self._video.id,
                expression=expression.id,
                size=self._video.size,
                frames=self._video.frame_ids,
                masks=tuple(self._masks[k]),
                scores=tuple(self._scores[k]),
                merged=tuple(self._merged[k]) if k in merged_rows else None,
                extras=self._extras[k],
            )


class RunFolder:
    """A run's files. Reading needs nothing; :meth:`locked` guards writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one writer; the system frees it however the process ends.

        Raises:
            InputError: Another run holds it, it cannot be written, or it is a folder of something else.
        """
        self._refuse_foreign()
        with locked(self.path, "run"):
            self._sweep()
            yield

    def content(self, path: Path) -> bytes:
        """Return what stands at a path of the folder; a run in a zip overrides it."""
        return path.read_bytes()

    def read_record(self) -> dict[str, Any] | None:
        """Return run.json, or None where the folder holds none."""
        path = self.path / RECORD
        try:
            record = parse_json(self.content(path))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}; give --fresh or another --out.") from None
        if not isinstance(record, dict) or "key" not in record:
            raise InputError(f"{path} is not a run's record; give another --out.")
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.path / RECORD, record, indent=2)

    def prediction_path(self, video_id: str, expression_id: str) -> Path:
        """Return where an expression's masks are."""
        return self.path / "predictions" / safe_name(video_id) / f"{safe_name(expression_id)}.json"

    def write(self, prediction: StoredPrediction) -> None:
        """Write one file atomically."""
        path = self.prediction_path(prediction.video, prediction.expression)
        content = _content(prediction)
        whole = {"format": FORMAT, **content, "check": _checksum(content)}
        write_bytes(path, json.dumps(whole, allow_nan=False).encode("ascii"))

    def read(self, video_id: str, expression_id: str) -> StoredPrediction | None:
        """Return a stored prediction, or None where there is none.

        Raises:
            DamagedPredictionError: The file is there and is not whole.
        """
        path = self.prediction_path(video_id, expression_id)
        try:
            found = _parsed(parse_json(self.content(path)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            what = type(error).__name__
            raise DamagedPredictionError(f"{path} is truncated or damaged ({what})") from None
        if (found.video, found.expression) != (video_id, expression_id):
            raise DamagedPredictionError(f"{path} holds {found.video}/{found.expression}")
        return found

    def clear(self) -> None:
        """Delete what a run wrote here, and nothing else."""
        for path in self._predictions():
            with path.open("rb") as file:
                head = file.read(len(_HEAD))
            if head == _HEAD or not head:
                path.unlink()
        self._remove_empty_folders()
        for name in _OWN:
            (self.path / name).unlink(missing_ok=True)

    def _predictions(self) -> Iterable[Path]:
        return [p for p in self.path.glob("predictions/*/*.json") if p.is_file() and not p.is_symlink()]

    def _remove_empty_folders(self) -> None:
        for folder in [*self.path.glob("predictions/*/"), self.path / "predictions"]:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _sweep(self) -> None:
        """Remove unfinished files that a killed run left."""
        sweep(self.path)
        sweep(self.path, "predictions/*/")

    def _refuse_foreign(self) -> None:
        known = (LOCK, RECORD)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file; --out must name a folder.")
        if self.path.is_dir():
            names = [p.name for p in self.path.iterdir() if not p.name.startswith(TEMPORARY)]
            if names and not any(n in names for n in known):
                raise InputError(
                    f"{self.path} holds files and is no run folder ({names[0]} for instance); give another "
                    "--out."
                )


class SavedRun:
    """Predictions of a run folder, as protocols read them (:class:`refseg.bench.types.Predictions`)."""

    def __init__(self, folder: RunFolder, key: str) -> None:
        self._folder, self._key = folder, key

    def masks(self, video: Video, expression: Expression) -> BoolArray | None:
        """Return the (T, H, W) masks of one expression, or None where they are missing."""
        found = self._find(video, expression)
        return None if found is None else found.decode()

    def scores(self, video: Video, expression: Expression) -> NDArray[np.float32] | None:
        """Return the method's (T,) confidence in one expression's masks, or None where they are missing."""
        found = self._find(video, expression)
        return None if found is None else np.array(found.scores, np.float32)

    def extras(self, video: Video, expression: Expression) -> Mapping[str, Mapping[str, Any]]:
        """Return what else the method found for an expression, by frame name."""
        found = self._find(video, expression)
        return {} if found is None else found.extras

    def label_maps(self, video: Video, annotator: int) -> NDArray[np.uint8] | None:
        """Return (T, H, W) uint8 with one annotator's objects merged, or None where they are missing."""
        group = next((g for g in merge_groups(video) if g.annotator == annotator), None)
        if group is None:
            return None
        labels = np.zeros((len(video), *video.size), np.uint8)
        for expression in group.expressions:
            found = self._find(video, expression)
            if found is None or found.merged is None:
                return None
            labels[found.decode(merged=True)] = object_number(expression)
        return labels

    def mask_frames(self, video: Video, expression: Expression) -> Frames | None:
        """Return the masks of one expression frame by frame, or None where they are missing."""
        found = self._find(video, expression)
        return None if found is None else _packed(found, found.masks)

    def label_frames(self, video: Video, annotator: int) -> Frames | None:
        """Return one annotator's merged objects frame by frame, or None where they are missing."""
        from refseg.bench.scoring.packed import merged

        group = next((g for g in merge_groups(video) if g.annotator == annotator), None)
        if group is None:
            return None
        objects: list[Frames] = []
        for expression in group.expressions:
            found = self._find(video, expression)
            if found is None or found.merged is None:
                return None
            objects.append(_packed(found, found.merged))
        ids = [object_number(e) for e in group.expressions]
        return lambda frame: merged([masks(frame) for masks in objects], ids, video.size)

    def _find(self, video: Video, expression: Expression) -> StoredPrediction | None:
        found = self._folder.read(video.id, expression.id)
        if found is None or found.key != video_key(self._key, video):
            return None
        if found.size != video.size or found.frames != video.frame_ids:
            raise InputError(
                f"The stored masks of {video.id}/{expression.id} are {len(found.frames)} frames of "
                f"{found.size}, but the dataset has {len(video)} of {video.size}; is it another version? Run "
                "with --fresh."
            )
        return found


def _packed(stored: StoredPrediction, rle: Sequence[str]) -> Frames:
    # Compiled code is not needed to predict, so it is imported where masks are scored.
    from refseg.bench.scoring.packed import Layers, pack_rle

    def frame(i: int) -> Layers:
        try:
            return pack_rle(rle[i].encode("ascii"), stored.size)
        except ValueError as error:
            raise stored.damaged(error) from None

    return frame


def video_key(key: str, video: Video) -> str:
    """Return the key of one video's predictions: the run's, and what the video's frames are."""
    if not video.fingerprint:
        return key
    return hashlib.sha256(f"{key}/{video.fingerprint}".encode()).hexdigest()


def _parsed(content: dict[str, Any]) -> StoredPrediction:
    """Return a file's content; raises ValueError, TypeError or KeyError where it is not whole."""
    height, width = content["size"]
    merged = content["merged"]
    found = StoredPrediction(
        key=str(content["key"]),
        video=str(content["video"]),
        expression=str(content["expression"]),
        size=(int(height), int(width)),
        frames=tuple(map(str, content["frames"])),
        masks=tuple(map(str, content["masks"])),
        scores=tuple(map(float, content["scores"])),
        merged=None if merged is None else tuple(map(str, merged)),
        extras={str(f): dict(e) for f, e in dict(content.get("extras", {})).items()},
    )
    # A run-length code that lost its tail still decodes, to a wrong mask, so parsing alone proves nothing.
    if content["check"] != _checksum(_content(found)):
        raise ValueError("its checksum differs")
    lengths = {len(found.frames), len(found.masks), len(found.scores), len(found.merged or found.masks)}
    if content["format"] != FORMAT or len(lengths) != 1:
        raise ValueError("not whole")
    return found


def _content(prediction: StoredPrediction) -> dict[str, Any]:
    """Return what is written; extras only where there are some, so that files of methods without stay as they were."""
    content = asdict(prediction)
    if not prediction.extras:
        del content["extras"]
    return content


def encode(masks: BoolArray) -> list[str]:
    """Return the COCO compressed RLE ``counts`` of (K, H, W) bool masks."""
    rles = coco.encode(np.asfortranarray(np.moveaxis(masks, 0, 2).astype(np.uint8)))
    return [r["counts"].decode("ascii") for r in rles]


def missing_expressions(folder: RunFolder, key: str, video: Video) -> tuple[list[Expression], list[str]]:
    """Return the expressions of a video still to be predicted, and notes on files that cannot be reused.

    Where objects are merged, an annotator's expressions belong together: if one is missing, all are.
    """
    missing, notes = set(), []
    for expression in video.expressions:
        try:
            found = folder.read(video.id, expression.id)
        except DamagedPredictionError as error:
            notes.append(f"{error.what}; it is computed again.")
            found = None
        if found is not None and found.key != video_key(key, video):
            notes.append(
                f"{video.id}/{expression.id} was made by another configuration or from other frames; computed again."
            )
            found = None
        if found is None or found.frames != video.frame_ids or found.size != video.size:
            missing.add(expression.id)
    for group in merge_groups(video):
        ids = {e.id for e in group.expressions}
        if ids & missing:
            missing |= ids
    return [e for e in video.expressions if e.id in missing], notes


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode("ascii"))
