"""The truth as scoring reads it: packed frame by frame, and kept on disk from run to run.

Label maps are decoded once and kept as runs of equal values in the user's cache folder, ``$REFSEG_CACHE`` or
``$XDG_CACHE_HOME/refseg`` (``REFSEG_CACHE=`` keeps nothing), in a folder named for the dataset's fingerprint. A file
is used only for label maps of the same names, sizes and times, and only where its checksum holds; any other is
made anew. Above 4 GiB in all, files that were not used for longest go first.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refseg.bench.atomic import safe_name, write_bytes
from refseg.bench.config import cache_folder
from refseg.bench.errors import InputError
from refseg.bench.layouts.png import VOID
from refseg.bench.scoring.frames import Frames, Runs, remembered
from refseg.bench.types import (
    Dataset,
    Expression,
    FramewiseDataset,
    GroundTruth,
    LabelledDataset,
    Video,
    framewise,
)

FORMAT = "refseg-truth-1"
MOST_BYTES = 4 << 30
_SUFFIX = ".runs"


@dataclass(frozen=True)
class Truth:
    """What is true of one expression.

    Attributes:
        frames: Packed label maps; 255 is void.
        ids: The ids in them that are its objects.
    """

    frames: Frames
    ids: tuple[int, ...]


def video_labels(dataset: Dataset, video: Video) -> Frames | None:
    """Return a video's label maps frame by frame; None where the dataset has no label maps."""
    by_frame = framewise(dataset)
    if by_frame is not None:
        return remembered(_kept_runs(dataset, by_frame, video))
    if isinstance(dataset, LabelledDataset):
        return remembered(Runs.of(dataset.label_maps(video.id)))
    return None


def expression_truths(dataset: Dataset, video: Video) -> list[Truth]:
    """Return the truth of each expression of a video; those of the same label maps share them.

    Raises:
        InputError: The labels are hidden.
    """
    by_frame = framewise(dataset)
    if by_frame is not None:
        frames = remembered(_kept_runs(dataset, by_frame, video))
        return [Truth(frames, by_frame.label_ids(video.id, e.id)) for e in video.expressions]
    return [Truth(remembered(_runs(dataset, video, e)), (1,)) for e in video.expressions]


def _runs(dataset: Dataset, video: Video, expression: Expression) -> Runs:
    truth = dataset.ground_truth(video.id, expression.id)
    if truth is None:
        raise InputError(
            f"The labels of {video.id}/{expression.id} are hidden; score a split with public labels."
        )
    expected = (len(video), *video.size)
    if truth.masks.shape != expected:
        raise InputError(
            f"The truth of {video.id}/{expression.id} has the shape {truth.masks.shape}; {expected} is expected: "
            "check the dataset."
        )
    return Runs.of(_as_labels(truth, i) for i in range(len(video)))


def _as_labels(truth: GroundTruth, frame: int) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = truth.masks[frame].astype(np.uint8)
    if truth.void is not None:
        labels[truth.void[frame]] = VOID
    return labels


def _kept_runs(dataset: Dataset, by_frame: FramewiseDataset, video: Video) -> Runs:
    info, folder = dataset.info, cache_folder()
    facts = [FORMAT, info.name, info.version, info.split, info.fingerprint, video.id, video.size]
    facts += [video.frame_ids, by_frame.truth_fingerprint(video.id)]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    path = None
    if folder is not None:
        name = safe_name(f"{info.name}-{info.split}-{info.fingerprint[:16]}")
        path = folder / "truth" / name / (safe_name(video.id) + _SUFFIX)
        kept = load_runs(path, key, video.size, len(video))
        if kept is not None:
            return kept
    runs = Runs.of(by_frame.label_map(video.id, i) for i in range(len(video)))
    if folder is not None and path is not None:
        # A cache that cannot be written costs time in the next run, and nothing else.
        with contextlib.suppress(InputError):
            _make_room(folder / "truth")
            write_bytes(path, dump_runs(runs, key))
    return runs


def dump_runs(runs: Runs, key: str) -> bytes:
    """Return the content of a file that keeps runs."""
    payload = runs.offsets.tobytes() + runs.starts.tobytes() + runs.values.tobytes()
    head = {"format": FORMAT, "key": key, "runs": len(runs.starts), "check": zlib.crc32(payload)}
    return json.dumps(head).encode("ascii") + b"\n" + payload


def load_runs(path: Path, key: str, size: tuple[int, int], frames: int) -> Runs | None:
    """Return the runs that a file keeps; None where it is not there, is another's or is damaged."""
    try:
        first, _, payload = path.read_bytes().partition(b"\n")
        head = json.loads(first)
        count = head["runs"]
        if head["format"] != FORMAT or head["key"] != key or zlib.crc32(payload) != head["check"]:
            return None
        offsets = np.frombuffer(payload, np.int64, frames + 1)
        starts = np.frombuffer(payload, np.uint32, count, offsets.nbytes)
        values = np.frombuffer(payload, np.uint8, count, offsets.nbytes + starts.nbytes)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if offsets[-1] != count:
        return None
    return Runs(size, offsets, starts, values)


@functools.cache
def _make_room(folder: Path) -> None:
    """Delete the files that were not used for longest, as long as there are too many; once a process."""
    with contextlib.suppress(OSError):
        files = [(path, path.stat()) for path in folder.glob(f"*/*{_SUFFIX}")]
        files.sort(key=lambda f: max(f[1].st_atime_ns, f[1].st_mtime_ns))
        total = sum(state.st_size for _, state in files)
        for path, state in files:
            if total <= MOST_BYTES:
                return
            path.unlink(missing_ok=True)
            total -= state.st_size
