"""``bench speed`` as a function: passes, stages, memory, operations, parameters, and the accuracy gate."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refseg.bench import provenance, registry
from refseg.bench.errors import InputError
from refseg.bench.options import split_prefix
from refseg.bench.params import count_method
from refseg.bench.predict import one_line
from refseg.bench.progress import Progress, Silent
from refseg.bench.runner import open_dataset
from refseg.bench.speed import facts
from refseg.bench.speed.clock import StageClock, Synchronise, percentiles, synchroniser, told
from refseg.bench.speed.flops import UNIT, counted
from refseg.bench.speed.gate import Masks, gate
from refseg.bench.speed.passes import (
    PassTimes,
    Work,
    chosen_expressions,
    predicted_masks,
    shortened,
    staged_pass,
    timed_pass,
)
from refseg.bench.subset import coverage, places_of_ids
from refseg.bench.types import Dataset, Method, MethodRequest, Video

LEAST_REPETITIONS = 3
VIDEOS = 3
WARM_UP_FRAMES = 3
PARAMETERS = ("total", "learnable", "active_per_frame", "text_encoder")
"""The sums of :func:`refseg.bench.params.count_method` that a result has."""


@dataclass(frozen=True)
class SpeedRequest:
    """What ``bench speed`` was asked for, for one method.

    Attributes:
        method: Registered name.
        dataset: Registered name.
        split: None: the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        options: ``--set KEY=VALUE``; keys that begin with ``dataset.`` are the dataset's.
        device: torch device string.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        video_ids: Ids of the only videos; none: see ``videos``.
        videos: How many videos, from the first on; None: three, or all that are named.
        frames: How many frames of each.
        expressions: How many expressions a video gets in a pass, beside one.
        repetitions: How often each pass is timed.
        gate: Compare the masks with the reference's.
    """

    method: str
    dataset: str
    split: str | None = None
    root: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"
    video_ids: tuple[str, ...] = ()
    videos: int | None = None
    frames: int = 24
    expressions: tuple[int, ...] = (1, 4, 16)
    repetitions: int = LEAST_REPETITIONS
    gate: bool = True


def _chosen(dataset: Dataset, request: SpeedRequest) -> Sequence[Video]:
    videos = dataset.videos()
    if request.video_ids:
        return [videos[i] for i in places_of_ids(dataset, request.video_ids)][: request.videos]
    return videos[: request.videos or VIDEOS]


def measure(request: SpeedRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Measure a method's speed by the protocol of ``docs/speed.md``; nothing is stored or resumed.

    Raises:
        InputError: The call is wrong.
    """
    progress = progress or Silent()
    if request.repetitions < LEAST_REPETITIONS:
        raise InputError(
            f"--repetitions {request.repetitions} shows no spread; give {LEAST_REPETITIONS} or more."
        )
    mine, theirs = split_prefix(request.options, "dataset.")
    dataset = open_dataset(request.dataset, request.split, request.root, theirs)
    videos = [shortened(v, request.frames) for v in _chosen(dataset, request) if v.expressions]
    if not videos:
        raise InputError(f"{request.dataset} holds no video with a sentence; is --root right?")
    measured = MethodRequest(request.method, mine, request.device, request.dtype)
    begun = facts.environment(request.device)
    method = _built(measured, dataset)
    one = [(v, chosen_expressions(v, 1)) for v in videos]
    result = {
        "method": request.method,
        "dataset": dataset.info.name,
        "config": dict(method.info.config),
        "weights": dict(method.info.weights),
        "dtype": request.dtype,
        "device": request.device,
        "measured_on": _measured_on(dataset, videos),
        "repetitions": request.repetitions,
    }
    result |= _speeds(method, videos, request, progress)
    counts = count_method(request.method, mine)
    result["parameters"] = {name: counts[name] for name in PARAMETERS}
    result["flops"] = _operations(method, one)
    if request.gate:
        progress.note("masks for the accuracy gate")
        found = predicted_masks(method, one)
        reference = _reference_request(measured, method)
        del method
        gc.collect()
        result["gate"] = _gated(dataset, one, found, measured, reference)
    return result | begun | {"finished": provenance.now()}


def _built(request: MethodRequest, dataset: Dataset) -> Method:
    method = registry.build_method(request)
    bind = getattr(method, "bind", None)
    if bind is not None:
        bind(dataset)
    return method


