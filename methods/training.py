"""The training loop that all recipes share: seeded, resumable, logged."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from refseg.bench.atomic import sweep, writing
from refseg.bench.errors import InputError, RefsegError
from refseg.bench.locks import locked
from refseg.bench.options import parse_options
from refseg.bench.progress import for_terminal
from refseg.bench.types import TrainRequest
from refseg.methods.curve import draw_curve
from refseg.methods.team import Crew, Team
from refseg.methods.training_log import TrainingLog

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Options = TypeVar("Options", bound="DataclassInstance")
Losses = dict[str, torch.Tensor]
Sums = dict[str, tuple[float, int]]
"""Figures since the last row of the log: sum, and in how many steps."""


@runtime_checkable
class Divided(Protocol):
    """An optimiser whose work processes with the same gradients can divide."""

    crew: Crew | None


class Steps(Dataset[T | RefsegError]):
    """The batches of a training as a map from step to batch; a step's batch depends on nothing but the step.

    An error of ours is handed over as it is: raised in a worker process it would come back as another one.
    """

    def __init__(self, make: Callable[[int], T], start: int, stop: int) -> None:
        self._make, self._start, self._stop = make, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> T | RefsegError:
        if index >= len(self):
            raise IndexError(index)
        try:
            return self._make(self._start + index)
        except RefsegError as error:
            return error


def _identity(batch: Any) -> Any:
    return batch


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)


@dataclass
class Training:
    """One training run.

    Attributes:
        out: Folder of checkpoint, log and curve.
        steps: Number of optimiser steps.
        network: What is trained; its whole state goes into the checkpoint.
        optimizer: Over the learnable parameters.
        schedule: Factor on every learning rate by step.
        make_batch: Batch by step, and its share that process ``rank`` of ``processes`` computes; a pure function, run
            ahead in a worker process.
        compute: Losses of a batch, means over its rows; ``"loss"`` is minimised.
        evaluate: Figures for the log; run every ``evaluate_every`` steps, which are logged then, and at the end.
        fingerprint: Settings that must agree for a resume.
        rows: Number of rows of a batch; shares weigh by it.
        parts: Cuts a process's share of a batch into what is computed one after the other, its gradients added up.
        processes: Processes that share each batch and add up their gradients, forked here.
        crew: Processes that somebody else started and that all call :meth:`run`; None: ``processes`` of our own.
        autocast: Context of every forward pass (mixed precision).
        scaler: Scales losses where half precision needs it.
        workers: Processes that make batches ahead; 0: they are made when they are needed.
        whole: Put the whole network into the checkpoint; off: only what is learnable.
        clip_norm: Gradients are scaled down to this norm at most.
    """

    out: Path
    steps: int
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]
    make_batch: Callable[[int, int], Any]
    compute: Callable[[Any, int], Losses]
    evaluate: Callable[[], Mapping[str, float]]
    fingerprint: str
    rows: Callable[[Any], int] = lambda batch: 1
    parts: Callable[[Any], Iterable[Any]] = lambda batch: (batch,)
    processes: int = 1
    crew: Crew | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    scaler: torch.amp.GradScaler = field(default_factory=lambda: torch.amp.GradScaler("cpu", enabled=False))
    workers: int = 1
    whole: bool = True
    evaluate_every: int = 500
    checkpoint_every: int = 100
    log_every: int = 20
    clip_norm: float = 1.0

    def run(self, *, resume: bool) -> dict[str, float]:
        """Train, or go on from the checkpoint; returns seconds of wall clock and of processor time in all.

        Raises:
            InputError: ``resume`` without a checkpoint, or one of other settings; a checkpoint without ``resume``;
                another training is at work in the folder; the folder cannot be written, or its disk is full.
        """
        leads = self.crew is None or self.crew.rank == 0
        with locked(self.out, "training") if leads else nullcontext():
            if leads:
                sweep(self.out)
            return self._run(leads, resume)

    def _run(self, leads: bool, resume: bool) -> dict[str, float]:
        scheduler = LambdaLR(self.optimizer, self.schedule)
        start, spent, sums = self._restore(scheduler, leads) if resume else self._fresh(leads)
        if self.crew is not None:
            with self.crew as crew:
                if crew.rank == 0:
                    return self._lead(crew, start, spent, sums, scheduler)
                self._follow(crew, start, scheduler)
                return spent
        with Team(self.processes, lambda team: self._follow(team, start, scheduler)) as team:
            return self._lead(team, start, spent, sums, scheduler)

    def _follow(self, team: Crew, start: int, scheduler: LambdaLR) -> None:
        """Compute a share of every step; the leader logs, evaluates and saves."""
        self._divide(team)
        for step, batch in self._batches(start, team.rank):
            self._step(batch, step, scheduler, team)

    def _lead(
        self, team: Crew, start: int, spent: dict[str, float], sums: Sums, scheduler: LambdaLR
    ) -> dict[str, float]:
        self._divide(team)
        begin = time.perf_counter()
        log = TrainingLog(self.out, start)
        before = dict(spent)
        for step, batch in self._shown(self._batches(start, team.rank), start):
            losses = self._step(batch, step, scheduler, team)
            for name, value in losses.items():
                total, steps = sums.get(name, (0.0, 0))
                sums[name] = total + value, steps + 1
            done = step + 1
            spent = {
                "wall_seconds": before["wall_seconds"] + time.perf_counter() - begin,
                "cpu_seconds": before["cpu_seconds"] + team.cpu_seconds,
            }
            evaluated = done % self.evaluate_every == 0 or done == self.steps
            if evaluated or done % self.log_every == 0:
                # Not every kind of step has every figure.
                figures = {name: total / steps for name, (total, steps) in sums.items()}
                sums = {}
                if evaluated:
                    self.network.eval()
                    figures |= dict(self.evaluate())
                    self.network.train()
                log.write(done, {**figures, **spent})
            if done % self.checkpoint_every == 0 or done == self.steps:
                self._save(done, scheduler, spent, sums)
        log.close()
        draw_curve(self.out / "log.csv", self.out / "curve.png")
        return spent

    def _divide(self, team: Crew) -> None:
        """Let an optimiser that can do so divide its work among the processes."""
        if isinstance(self.optimizer, Divided):
            self.optimizer.crew = team

    def _step(self, batch: Any, step: int, scheduler: LambdaLR, team: Crew) -> dict[str, float]:
        torch.manual_seed(step)
        self.optimizer.zero_grad(set_to_none=True)
        rows, means = self.rows(batch), dict[str, float]()
        for part in self.parts(batch):
            share = self.rows(part) / rows
            with self.autocast():
                losses = self.compute(part, step)
            self.scaler.scale(losses["loss"] * share).backward()  # type: ignore[no-untyped-call]
            for name, value in losses.items():
                means[name] = means.get(name, 0.0) + share * float(value.detach())
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        values = team.mean(parameters, means, rows)
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        scheduler.step()
        return values

    def _batches(self, start: int, rank: int) -> Iterator[tuple[int, Any]]:
        loader: DataLoader[Any] = DataLoader(
            Steps(lambda step: self.make_batch(step, rank), start, self.steps),
            batch_size=None,
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
            collate_fn=_identity,
            worker_init_fn=_one_thread,
        )
        for step, batch in enumerate(loader, start):
            if isinstance(batch, RefsegError):
                raise batch
            yield step, batch

    def _shown(self, batches: Iterator[tuple[int, Any]], start: int) -> Iterator[tuple[int, Any]]:
        title = f"training from step {start}" if start else "training"
        with for_terminal().task(title, self.steps - start, "steps") as task:
            for item in batches:
                yield item
                task.advance()

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _fresh(self, leads: bool) -> tuple[int, dict[str, float], Sums]:
        if self._checkpoint.exists():
            raise InputError(
                f"{self.out} holds a checkpoint already; add --resume to go on from it, or give another --out."
            )
        if leads:
            (self.out / "log.csv").unlink(missing_ok=True)
        return 0, {"wall_seconds": 0.0, "cpu_seconds": 0.0}, {}

    def _restore(self, scheduler: LambdaLR, leads: bool) -> tuple[int, dict[str, float], Sums]:
        if not self._checkpoint.exists():
            raise InputError(
                f"{self._checkpoint} does not exist, so there is nothing to resume; leave --resume out."
            )
        state = torch.load(self._checkpoint, weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            raise InputError(
                f"{self._checkpoint} was made with other settings ({state['fingerprint']}); these are "
                f"{self.fingerprint}. Give the same --set options, or another --out."
            )
        self.network.load_state_dict(state["network"], strict=self.whole)
        self.scaler.load_state_dict(state.get("scaler", {}))
        self.optimizer.load_state_dict(state["optimizer"])
        # The schedule itself is code and not in the checkpoint; torch wants its place kept.
        scheduler.load_state_dict({**state["scheduler"], "lr_lambdas": [None] * len(scheduler.lr_lambdas)})
        if leads:
            TrainingLog(self.out, state["step"]).cut()
        # A checkpoint that is older than the running figures has none.
        return int(state["step"]), dict(state["spent"]), dict(state.get("figures", {}))

    def _save(self, step: int, scheduler: LambdaLR, spent: Mapping[str, float], sums: Sums) -> None:
        state = {
            "step": step,
            "fingerprint": self.fingerprint,
            "network": self._state(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {k: v for k, v in scheduler.state_dict().items() if k != "lr_lambdas"},
            "scaler": self.scaler.state_dict(),
            "spent": dict(spent),
            "figures": sums,
        }
        with writing(self._checkpoint) as file:
            torch.save(state, file)

    def _state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint keeps of the network."""
        if self.whole:
            return self.network.state_dict()
        return {n: p.detach() for n, p in self.network.named_parameters() if p.requires_grad}


