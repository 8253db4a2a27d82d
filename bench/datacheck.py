"""Checks a copy of a dataset in full: counts, metadata, and every file of every video on all cores.

What was checked is remembered beside the user's cache, so that a run's record can say whether its frames and truth
are those that were checked (:func:`checked_before`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from refseg.bench import registry
from refseg.bench.atomic import safe_name, write_json
from refseg.bench.children import end_with_parent, starts_whole
from refseg.bench.config import cache_folder
from refseg.bench.errors import FAULT_KINDS, DataError, Fault, FaultKind, InputError
from refseg.bench.parsing import parse_json
from refseg.bench.progress import Progress, Silent
from refseg.bench.provenance import now
from refseg.bench.types import CheckableDataset, Dataset, DatasetInfo, DatasetRequest, Video

QUICK_THREADS = 16
"""How many folders are listed at once; the file system answers, not the processor."""


@dataclass
class Findings:
    """Faults, counted by kind; of each kind the first few are kept.

    Attributes:
        keep: How many of each kind are kept.
        counts: Kind -> how many.
        first: Kind -> the kept ones, in the order found.
    """

    keep: int
    counts: Counter[FaultKind] = field(default_factory=Counter)
    first: dict[FaultKind, list[Fault]] = field(default_factory=dict)

    def add(self, faults: Iterable[Fault]) -> None:
        """Take faults."""
        for fault in faults:
            self.counts[fault.kind] += 1
            if self.counts[fault.kind] <= self.keep:
                self.first.setdefault(fault.kind, []).append(fault)

    def as_json(self) -> dict[str, Any]:
        """Return ``{"faults": {kind: count}, "problems": [{"kind", "file", "text"}]}``, the kept ones by kind."""
        kinds = [k for k in FAULT_KINDS if self.counts[k]]
        return {
            "faults": {k: self.counts[k] for k in kinds},
            "problems": [asdict(fault) for k in kinds for fault in self.first[k]],
        }


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return a split's counts beside the published ones, and how many expressions have each attribute's values."""
    return _facts(dataset.info, list(dataset.videos()))


