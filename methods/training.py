"""The training loop that all recipes share: seeded, resumable, logged."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from refseg.bench.atomic import sweep, write_bytes, write_error, writing
from refseg.bench.errors import InputError
from refseg.bench.locks import locked
from refseg.methods.curve import draw_curve
from refseg.methods.team import Team

T = TypeVar("T")
_LOG_HEAD = ("step", "figure", "value")
Losses = dict[str, torch.Tensor]


class Steps(Dataset[T]):
    """The batches of a training as a map from step to batch; a step's batch depends on nothing but the step."""

    def __init__(self, make: Callable[[int], T], start: int, stop: int) -> None:
        self._make, self._start, self._stop = make, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> T:
        if index >= len(self):
            raise IndexError(index)
        return self._make(self._start + index)


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
        evaluate: Figures for the log, by step; run every ``evaluate_every`` steps and at the end.
        fingerprint: Settings that must agree for a resume.
        rows: Number of rows of a batch; shares weigh by it.
        processes: Processes that share each batch and add up their gradients.
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
    processes: int = 1
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
        with locked(self.out, "training"):
            sweep(self.out)
            scheduler = LambdaLR(self.optimizer, self.schedule)
            start, spent, sums = self._restore(scheduler) if resume else self._fresh()
            with Team(self.processes, lambda team: self._follow(team, start, scheduler)) as team:
                return self._lead(team, start, spent, sums, scheduler)

    def _follow(self, team: Team, start: int, scheduler: LambdaLR) -> None:
        """Compute a share of every step; the leader logs, evaluates and saves."""
        for step, batch in self._batches(start, team.rank):
            self._step(batch, step, scheduler, team)

    def _lead(
        self, team: Team, start: int, spent: dict[str, float], sums: dict[str, float], scheduler: LambdaLR
    ) -> dict[str, float]:
        begin = time.perf_counter()
        before = dict(spent)
        for step, batch in self._shown(self._batches(start, team.rank), start):
            losses = self._step(batch, step, scheduler, team)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            done = step + 1
            spent = {
                "wall_seconds": before["wall_seconds"] + time.perf_counter() - begin,
                "cpu_seconds": before["cpu_seconds"] + team.cpu_seconds,
            }
            if done % self.log_every == 0 or done == self.steps:
                n = done % self.log_every or self.log_every
                figures = {k: v / n for k, v in sums.items()}
                sums = {}
                if done % self.evaluate_every == 0 or done == self.steps:
                    self.network.eval()
                    figures |= dict(self.evaluate())
                    self.network.train()
                self._log(done, figures, spent)
            if done % self.checkpoint_every == 0 or done == self.steps:
                self._save(done, scheduler, spent, sums)
        draw_curve(self.out / "log.csv", self.out / "curve.png")
        return spent

    def _step(self, batch: Any, step: int, scheduler: LambdaLR, team: Team) -> dict[str, float]:
        torch.manual_seed(step)
        losses = self.compute(batch, step)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        values = team.mean(parameters, {k: float(v.detach()) for k, v in losses.items()}, self.rows(batch))
        torch.nn.utils.clip_grad_norm_(parameters, self.clip_norm)
        self.optimizer.step()
        scheduler.step()
        return values

    def _batches(self, start: int, rank: int) -> Iterator[tuple[int, Any]]:
        loader: DataLoader[Any] = DataLoader(
            Steps(lambda step: self.make_batch(step, rank), start, self.steps),
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
            collate_fn=_identity,
            worker_init_fn=_one_thread,
        )
        return enumerate(loader, start)

    def _shown(self, batches: Iterator[tuple[int, Any]], start: int) -> Iterator[tuple[int, Any]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("training", total=self.steps, completed=start)
            for item in batches:
                yield item
                progress.advance(task)

    @property
    def _checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def _fresh(self) -> tuple[int, dict[str, float], dict[str, float]]:
        if self._checkpoint.exists():
            raise InputError(
                f"{self.out} holds a checkpoint already; add --resume to go on from it, or give another --out."
            )
        (self.out / "log.csv").unlink(missing_ok=True)
        return 0, {"wall_seconds": 0.0, "cpu_seconds": 0.0}, {}

    def _restore(self, scheduler: LambdaLR) -> tuple[int, dict[str, float], dict[str, float]]:
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
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        # The schedule itself is code and not in the checkpoint; torch wants its place kept.
        scheduler.load_state_dict({**state["scheduler"], "lr_lambdas": [None] * len(scheduler.lr_lambdas)})
        self._cut_log(state["step"])
        # A checkpoint that is older than the sums has none.
        return int(state["step"]), dict(state["spent"]), dict(state.get("sums", {}))

    def _save(
        self, step: int, scheduler: LambdaLR, spent: Mapping[str, float], sums: Mapping[str, float]
    ) -> None:
        state = {
            "step": step,
            "fingerprint": self.fingerprint,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": {k: v for k, v in scheduler.state_dict().items() if k != "lr_lambdas"},
            "spent": dict(spent),
            "sums": dict(sums),
        }
        with writing(self._checkpoint) as file:
            torch.save(state, file)

    def _log(self, step: int, figures: Mapping[str, float], spent: Mapping[str, float]) -> None:
        path = self.out / "log.csv"
        rows = [(step, name, value) for name, value in {**figures, **spent}.items()]
        try:
            with path.open("a", newline="") as file:
                csv.writer(file).writerows([_LOG_HEAD, *rows] if not file.tell() else rows)
        except OSError as error:
            raise write_error(path, error) from error

    def _cut_log(self, step: int) -> None:
        """Drop rows after the checkpoint, which the resumed run writes again."""
        path = self.out / "log.csv"
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            # A killed process may have left a part of a row, but after the checkpoint's.
            kept = [r for r in rows if len(r) == 3 and int(r[0]) <= step]
            text = io.StringIO(newline="")
            csv.writer(text).writerows([_LOG_HEAD, *kept])
            write_bytes(path, text.getvalue().encode())


def cosine_with_warmup(steps: int, warmup: int) -> Callable[[int], float]:
    """Return a schedule that rises linearly over ``warmup`` steps and falls to 2% along a cosine."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        import math

        done = (step - warmup) / max(1, steps - warmup)
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor
