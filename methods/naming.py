"""RefShapes' objects are named by their attributes, which asks image features for what masks alone do not.

It stands in for what MAE and SA-1B's pictures teach SAM's image encoder. The classifiers are thrown away afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from refseg.datasets.refshapes.grammar import VALUES
from refseg.datasets.refshapes.scene import Look
from refseg.datasets.refshapes.train import LEAST_PIXELS
from refseg.methods.sam.transforms import cell_shares


@dataclass(frozen=True)
class Objects:
    """N objects of B frames.

    Attributes:
        masks: (N, H, W) float 0/1.
        index: (N,) int64, which frame each is in.
        attributes: (N, 4) int64, each object's value of every attribute in the grammar's VALUES.
    """

    masks: Tensor
    index: Tensor
    attributes: Tensor


def visible_ids(labels: NDArray[np.uint8]) -> list[int]:
    """Return the ids of the objects of which enough is in sight in (H, W) labels."""
    return [int(i) for i in np.unique(labels) if i and (labels == i).sum() >= LEAST_PIXELS]


def attribute_values(look: Look) -> list[int]:
    """Return the place of each of a look's attributes among the grammar's VALUES."""
    return [values.index(getattr(look, name)) for name, values in VALUES.items()]


def objects_of(labels: Sequence[NDArray[np.uint8]], looks: Sequence[Mapping[str, Look]]) -> Objects:
    """Return all visible objects of B frames from their (H, W) labels and the looks by id."""
    found = [(b, i) for b, frame in enumerate(labels) for i in visible_ids(frame)]
    masks = np.zeros((len(found), *labels[0].shape), np.float32)
    for mask, (b, i) in zip(masks, found, strict=True):
        mask[:] = labels[b] == i
    return Objects(
        torch.from_numpy(masks),
        torch.tensor([b for b, _ in found], dtype=torch.long),
        torch.tensor([attribute_values(looks[b][str(i)]) for b, i in found]).view(-1, len(VALUES)),
    )


class Naming(nn.Module):
    """A linear classifier for each attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(v)) for name, v in VALUES.items()})

    def forward(self, embeddings: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Return (N, values) scores by attribute, from the mean of each embedding under its mask.

        Args:
            embeddings: (N, C, h, w).
            masks: (N, H, W), none of them empty.
        """
        side = embeddings.shape[-1]
        cell = math.ceil(max(masks.shape[-2:]) / side)
        weights = cell_shares(masks, side * cell, side)[:, None]
        pooled = (embeddings * weights).sum((-2, -1)) / weights.sum((-2, -1))
        return {name: head(pooled) for name, head in self.heads.items()}

    def loss(self, embeddings: Tensor, masks: Tensor, attributes: Tensor) -> Tensor:
        """Return the cross entropies' sum over attributes, mean over objects; 0 without any."""
        if not len(masks):
            return embeddings.sum() * 0
        scores = self(embeddings, masks).values()
        return torch.stack([F.cross_entropy(s, attributes[:, i]) for i, s in enumerate(scores)]).sum()
