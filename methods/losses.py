"""Mask losses of SAM and RefSAM (paper IV-B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice of (..., H, W) logits and 0/1 targets, with 1 added above and below; shape (...)."""
    p = logits.sigmoid()
    overlap = (p * targets).sum((-2, -1))
    total = p.sum((-2, -1)) + targets.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> torch.Tensor:
    """Return the focal loss averaged over pixels, (...), of (..., H, W) logits and 0/1 targets."""
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    off = p + targets - 2 * p * targets
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * off**gamma * ce).mean((-2, -1))
