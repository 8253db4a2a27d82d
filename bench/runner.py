"""``bench run`` as a function: predict what is missing, score, write the record, the result and the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refseg.bench import provenance, registry
from refseg.bench.annotations import clear_annotations, write_annotations
from refseg.bench.atomic import safe_name, write_json
from refseg.bench.config import find_root
from refseg.bench.datacheck import checked_before
from refseg.bench.errors import InputError
from refseg.bench.options import split_prefix
from refseg.bench.predict import IMAGES_AT_ONCE, Pass, Work, predict_all
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import score_run
from refseg.bench.store import RunFolder, SavedRun, missing_expressions
from refseg.bench.subset import coverage, subset
from refseg.bench.types import Dataset, DatasetRequest, Method, MethodRequest, Video

PASS_NOTE = "wall clock of the scoring pass, not a speed measurement"


@dataclass(frozen=True)
class RunRequest:
    """What ``bench run`` was asked for, for one method.

    Attributes:
        method: Registered name.
        dataset: Registered name.
        split: None: the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        protocols: Names; none: all that the dataset is scored with.
        out: Run folder; None: a name of its own under ``runs``.
        limit: Only the first so many videos; the result is marked partial.
        options: ``--set KEY=VALUE``; keys that begin with ``dataset.`` are the dataset's.
        device: torch device string.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        fresh: Delete what an earlier run left in the folder.
        page: Write the HTML page.
        images_at_once: How many single images a method that takes several is handed in one call.
        jobs: How many processes score; None: as many as are worth it.
    """

    method: str
    dataset: str
    split: str | None = None
    root: str | None = None
    protocols: tuple[str, ...] = ()
    out: str | None = None
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    fresh: bool = False
    page: bool = True
    images_at_once: int = IMAGES_AT_ONCE
    jobs: int | None = 1


@dataclass(frozen=True)
class Plan:
    """A run with everything built and nothing done yet."""

    request: RunRequest
    method: Method
    dataset: Dataset
    videos: Sequence[Video]
    protocols: tuple[str, ...]
    folder: RunFolder
    key: str
    parts: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return what would run, as JSON values: for ``--dry-run``."""
        missing = [missing_expressions(self.folder, self.key, v)[0] for v in self.videos]
        return {
            "method": asdict(self.method.info),
            "dataset": asdict(self.dataset.info),
            "protocols": list(self.protocols),
            "videos": len(self.videos),
            "expressions": sum(len(v.expressions) for v in self.videos),
            "frames": sum(len(v) for v in self.videos),
            "expressions_to_predict": sum(map(len, missing)),
            "device": self.request.device,
            "dtype": self.request.dtype,
            "out": str(self.folder.path),
        }


def plan(request: RunRequest) -> Plan:
    """Build method and dataset, check the call and find the run folder; nothing is written.

    Raises:
        InputError: A name, option, root or protocol is wrong.
    """
    if request.limit is not None and request.limit < 1:
        raise InputError(f"--limit {request.limit} leaves no video; give 1 or more.")
    mine, theirs = split_prefix(request.options, "dataset.")
    for name in request.protocols:
        registry.entry("protocols", name)
    dataset = open_dataset(request.dataset, request.split, request.root, theirs)
    method = registry.build_method(MethodRequest(request.method, mine, request.device, request.dtype))
    videos = dataset.videos()[: request.limit]
    if not videos:
        raise InputError(f"{dataset.info.name} {dataset.info.split} holds no video; is --root right?")
    parts = provenance.key_parts(
        method.info, dataset.info, device=request.device, dtype=request.dtype, dataset_options=theirs
    )
    out = Path(request.out) if request.out else Path("runs") / default_name(request, dataset.info.split)
    return Plan(
        request,
        method,
        dataset,
        videos,
        request.protocols or tuple(dataset.info.protocols),
        RunFolder(out),
        provenance.run_key(parts),
        parts,
    )