def _speeds(method: Method, videos: list[Video], request: SpeedRequest, progress: Progress) -> dict[str, Any]:
    """Return what the timed passes give, each kind of pass in turn within a repetition."""
    synchronise = synchroniser(request.device)
    works: dict[int, Work] = {
        k: [(v, chosen_expressions(v, k)) for v in videos] for k in sorted({1, *request.expressions})
    }
    facts.forget_peak(request.device)
    warm_up, skipped = _warmed(method, works, synchronise)
    for k in skipped:
        del works[k]
    passes: dict[int, list[PassTimes]] = {k: [] for k in works}
    stages: list[StageClock] = []
    with progress.task(f"{request.method} is timed", request.repetitions, "repetitions") as task:
        for _ in range(request.repetitions):
            for k, work in works.items():
                passes[k].append(timed_pass(method, work, synchronise))
            stages.append(staged_pass(method, works[1], synchronise))
            task.advance()
    single = passes[1]
    frames = single[0].frames
    steady = [p.steady_fps for p in single if p.steady_fps is not None]
    return {
        "fps_single": told([p.fps for p in single]),
        "fps_amortised": {str(k): told([p.fps for p in found]) for k, found in passes.items()},
        "seconds_of_a_pass": {str(k): told([p.seconds for p in found]) for k, found in passes.items()},
        "processor_seconds_of_a_pass": {
            str(k): told([p.processor_seconds for p in found]) for k, found in passes.items()
        },
        "not_measured": skipped,
        "steady_fps": told(steady) if steady else None,
        "first_mask_seconds": told([statistics.median(p.first_masks) for p in single]),
        "latency_ms": percentiles([s for p in single for s in p.latencies]),
        "stages_ms_per_frame": _per_frame([s.seconds for s in stages], frames),
        "stages_processor_ms_per_frame": _per_frame([s.processor_seconds for s in stages], frames),
        "warm_up": warm_up,
        "peak_memory": facts.peak_memory(request.device),
    }


def _warmed(
    method: Method, works: Mapping[int, Work], synchronise: Synchronise
) -> tuple[dict[str, Any], dict[int, str]]:
    """Run a few frames of one video with every number of expressions, twice; what fails is left out and told."""
    seconds: dict[str, float] = {}
    skipped: dict[int, str] = {}
    for k, work in works.items():
        video, expressions = work[0]
        short = [(shortened(video, WARM_UP_FRAMES), expressions)]
        try:
            first, second = (timed_pass(method, short, synchronise).seconds for _ in range(2))
        except Exception as error:
            # A method that looks sentences up, such as a control, knows no sentence that is given twice.
            if k <= len(video.expressions):
                raise
            skipped[k] = f"K = {k} was not measured: a sentence given twice fails ({one_line(error)})."
            continue
        seconds[str(k)] = first - second
    # Compiling is nearly all that a first call does and a second one does not.
    return {"frames": WARM_UP_FRAMES, "first_less_second_call_seconds": seconds}, skipped


def _per_frame(stages: list[dict[str, float]], frames: int) -> dict[str, Any]:
    names = dict.fromkeys(name for found in stages for name in found)
    return {name: told([1e3 * s.get(name, 0.0) / frames for s in stages]) for name in names}


def _measured_on(dataset: Dataset, videos: list[Video]) -> dict[str, Any]:
    return {
        "videos": [v.id for v in videos],
        "frames": sum(map(len, videos)),
        "sizes": sorted({v.size for v in videos}),
        "partial": bool(coverage(dataset, videos)),
        "split": dataset.info.split,
    }


def _operations(method: Method, work: Work) -> dict[str, Any]:
    video, expressions = work[0]
    formula = getattr(method, "flops_formula", None)
    compiled = str(method.info.config.get("compile", False)).lower() == "true"
    return {
        "unit": UNIT,
        "of": "the first frame with one expression; by stage",
        "counted": None if compiled else counted(method, shortened(video, 1), expressions),
        "formula": None if formula is None else dict(formula()),
    }


def _reference_request(request: MethodRequest, method: Method) -> MethodRequest:
    """Return the request for the same method in float32 and by the official code, as far as it knows such options."""
    options = {**request.options, **getattr(method, "reference_options", {})}
    return MethodRequest(request.name, options, request.device, "float32")


def _gated(
    dataset: Dataset, work: Work, found: Masks, request: MethodRequest, reference: MethodRequest
) -> dict[str, Any]:
    if request == reference:
        return {"passed": True, "by": "it is the reference"}
    masks = predicted_masks(_built(reference, dataset), work)
    chosen = {k: v for k, v in reference.options.items() if request.options.get(k) != v}
    return gate(dataset, work, found, masks) | {"reference": {"dtype": "float32", **chosen}}
