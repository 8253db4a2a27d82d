"""Workers that are actors of a Ray cluster, one model each; machines may come and go (extra ``distributed``)."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refseg.bench.engines.crew import Answered, Event, Lost, Ready
from refseg.bench.engines.worker import Answer, Blueprint, Order, Worker
from refseg.bench.errors import InputError
from refseg.bench.predict import one_line

_LOOK = 1.0
"""Seconds between two looks at what the cluster has."""


def refuse_without_ray() -> None:
    """Raise InputError where Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"--engine ray needs Ray ({error}); install refseg-bench[distributed], or use --engine local --jobs N."
        ) from None


class Actor:
    """A worker in a process of the cluster; its methods return what happened and raise nothing of their own."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def build(self, blueprint: Blueprint, key: str) -> tuple[str, str]:
        """Build method and dataset; returns ``("ready", node)``, or what went wrong and how."""
        import ray

        try:
            self._worker = Worker(blueprint, key)
        except InputError as error:
            return "refused", str(error)
        except Exception as error:
            return "broken", one_line(error)
        return "ready", str(ray.get_runtime_context().get_node_id())

    def predict(self, orders: Sequence[Order]) -> list[Answer]:
        """Predict; what fails is said in its answer."""
        assert self._worker is not None, "it is handed nothing before it is ready"
        return self._worker.predict(orders, lambda frames: None)


@dataclass
class _Member:
    """An actor, what it is asked at present, and the node that it is on, once that is known."""

    actor: Any
    asked: Any
    node: str = ""


class RayCrew:
    """Actors with a GPU each, or a CPU each where the run's device is none.

    The cluster is the one of ``$RAY_ADDRESS``; without, one is started on this machine and ended with the run.

    Args:
        blueprint: What a worker builds; every machine needs the same dataset and weights at the same paths.
        key: The run's key.
        jobs: How many there shall be; None: as many as the cluster has GPUs, or CPUs, at any time.
    """

    def __init__(self, blueprint: Blueprint, key: str, jobs: int | None) -> None:
        import ray

        self._ray = ray
        on_gpu = blueprint.method.device.startswith("cuda")
        # Ray shows an actor its own GPU alone, whatever the number that was named here.
        self._blueprint = blueprint.on("cuda") if on_gpu else blueprint
        self._key, self._jobs = key, jobs
        self._resource = "GPU" if on_gpu else "CPU"
        self._numbers = itertools.count()
        self._members: dict[int, _Member] = {}
        self._mine = not ray.is_initialized()
        if self._mine:
            _connect(ray)
        share = {"num_gpus": 1, "num_cpus": 0} if on_gpu else {"num_cpus": 1}
        # Restarts are ours: a video that ends its worker must not end the next one in secret.
        self._actor = ray.remote(**share, max_restarts=0, max_task_retries=0)(Actor)

    def keep(self, count: int) -> None:
        """Start actors until there are so many, or as many as the cluster has room for at present."""
        if self._jobs is None:
            count = min(count, int(self._ray.cluster_resources().get(self._resource, 0)))
        while len(self._members) < count:
            actor = self._actor.remote()
            self._members[next(self._numbers)] = _Member(
                actor, actor.build.remote(self._blueprint, self._key)
            )

    def give(self, worker: int, orders: Sequence[Order]) -> None:
        """Hand a ready actor its next videos."""
        member = self._members[worker]
        member.asked = member.actor.predict.remote(list(orders))

    def wait(self, seconds: float | None) -> list[Event]:
        """Return what happened, one event a worker; often nothing, so that a grown cluster is seen."""
        seconds = _LOOK if seconds is None else min(seconds, _LOOK)
        by_answer = {m.asked: n for n, m in self._members.items() if m.asked is not None}
        if not by_answer:
            time.sleep(seconds)
            return []
        refs = [*by_answer]
        done, _ = self._ray.wait(refs, num_returns=1, timeout=seconds)
        if done:
            done, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [self._receive(by_answer[ref], ref) for ref in done]

    def stop(self, worker: int) -> None:
        """End an actor at once."""
        self._ray.kill(self._members.pop(worker).actor, no_restart=True)

    def clear(self) -> None:
        """End all actors."""
        for worker in [*self._members]:
            self.stop(worker)

    def close(self) -> None:
        """End all actors, and the cluster where it was started here."""
        self.clear()
        if self._mine:
            self._ray.shutdown()

    def _receive(self, worker: int, answer: Any) -> Event:
        member = self._members[worker]
        member.asked = None
        try:
            content = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            gone = self._is_gone(member, error)
            self.stop(worker)
            why = "its machine left the cluster" if gone else f"its actor ended: {_first_line(error)}"
            return Lost(worker, why, blameless=gone)
        if isinstance(content, list):
            return Answered(worker, content)
        kind, text = content
        if kind == "ready":
            member.node = text
            return Ready(worker)
        self.stop(worker)
        return Lost(worker, text, final=kind == "refused")

    def _is_gone(self, member: _Member, error: Exception) -> bool:
        """Return whether an actor ended because its machine did."""
        if "its node has died" in str(error):
            return True
        alive = {n["NodeID"] for n in self._ray.nodes() if n["Alive"]}
        return bool(member.node) and member.node not in alive


def _connect(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS")
    # Ray refuses what is said of a cluster to be started where one is there already.
    new = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **new)
    except Exception as error:
        where = (
            f"The Ray cluster at {address} cannot be reached"
            if address
            else "Ray cannot start on this machine"
        )
        raise InputError(
            f"{where} ({one_line(error)}); see `ray status`, or use --engine local --jobs N."
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