def run(request: RunRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Run a method on a dataset and return its result (also in the folder's result.json).

    Where the objects of annotators are merged (Ref-DAVIS17), label PNGs are written too:
    ``result["annotations"]`` is their folder (:func:`refseg.bench.annotations.write_annotations`).

    Videos that fail are named in ``result["failures"]`` and left out of the score; the others go on. What is
    done stays done: the same call goes on where this one stopped.

    Raises:
        InputError: The call is wrong, the folder belongs to another configuration, or the disk is full.
    """
    return execute(plan(request), progress=progress)


def execute(planned: Plan, *, progress: Progress | None = None) -> dict[str, Any]:
    """Do a planned run; see :func:`run`."""
    progress = progress or Silent()
    folder = planned.folder
    with folder.locked():
        first = _admit(planned)
        record = _record(planned, first)
        folder.write_record(record)
        bind = getattr(planned.method, "bind", None)
        if bind is not None:
            bind(planned.dataset)
        passed = predict_all(
            planned.method,
            _missing(planned, progress),
            folder,
            planned.key,
            progress=progress,
            images_at_once=planned.request.images_at_once,
        )
        record |= {"status": "predicted", "finished": provenance.now(), "failures": passed.failures}
        record["pass"] = _pass_facts(passed)
        folder.write_record(record)
        result = score_run(
            planned.dataset,
            planned.videos,
            SavedRun(folder, planned.key),
            planned.protocols,
            passed.failures,
            jobs=planned.request.jobs,
            progress=progress,
        )
        result |= {"method": planned.method.info.name}
        write_json(folder.path / "result.json", result)
        annotations = write_annotations(folder, planned.key, _predicted(planned, passed))
        folder.write_record(record | {"status": "done"})
        if planned.request.page:
            write_page(folder.path, progress)
    told = {} if annotations is None else {"annotations": str(annotations)}
    return result | {"run": str(folder.path)} | told


def open_dataset(
    name: str, split: str | None, root: str | None, options: Mapping[str, str] | None = None
) -> Dataset:
    """Open a dataset, its root found by :func:`refseg.bench.config.find_root`."""
    registry.entry("datasets", name)
    return registry.build_dataset(DatasetRequest(name, split, find_root(name, root), dict(options or {})))


def default_name(request: RunRequest, split: str) -> str:
    """Return the run folder's name: method, dataset, split, and a hash where anything else was chosen."""
    chosen: dict[str, Any] = dict(request.options)
    if request.dtype != "float32":
        chosen["--dtype"] = request.dtype
    parts = [request.method, request.dataset, split]
    if chosen:
        parts.append(hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8])
    return safe_name("-".join(parts))


def write_page(run_dir: Path, progress: Progress) -> Path | None:
    """Write the run's HTML page; a failure there is told and costs no score."""
    try:
        from refseg.reports.page import write_run_page
    except ModuleNotFoundError as error:
        if error.name not in ("refseg.reports", "refseg.reports.page"):
            raise
        return None
    try:
        page: Path = write_run_page(run_dir)
    except Exception as error:
        progress.note(f"the page was not written ({type(error).__name__}: {error}); the scores are complete")
        return None
    return page


def _admit(planned: Plan) -> dict[str, Any] | None:
    """Return the earlier record of the same configuration, clear the folder on ``--fresh``, or refuse."""
    folder = planned.folder
    if planned.request.fresh:
        folder.clear()
        clear_annotations(folder)
        return None
    earlier = folder.read_record()
    if earlier is not None and earlier["key"] != planned.key:
        differ = provenance.differences(earlier.get("key_parts", {}), planned.parts)
        what = "; ".join(differ[:4]) or "its key differs"
        raise InputError(
            f"{folder.path} was made by another configuration ({what}); give --fresh to delete it, or "
            "another --out."
        )
    return earlier


def _record(planned: Plan, earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    request, videos = planned.request, planned.videos
    short = coverage(planned.dataset, videos)
    root = find_root(request.dataset, request.root)
    return {
        "format": 1,
        "status": "predicting",
        "key": planned.key,
        "key_parts": dict(planned.parts),
        "method": asdict(planned.method.info) | {"config": planned.parts["method"]["config"]},
        "dataset": asdict(planned.dataset.info)
        | {"root": request.root}
        | checked_before(root, planned.dataset, videos),
        "protocols": list(planned.protocols),
        "dtype": request.dtype,
        "images_at_once": request.images_at_once,
        "partial": bool(short),
        "coverage": short,
        "counts": {
            "videos": len(videos),
            "videos_in_split": len(planned.dataset.videos()),
            "expressions": sum(len(v.expressions) for v in videos),
            "frames": sum(len(v) for v in videos),
        },
        "started": earlier["started"] if earlier and "started" in earlier else provenance.now(),
        **provenance.environment(request.device),
    }


def _missing(planned: Plan, progress: Progress) -> list[Work]:
    """Return the videos with the expressions that are still to be predicted; say which files are no good."""
    todo: list[Work] = []
    notes: list[str] = []
    for video in planned.videos:
        expressions, found = missing_expressions(planned.folder, planned.key, video)
        notes += found
        if expressions:
            todo.append((video, expressions))
    for note in notes:
        progress.note(note)
    return todo


def _predicted(planned: Plan, passed: Pass) -> Dataset:
    """Return the dataset without the videos that were left out or failed."""
    failed = {f["video"] for f in passed.failures}
    return subset(planned.dataset, {v.id for v in planned.videos} - failed)


def _pass_facts(passed: Pass) -> dict[str, Any]:
    rate = passed.frames / passed.seconds if passed.frames else None
    return {
        "frames": passed.frames,
        "seconds": round(passed.seconds, 3),
        "seconds_waited_for_frames": round(passed.waited, 3),
        "frames_per_second": None if rate is None else round(rate, 3),
        "note": PASS_NOTE,
    }
