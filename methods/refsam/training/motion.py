"""How a RefSAM with mask memory learns what sentences say of motion.

Where the mask of the frame before held several objects, what has become of it tells how each of them moves. Places
are aligned with words in two ways: every object's cells with the phrase for its motion, and whole sentences about
motion with their object's cells, as sentences about looks are with theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.datasets.refshapes.grammar import motion_phrases
from refseg.datasets.refshapes.scene import MOTIONS
from refseg.datasets.refshapes.train import LEAST_PIXELS, Sample
from refseg.methods.refsam.model import ImageFeatures, RefSam, TextFeatures
from refseg.methods.refsam.tracking import MASK_CELL
from refseg.methods.refsam.training.dense_prompts import Told
from refseg.methods.sam.transforms import cell_shares

if TYPE_CHECKING:
    from refseg.methods.refsam.training.shapes import ClipBatch

LEAST_HELD = 0.3
"""Probability that a mask which holds an object gives it at least: a model's own masks are not sure of it either."""

PAIRS = 48
"""Pairs of a sentence about motion and a frame that are aligned in a step, at most."""


@dataclass(frozen=True)
class Moves:
    """M objects that are in sight in a frame and in the one drawn before it.

    Attributes:
        before: (M, H, W) float 0/1, in the frame before.
        now: (M, H, W) float 0/1.
        index: (M,) int64, which of the T·B frames.
        motion: (M,) int64, how each moves, a place among the scene's MOTIONS.
    """

    before: Tensor
    now: Tensor
    index: Tensor
    motion: Tensor


def moves_of(samples: list[Sample], first: int) -> Moves:
    """Return the moves in B clips of which the frames from ``first`` on are seen."""
    found = [
        (t, b, i)
        for b, sample in enumerate(samples)
        for t in range(max(1, first), len(sample.labels))
        for i in map(int, sample.motions)
        if min((sample.labels[k] == i).sum() for k in (t - 1, t)) >= LEAST_PIXELS
    ]
    before, now = (np.zeros((len(found), *samples[0].labels.shape[1:]), np.float32) for _ in range(2))
    for k, (t, b, i) in enumerate(found):
        before[k], now[k] = (samples[b].labels[u] == i for u in (t - 1, t))
    known = tuple(MOTIONS)
    return Moves(
        torch.from_numpy(before),
        torch.from_numpy(now),
        torch.tensor([(t - first) * len(samples) + b for t, b, _ in found], dtype=torch.long),
        torch.tensor([known.index(samples[b].motions[str(i)]) for _, b, i in found], dtype=torch.long),
    )


def everything_before(labels: NDArray[np.uint8], first: int) -> NDArray[np.float32]:
    """Return (T, H, W) 0/1, all objects in the frame before each of those from ``first`` on; none before frame 0."""
    shown = (labels > 0).astype(np.float32)
    return shown[:-1] if first else np.concatenate([np.zeros_like(shown[:1]), shown[:-1]])


def unsure(masks: Tensor) -> Tensor:
    """Return (N, h, w) masks as a model carries them, each with a probability of its own from :data:`LEAST_HELD` on."""
    return masks * (LEAST_HELD + (1 - LEAST_HELD) * torch.rand(len(masks), 1, 1))


def phrases() -> list[str]:
    """Return a sentence for each of the scene's MOTIONS, worded at random."""
    said = [motion_phrases(motion) for motion in MOTIONS]
    return [f"the object {ways[int(torch.randint(len(ways), ()))]}" for ways in said]


def motion_loss(
    model: RefSam, image: ImageFeatures, said: TextFeatures, batch: ClipBatch
) -> tuple[Tensor, Tensor]:
    """Return how badly what mask memory adds to objects' cells tells which of five sentences is true of their motion.

    Args:
        model: One with mask memory.
        image: The T·B frames.
        said: The sentences of :func:`phrases`; what counts is their last tokens, as in alignment.
        batch: The clips.

    Returns:
        The cross entropy, and the share of cells that are right.
    """
    assert model.memory is not None
    moves, square, side = batch.moves, batch.frames.shape[-1], image.embedding.shape[-1]
    cells = cell_shares(moves.now, square, side) > 0.5
    if not cells.any():
        return image.embedding.sum() * 0, image.embedding.new_zeros(())
    seen = model.memory(image.embedding, cell_shares(moves.before, square, MASK_CELL * side), moves.index)
    last = said.words[torch.arange(len(said.words)), said.mask.sum(1) - 1]
    scores = seen.permute(0, 2, 3, 1)[cells] @ last.T / last.shape[1] ** 0.5
    wanted = moves.motion[:, None, None].expand_as(cells)[cells]
    return F.cross_entropy(scores, wanted), (scores.argmax(1) == wanted).float().mean()


def told_by_motion(model: RefSam, image: ImageFeatures, batch: ClipBatch) -> Told:
    """Return sentences about motion with frames in which their object is in sight and was so in the frame before.

    What mask memory sees is a mask of all objects.
    """
    assert model.memory is not None
    shows = batch.masks.flatten(2).sum(2) >= LEAST_PIXELS
    nothing = torch.zeros_like(shows[:1])
    first = nothing if batch.before is None else batch.before.flatten(1).sum(1)[None] >= LEAST_PIXELS
    frames, rows = (shows & torch.cat([first, shows[:-1]]) & batch.moving).nonzero(as_tuple=True)
    chosen = torch.randperm(len(rows))[:PAIRS]
    rows, frames = rows[chosen], frames[chosen]
    if not len(rows):
        return Told(rows, frames)
    everything = batch.everything[frames, batch.clip_index[rows]]
    masks = cell_shares(everything, batch.frames.shape[-1], MASK_CELL * image.embedding.shape[-1])
    return Told(rows, frames, model.memory(image.embedding, unsure(masks), batch.images(rows, frames)))
