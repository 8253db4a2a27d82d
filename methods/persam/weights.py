"""PerSAM-F's two learnt numbers: how much each of SAM's three masks counts."""

from __future__ import annotations

import torch
from torch import Tensor

from refseg.bench.types import BoolArray
from refseg.methods.losses import dice_loss, focal_loss


def learn_mask_weights(logits: Tensor, mask: BoolArray, *, steps: int, learning_rate: float) -> Tensor:
    """Return (3,) weights of SAM's masks whose sum is 1: the last two are learnt, the first is what remains.

    SAM is frozen and the prompt stays, so its three masks are computed once; the release computes them anew in
    every step, to the same effect.

    Args:
        logits: (3, H, W) of the reference image.
        mask: (H, W) its mask.
        steps: Steps of AdamW with a cosine schedule down to 0.
        learning_rate: At the first step.
    """
    truth = torch.as_tensor(mask, device=logits.device).float()
    with torch.enable_grad():
        learnt = torch.full((2,), 1 / 3, device=logits.device, requires_grad=True)
        optimizer = torch.optim.AdamW([learnt], lr=learning_rate, eps=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            together = weighted(logits, _whole(learnt))
            loss = dice_loss(together, truth) + focal_loss(together, truth)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return _whole(learnt).detach()


def weighted(logits: Tensor, weights: Tensor) -> Tensor:
    """Return (..., H, W): the weighted sum of (..., 3, H, W) logits."""
    return (logits * weights[:, None, None]).sum(-3)


def _whole(learnt: Tensor) -> Tensor:
    return torch.cat([1 - learnt.sum(0, keepdim=True), learnt])
