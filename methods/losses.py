"""Losses that several trainings share: of masks (paper IV-B), and of which place a sentence means."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice of (..., H, W) logits and 0/1 targets, with 1 added above and below; shape (...)."""
    p = logits.sigmoid()
    overlap = (p * targets).sum((-2, -1))
    total = p.sum((-2, -1)) + targets.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def jaccard_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return 1 - J of (..., H, W) logits and 0/1 targets, with 1 added above and below; shape (...).

    Where either of two objects may be meant, it is least for the likelier one, where Dice's is for both.
    """
    p = logits.sigmoid()
    overlap = (p * targets).sum((-2, -1))
    total = p.sum((-2, -1)) + targets.sum((-2, -1))
    return 1 - (overlap + 1) / (total - overlap + 1)


def focal_loss(
    logits: torch.Tensor, targets: torch.Tensor, *, alpha: float = 0.25, gamma: float = 2.0
) -> torch.Tensor:
    """Return the focal loss averaged over pixels, (...), of (..., H, W) logits and 0/1 targets."""
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    off = p + targets - 2 * p * targets
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return (weight * off**gamma * ce).mean((-2, -1))


def place_loss(scores: torch.Tensor, wanted: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return minus the logarithm of the wanted places' share in a softmax over all places, (N,).

    As places compete, what scores them learns to rank ("the leftmost") where a loss of each alone asks for a threshold.

    Args:
        scores: (N, P) of every place.
        wanted: (N, P) in 0..1, how much of a place is wanted; each row wants something that counts.
        counts: (P,) or (N, P), the places that count; others are not wanted.
    """
    shares = scores.masked_fill(~counts, -torch.inf).log_softmax(1)
    return -torch.where(wanted > 0, shares + wanted.clamp(min=1e-6).log(), -torch.inf).logsumexp(1)
