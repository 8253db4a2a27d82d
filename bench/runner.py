"""``bench run`` as a function: predict what is missing, score, write the record, the result and the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refseg.bench import provenance, registry
from refseg.bench.annotations import clear_annotations, write_annotations
from refseg.bench.atomic import safe_name, write_json
from refseg.bench.config import find_root
from refseg.bench.datacheck import checked_before
from refseg.bench.engines import Described, Engine, Job, choose_engine
from refseg.bench.engines.worker import Blueprint
from refseg.bench.errors import InputError
from refseg.bench.options import split_prefix
from refseg.bench.predict import IMAGES_AT_ONCE, Pass, Work
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import score_run
from refseg.bench.shards import parse_shard, places_of
from refseg.bench.store import RunFolder, SavedRun, missing_expressions
from refseg.bench.subset import coverage, places_of_ids, subset
from refseg.bench.types import Dataset, DatasetRequest, Method, MethodRequest, Video

_SHARD_NOTE = "this is shard {}, and `bench score` scores all shards' folders together"
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
        videos: Ids of the only videos that are run; none: all. The result is marked partial.
        limit: Only the first so many videos; the result is marked partial.
        options: ``--set KEY=VALUE``; keys that begin with ``dataset.`` are the dataset's.
        device: torch device string.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        fresh: Delete what an earlier run left in the folder.
        page: Write the HTML page.
        images_at_once: How many single images a method that takes several is handed in one call.
        jobs: How many workers predict and how many processes score; None: the engine's default, and as many as
            are worth it.
        engine: Who predicts (:data:`refseg.bench.engines.ENGINES`).
        time_limit: Seconds after which a worker that is at one video is ended; None: never.
        shard: ``"2/8"``: only this part of the videos, and nothing is scored.
    """

    method: str
    dataset: str
    split: str | None = None
    root: str | None = None
    protocols: tuple[str, ...] = ()
    out: str | None = None
    videos: tuple[str, ...] = ()
    limit: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    fresh: bool = False
    page: bool = True
    images_at_once: int = IMAGES_AT_ONCE
    jobs: int | None = 1
    engine: str = "local"
    time_limit: float | None = None
    shard: str | None = None