def recipe_options(request: TrainRequest, method: str, schema: type[Options]) -> tuple[Options, str]:
    """Return the options of a recipe that trains one method, and what a checkpoint and the weights say of them.

    Raises:
        InputError: Another method, or an option is wrong.
    """
    if request.method != method:
        raise InputError(
            f"Recipe {request.recipe} trains {method}, not {request.method}; give --method {method}."
        )
    options = parse_options(schema, request.options, owner=f"recipe {request.recipe}")
    return options, json.dumps({"recipe": request.recipe, **asdict(options)}, sort_keys=True)


def decay_groups(
    parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return AdamW's groups: no weight decay on vectors; what is frozen is left out."""
    learnt = [p for p in parameters if p.requires_grad]
    matrices, vectors = [p for p in learnt if p.ndim >= 2], [p for p in learnt if p.ndim < 2]
    return [
        {"params": matrices, "lr": lr, "weight_decay": weight_decay},
        {"params": vectors, "lr": lr, "weight_decay": 0.0},
    ]


def cosine_with_warmup(steps: int, warmup: int, hold: int = 0) -> Callable[[int], float]:
    """Return a schedule that rises linearly over ``warmup`` steps and from step ``hold`` falls to 2% along a cosine."""
    top = max(warmup, hold)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = max(0, step - top) / max(1, steps - top)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor
