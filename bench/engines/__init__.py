"""Who predicts: this process, processes of its own on this machine, or a cluster's.

An engine takes a run's missing videos and stores their predictions. Whatever it is, this process alone writes into
the run folder, so that a worker that dies, hangs or is cut off can leave nothing half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from refseg.bench.engines.worker import Blueprint
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.predict import Pass, Work, predict_all
from refseg.bench.progress import Progress
from refseg.bench.store import RunFolder
from refseg.bench.types import Expression, FramePrediction, Method, MethodInfo, Video

if TYPE_CHECKING:
    from torch import nn

ENGINES = ("local", "ray")
"""Names for ``--engine``."""


@dataclass(frozen=True)
class Job:
    """What an engine is to do.

    Attributes:
        method: The method; only an engine that ``needs_method`` gets one that can segment.
        blueprint: What a worker builds method and dataset from.
        todo: Videos with those of their expressions that are missing.
        places: Where each of these videos stands in the dataset.
        folder: Where predictions go; its lock is held.
        key: The run's key.
        progress: Where it is shown, by frames.
    """

    method: Method
    blueprint: Blueprint
    todo: Sequence[Work]
    places: Sequence[int]
    folder: RunFolder
    key: str
    progress: Progress


class Engine(Protocol):
    """Predicts what is missing of a run."""

    needs_method: bool
    """Whether the method is used in this process; else only its description is."""

    def predict(self, job: Job) -> Pass:
        """Predict and store; videos that fail are in the result.

        Raises:
            InputError: A prediction cannot be written, or no worker can start.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a run's record says of it."""
        ...


@dataclass
class Described:
    """A method that is known and not there: workers hold it."""

    info: MethodInfo

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Refuse: the workers do that."""
        raise AssertionError(f"{self.info.name} is in the workers, not in this process")

    def modules(self) -> Mapping[str, nn.Module]:
        """Return nothing."""
        return {}


class InProcess:
    """Predicts in this process, one video after the other."""

    needs_method = True

    def predict(self, job: Job) -> Pass:
        """Predict and store; see :class:`Engine`."""
        return predict_all(
            job.method,
            job.todo,
            job.folder,
            job.key,
            progress=job.progress,
            images_at_once=job.blueprint.images_at_once,
        )

    def describe(self) -> dict[str, Any]:
        """Return what a run's record says of it."""
        return {"name": "local", "jobs": 1, "time_limit": None}


def choose_engine(name: str, *, jobs: int | None = None, time_limit: float | None = None) -> Engine:
    """Return an engine.

    Args:
        name: ``"local"`` or ``"ray"``.
        jobs: How many workers, each with a model of its own; None: one, or as many as the cluster has room for.
        time_limit: Seconds after which a worker that is at one video is ended. It takes a process of its own.

    Raises:
        InputError: The name is unknown, the time limit none, or Ray is not installed.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    if time_limit is not None and not 0 < time_limit < float("inf"):
        raise InputError(f"--time-limit {time_limit} is no number of seconds; give one above 0.")
    if name == "local" and (jobs or 1) == 1 and time_limit is None:
        return InProcess()
    from refseg.bench.engines.crew import CrewEngine

    if name == "local":
        from refseg.bench.engines.processes import ProcessCrew

        return CrewEngine(name, ProcessCrew, jobs or 1, time_limit)
    from refseg.bench.engines.ray_cluster import RayCrew, refuse_without_ray

    refuse_without_ray()
    return CrewEngine(name, RayCrew, jobs, time_limit)
