"""Processes of one training that a launcher started, one a GPU: ``torchrun`` or ``accelerate launch``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from refseg.bench.errors import InputError

PATIENCE = timedelta(hours=12)
"""How long processes wait for the one that evaluates."""


def launched() -> bool:
    """Return whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


class Accelerated:
    """This process among those that the launcher started; see :class:`refseg.methods.team.Crew`.

    Args:
        device: What the training was asked to run on; with CUDA each process has a GPU of its own.

    Raises:
        InputError: accelerate is not installed.
    """

    def __init__(self, device: str) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.utils import InitProcessGroupKwargs
        except ImportError:
            raise InputError(
                "Several processes share this training (WORLD_SIZE is set), which needs accelerate; install "
                "refseg-bench[train], or start one process."
            ) from None
        patience = InitProcessGroupKwargs(timeout=PATIENCE)
        self._accelerator: Any = Accelerator(cpu=device == "cpu", kwargs_handlers=[patience])
        self.size: int = self._accelerator.num_processes
        self.rank: int = self._accelerator.process_index
        self.device: torch.device = self._accelerator.device
        self.cpu_seconds = 0.0
        self._begin = time.process_time()

    def __enter__(self) -> Self:
        self._accelerator.wait_for_everyone()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._accelerator.wait_for_everyone()
            self._accelerator.end_training()

    def mean(
        self, parameters: Sequence[nn.Parameter], values: dict[str, float], rows: int
    ) -> dict[str, float]:
        """Replace the gradients by those of the whole batch, and return the mean of the values over it.

        Parameters without a gradient in this step stay so: their like have none in any process.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        spent = time.process_time() - self._begin
        sums = self.total(
            torch.tensor([spent, rows, *(rows * v for v in values.values())], dtype=torch.float64)
        )
        flat = self.total(rows * torch.cat([g.flatten().float() for g in gradients])) / sums[1].item()
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()
        self.cpu_seconds = float(sums[0])
        return dict(zip(values, (sums[2:] / sums[1]).tolist(), strict=True))

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of what all processes give, on this one's device."""
        total: torch.Tensor = self._accelerator.reduce(values.to(self.device), reduction="sum")
        return total