def check_dataset(
    request: DatasetRequest,
    *,
    quick: bool = False,
    keep: int = 10,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Verify a copy; return its description with ``faults`` (kind -> count) and the first ``problems`` of each kind.

    Args:
        request: The split; ``on_fault`` is set here.
        quick: Metadata, folder listings and headers only: seconds on the largest datasets.
        keep: How many faults of each kind are named; the rest is counted.
        workers: Processes of the full check; None: all usable cores, 1: this process.
        progress: Where it is shown, by videos.

    Raises:
        InputError: The copy cannot be opened at all.
    """
    findings = Findings(keep)
    dataset = registry.build_dataset(replace(request, on_fault=lambda fault: findings.add([fault])))
    count = len(dataset.videos())
    contents: dict[str, str] = {}
    videos: list[Video] = []
    title = f"{'looking at' if quick else 'reading'} {dataset.info.name} {dataset.info.split}"
    with (progress or Silent()).task(title, count, "videos") as task, _pool(dataset, quick, workers) as run:
        for checked in run(count):
            findings.add(checked.faults)
            if checked.video is not None:
                contents[checked.video.id] = checked.content
                videos.append(checked.video)
            task.advance()
    facts = _facts(dataset.info, videos) | {"videos": count}
    findings.add(_count_faults(facts))
    report = facts | {"quick": quick, "content": _digest(contents)} | findings.as_json()
    _remember(request, dataset.info, report, contents)
    return report


def content_of(dataset: Dataset, video: Video) -> str:
    """Return the hash of what a video's files are (names and sizes, frames and truth), or its own fingerprint."""
    own: Callable[[Video], str] | None = getattr(dataset, "content", None)
    return video.fingerprint if own is None else own(video)


def checked_before(root: str | None, dataset: Dataset, videos: Sequence[Video]) -> dict[str, Any]:
    """Return what a run's record says about the files of its videos.

    Returns:
        ``{"content": hash over the videos' files, "checked": None | {"when", "quick", "faults"}}``: the last
        ``bench data check`` that saw exactly these files with exactly this metadata.
    """
    contents = {v.id: content_of(dataset, v) for v in videos}
    checked, path = None, _receipt(root, dataset.info)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        receipt = {} if path is None else parse_json(path.read_bytes())
        seen = receipt["videos"]
        if receipt["fingerprint"] == dataset.info.fingerprint and all(
            seen[v] == c for v, c in contents.items()
        ):
            checked = {name: receipt[name] for name in ("when", "quick", "faults")}
    return {"content": _digest(contents), "checked": checked}


@dataclass(frozen=True)
class _Checked:
    """One video's findings; ``video`` has no reader, so that it crosses processes cheaply."""

    faults: tuple[Fault, ...]
    video: Video | None
    content: str


def _check_video(dataset: Dataset, index: int, quick: bool) -> _Checked:
    try:
        video = dataset.videos()[index]
    except DataError as error:
        return _Checked((error.fault,), None, "")
    except InputError as error:
        return _Checked((Fault("damaged", "", str(error)),), None, "")
    faults = _text_faults(video)
    if isinstance(dataset, CheckableDataset):
        with _told(faults):
            faults.extend(dataset.video_faults(video.id, quick=quick))
    elif not quick:
        faults += _faults_through_interface(dataset, video)
    facts = Video(video.id, video.frame_ids, video.size, video.expressions, _no_frame, video.fingerprint)
    return _Checked(tuple(faults), facts, content_of(dataset, video))


def _no_frame(i: int) -> Any:
    raise AssertionError(f"frame {i} of a video that is only facts")


def _text_faults(video: Video) -> list[Fault]:
    faults = []
    for e in video.expressions:
        name = f"Expression {e.id} of video {video.id}"
        if not e.text.strip():
            faults.append(Fault("schema", "", f"{name} has no text."))
        if _misread(e.text):
            text = f"{name} holds characters of a text read in another encoding than it was written in: {e.text!r}."
            faults.append(Fault("encoding", "", text))
    twice = [i for i, n in Counter(e.id for e in video.expressions).items() if n > 1]
    faults += [Fault("duplicate", "", f"Video {video.id} has several expressions {i!r}.") for i in twice]
    return faults


def _misread(text: str) -> bool:
    """Return whether a text was read in another encoding than it was written in: UTF-8 as Latin-1, or with losses."""
    try:
        return "\ufffd" in text or (not text.isascii() and bool(text.encode("latin-1").decode("utf-8")))
    except UnicodeError:
        return False


def _faults_through_interface(dataset: Dataset, video: Video) -> list[Fault]:
    faults: list[Fault] = []
    for i in range(len(video)):
        with _told(faults):
            frame = video.read(i)
            if frame.shape != (*video.size, 3) or frame.dtype != np.uint8:
                text = (
                    f"Frame {video.frame_ids[i]} of video {video.id} is {frame.shape} {frame.dtype}; "
                    f"{(*video.size, 3)} uint8 is expected."
                )
                faults.append(Fault("size", "", text))
    for expression in video.expressions:
        with _told(faults):
            truth = dataset.ground_truth(video.id, expression.id)
            expected = (len(video), *video.size)
            if truth is not None and truth.masks.shape != expected:
                text = (
                    f"The truth of {video.id}/{expression.id} is {truth.masks.shape}; {expected} is expected."
                )
                faults.append(Fault("size", "", text))
    return faults


@contextlib.contextmanager
def _told(faults: list[Fault]) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        faults.append(error.fault)
    except (InputError, OSError, ValueError) as error:
        faults.append(Fault("damaged", "", str(error)))


Run = Callable[[int], Iterator[_Checked]]


@contextlib.contextmanager
def _pool(dataset: Dataset, quick: bool, workers: int | None) -> Iterator[Run]:
    """Give a function that checks so many videos in order: in threads where nothing is decoded, else in processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = workers or cores
    pool: Executor
    work: Callable[[int], _Checked] = _in_worker
    if quick:
        pool, work = ThreadPoolExecutor(QUICK_THREADS), _Here(dataset, quick)
    elif workers == 1 or not _picklable(dataset):
        pool, work = ThreadPoolExecutor(1), _Here(dataset, quick)
    else:
        # Spawned: a fork of a process with threads (progress bars, numerical libraries) may hang.
        pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), initializer=_adopt, initargs=(dataset, quick)
        )

    def check(count: int) -> Iterator[_Checked]:
        with starts_whole():
            return pool.map(work, range(count), chunksize=1 if count < 64 * workers else 8)

    try:
        yield check
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Here:
    dataset: Dataset
    quick: bool

    def __call__(self, index: int) -> _Checked:
        return _check_video(self.dataset, index, self.quick)


_worker: _Here | None = None


def _adopt(dataset: Dataset, quick: bool) -> None:
    """Keep the dataset in a worker, so that it is sent once and not with every video."""
    end_with_parent()
    global _worker
    _worker = _Here(dataset, quick)


def _in_worker(index: int) -> _Checked:
    assert _worker is not None
    return _worker(index)


def _picklable(dataset: Dataset) -> bool:
    try:
        pickle.dumps(dataset)
    except Exception:
        return False
    return True


def _facts(info: DatasetInfo, videos: Sequence[Video]) -> dict[str, Any]:
    attributes: dict[str, Counter[str]] = {}
    for expression in (e for v in videos for e in v.expressions):
        for name, value in expression.attributes.items():
            if isinstance(value, str | bool):
                attributes.setdefault(name, Counter())[str(value)] += 1
    return {
        "dataset": info.name,
        "version": info.version,
        "split": info.split,
        "protocols": list(info.protocols),
        "fingerprint": info.fingerprint,
        "videos": len(videos),
        "expected_videos": info.expected_videos,
        "expressions": sum(len(v.expressions) for v in videos),
        "expected_expressions": info.expected_expressions,
        "objects": len({(v.id, o) for v in videos for e in v.expressions for o in e.object_ids}),
        "expected_objects": info.expected_objects,
        "frames": sum(len(v) for v in videos),
        "expected_frames": info.expected_frames,
        "attributes": {name: dict(sorted(c.items())) for name, c in sorted(attributes.items())},
    }


def _count_faults(facts: dict[str, Any]) -> Iterator[Fault]:
    for name in ("videos", "objects", "expressions", "frames"):
        expected, found = facts[f"expected_{name}"], facts[name]
        # Objects are not named where labels are hidden.
        if expected is not None and expected != found and not (name == "objects" and found == 0):
            yield Fault("count", "", f"{found} {name} were found; {expected} are published.")


def _digest(contents: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(contents.items())).encode()).hexdigest()


def _receipt(root: str | None, info: DatasetInfo) -> Path | None:
    """Return where a copy's last check is remembered; None where nothing is kept."""
    folder = cache_folder()
    if folder is None:
        return None
    place = "" if root is None else hashlib.sha256(str(Path(root).resolve()).encode()).hexdigest()[:16]
    return folder / "checks" / f"{safe_name(f'{info.name}-{info.split}')}-{place}.json"


def _remember(
    request: DatasetRequest, info: DatasetInfo, report: dict[str, Any], contents: dict[str, str]
) -> None:
    path = _receipt(request.root, info)
    if path is None:
        return
    receipt = {
        "when": now(),
        "quick": report["quick"],
        "faults": report["faults"],
        "fingerprint": info.fingerprint,
        "videos": contents,
    }
    with contextlib.suppress(OSError, ValueError, AttributeError):
        earlier = parse_json(path.read_bytes())
        same = all(earlier.get(name) == receipt[name] for name in ("fingerprint", "videos"))
        if report["quick"] and earlier.get("quick") is False and same:
            # A quick look takes nothing back that a full check of the same files has said.
            return
    # A cache that cannot be written costs the record its line, not the check its report.
    with contextlib.suppress(InputError):
        write_json(path, receipt)
