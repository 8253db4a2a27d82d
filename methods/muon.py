"""Muon for a network's hidden matrices and AdamW for all else, as one optimiser for the small trainings.

For small networks that learn from nothing within minutes. torch's own ``torch.optim.Muon`` takes matrices only, and
computes in bfloat16, which is slow on processors without instructions for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from refseg.methods.team import Crew
from refseg.methods.training import decay_groups

MOMENTUM = 0.95
LR_FACTOR = 2.0
"""Muon's learning rate for one of AdamW."""
_A, _B, _C = 3.4445, -4.7750, 2.0315
_EMBEDDINGS = re.compile(r"embed|rel_pos|shared|relative_attention_bias|tokens?\.weight|heads\.")
"""Names of what is looked up or added, and of last layers, which Muon is not for."""


def orthogonalized(gradient: Tensor, steps: int = 5) -> Tensor:
    """Return roughly U V^T of a matrix U S V^T: its singular values become about 1.

    By the Newton-Schulz iteration of Jordan et al., "Muon" (2024), with its coefficients.
    """
    tall = gradient.shape[0] > gradient.shape[1]
    x = gradient.T if tall else gradient
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return x.T if tall else x


class MuonAdamW(torch.optim.AdamW):
    """AdamW, but groups with ``muon=True`` are stepped by Muon.

    Its updates are as large as AdamW's usually are (0.2 · sqrt(larger side), "Muon is Scalable", 2025), so learning
    rates compare. A convolution is a matrix of its output channels; a tensor that stacks several matrices, as queries,
    keys and values, is cut into ``stacked`` of them, and one that acts on several inputs into as many, which lie
    ``beside`` each other.
    """

    crew: Crew | None = None
    """Processes that have the same gradients and divide a step's work; None: this one does all of it."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step."""
        groups = self.param_groups
        muon = [(p, g) for g in groups if g.get("muon") for p in g["params"] if p.grad is not None]
        for (parameter, group), update in zip(muon, self._updates(muon), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.view_as(parameter), alpha=-group["lr"])
        self.param_groups = [g for g in groups if not g.get("muon")]
        try:
            return super().step(closure)
        finally:
            self.param_groups = groups

    def _updates(self, muon: Sequence[tuple[Tensor, dict[str, Any]]]) -> list[Tensor]:
        """Return every matrix's update; each process works out a share of them and is told the others."""
        rank, size = (0, 1) if self.crew is None else (self.crew.rank, self.crew.size)
        updates = []
        for i, (parameter, group) in enumerate(muon):
            wanted = self._wanted(parameter)
            updates.append(_update(wanted, group) if i % size == rank else torch.zeros_like(wanted))
        if self.crew is None or size == 1 or not updates:
            return updates
        flat = self.crew.total(torch.cat([update.flatten() for update in updates]))
        return list(torch.split(flat, [update.numel() for update in updates]))

    def _wanted(self, parameter: Tensor) -> Tensor:
        """Return the matrix to go along, Nesterov's, and keep its momentum."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            # AdamW wants a step of every state that it loads.
            state["step"] = torch.zeros(())
            state["momentum"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(state["momentum"], MOMENTUM).flatten(1)


def _update(wanted: Tensor, group: dict[str, Any]) -> Tensor:
    count, dim = (group["stacked"], 0) if group["stacked"] > 1 else (group["beside"], 1)
    parts = wanted.chunk(count, dim)
    return torch.cat([0.2 * max(part.shape) ** 0.5 * orthogonalized(part) for part in parts], dim)


def muon_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], *, lr: float, weight_decay: float, beside: int = 1
) -> list[dict[str, Any]]:
    """Return the groups of :class:`MuonAdamW` for named parameters; those that are frozen are left out.

    Matrices and convolutions go to Muon, at :data:`LR_FACTOR` times the learning rate. Embeddings and tokens go to
    AdamW, and vectors do without weight decay.

    Args:
        parameters: With their names.
        lr: AdamW's learning rate.
        weight_decay: Of both.
        beside: How many inputs each matrix acts on; an input that is much larger would have the whole update otherwise.
    """
    stacks: dict[int, list[nn.Parameter]] = {1: [], 3: []}
    others: list[nn.Parameter] = []
    for name, parameter in parameters:
        if parameter.ndim < 2 or _EMBEDDINGS.search(name):
            others.append(parameter)
        elif parameter.requires_grad:
            stacks[3 if "qkv" in name else 1].append(parameter)
    rates = {"lr": LR_FACTOR * lr, "weight_decay": weight_decay}
    muon = [{"params": p, "muon": True, "stacked": n, "beside": beside, **rates} for n, p in stacks.items()]
    return [g for g in (*muon, *decay_groups(others, lr=lr, weight_decay=weight_decay)) if g["params"]]