@dataclass(frozen=True)
class Plan:
    """A run with everything built and nothing done yet.

    Attributes:
        method: Only described where workers build it for themselves (:class:`refseg.bench.engines.Described`).
        places: Where the videos stand in the dataset.
    """

    request: RunRequest
    method: Method
    dataset: Dataset
    places: Sequence[int]
    videos: Sequence[Video]
    engine: Engine
    blueprint: Blueprint
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
    engine = choose_engine(request.engine, jobs=request.jobs, time_limit=request.time_limit)
    asked = MethodRequest(request.method, mine, request.device, request.dtype)
    # A newcomer has neither; the method's files are what the dataset's sentence would not name.
    registry.require_files(asked)
    blueprint = Blueprint(asked, _dataset_request(request, theirs), request.images_at_once)
    dataset = registry.build_dataset(blueprint.dataset)
    method = _method(engine, asked)
    places = _places(request, dataset)
    parts = blueprint.key_parts(method.info, dataset)
    out = Path(request.out) if request.out else Path("runs") / default_name(request, dataset.info.split)
    return Plan(
        request,
        method,
        dataset,
        places,
        [dataset.videos()[i] for i in places],
        engine,
        blueprint,
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
        passed = _predict(planned, progress)
        record |= {"status": "predicted", "finished": provenance.now(), "failures": passed.failures}
        record["pass"] = _pass_facts(passed)
        folder.write_record(record)
        _refuse_change(planned, passed)
        result = _score(planned, passed, progress) | {"method": planned.method.info.name}
        write_json(folder.path / "result.json", result)
        annotations = None
        if planned.request.shard is None:
            annotations = write_annotations(folder, planned.key, _predicted(planned, passed))
        folder.write_record(record | {"status": "done"})
        if planned.request.page and planned.request.shard is None:
            write_page(folder.path, progress)
    told = {} if annotations is None else {"annotations": str(annotations)}
    return result | {"run": str(folder.path)} | told


def open_dataset(
    name: str, split: str | None, root: str | None, options: Mapping[str, str] | None = None
) -> Dataset:
    """Open a dataset, its root found by :func:`refseg.bench.config.find_root`."""
    return registry.build_dataset(_dataset_request(RunRequest("", name, split, root), options or {}))


def _dataset_request(request: RunRequest, options: Mapping[str, str]) -> DatasetRequest:
    registry.entry("datasets", request.dataset)
    root = find_root(request.dataset, request.root)
    return DatasetRequest(request.dataset, request.split, root, dict(options))


def _method(engine: Engine, request: MethodRequest) -> Method:
    """Build the method; where workers do that for themselves, only to know it, and without a GPU's memory."""
    if engine.needs_method:
        return registry.build_method(request)
    return Described(registry.build_method(replace(request, device="cpu")).info)


def _places(request: RunRequest, dataset: Dataset) -> Sequence[int]:
    """Return which of the dataset's videos are asked for."""
    videos = dataset.videos()
    if not videos:
        raise InputError(f"{dataset.info.name} {dataset.info.split} holds no video; is --root right?")
    chosen: Sequence[int] = range(len(videos))
    if request.videos:
        chosen = places_of_ids(dataset, request.videos)
    chosen = chosen[: request.limit]
    if request.shard is None:
        return chosen
    return [chosen[i] for i in places_of(parse_shard(request.shard), [videos[i] for i in chosen])]


def default_name(request: RunRequest, split: str) -> str:
    """Return the run folder's name: method, dataset, split, and a hash where anything else was chosen."""
    chosen: dict[str, Any] = dict(request.options)
    if request.dtype != "float32":
        chosen["--dtype"] = request.dtype
    parts = [request.method, request.dataset, split]
    if request.shard is not None:
        shard = parse_shard(request.shard)
        parts.append(f"shard-{shard.number}-of-{shard.of}")
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
        "engine": planned.engine.describe(),
        "shard": request.shard,
        "video_ids": [v.id for v in videos] if request.shard or request.videos else None,
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


def _predict(planned: Plan, progress: Progress) -> Pass:
    """Predict what is missing; say which stored files are no good."""
    todo: list[Work] = []
    places: list[int] = []
    notes: list[str] = []
    for place, video in zip(planned.places, planned.videos, strict=True):
        expressions, found = missing_expressions(planned.folder, planned.key, video)
        notes += found
        if expressions:
            todo.append((video, expressions))
            places.append(place)
    for note in notes:
        progress.note(note)
    bind = getattr(planned.method, "bind", None)
    if bind is not None:
        bind(planned.dataset)
    return planned.engine.predict(
        Job(planned.method, planned.blueprint, todo, places, planned.folder, planned.key, progress)
    )


def _refuse_change(planned: Plan, passed: Pass) -> None:
    """Refuse to go on where the dataset changed while it was predicted.

    Raises:
        InputError: It is another one now; which video, where it is one video's frames.
    """
    if not passed.frames:
        return
    now = registry.build_dataset(planned.blueprint.dataset)
    what = f"{now.info.name} {now.info.split} in {planned.blueprint.dataset.root}"
    if now.info != planned.dataset.info or len(now.videos()) != len(planned.dataset.videos()):
        raise InputError(
            f"The metadata of {what} changed while the run was at work, so it is not scored; put them back, or "
            "run the new ones with --fresh or another --out."
        )
    changed = [
        v.id for place, v in zip(planned.places, planned.videos, strict=True) if now.videos()[place] != v
    ]
    if changed:
        raise InputError(
            f"The frames of {len(changed)} videos of {what} changed while the run was at work, first {changed[0]}, "
            "so it is not scored; the same command predicts them anew."
        )


def _score(planned: Plan, passed: Pass, progress: Progress) -> dict[str, Any]:
    return score_run(
        planned.dataset,
        planned.videos,
        SavedRun(planned.folder, planned.key),
        planned.protocols,
        passed.failures,
        jobs=planned.request.jobs,
        progress=progress,
        unscored="" if planned.request.shard is None else _SHARD_NOTE.format(planned.request.shard),
    )


def _predicted(planned: Plan, passed: Pass) -> Dataset:
    """Return the dataset without the videos that were left out or failed."""
    failed = {f["video"] for f in passed.failures}
    return subset(planned.dataset, [v for v in planned.videos if v.id not in failed])


def _pass_facts(passed: Pass) -> dict[str, Any]:
    rate = passed.frames / passed.seconds if passed.frames else None
    return {
        "frames": passed.frames,
        "seconds": round(passed.seconds, 3),
        "seconds_waited_for_frames": round(passed.waited, 3),
        "frames_per_second": None if rate is None else round(rate, 3),
        "retries": passed.retries,
        "note": PASS_NOTE,
    }
