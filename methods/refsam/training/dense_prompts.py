"""What dense attention is taught on RefShapes: which places a sentence means, said as SAM's mask prompts say it.

A dense prompt of SAM is a mask through its prompt encoder, and the decoder adds it to the image embedding as it adds
what dense attention gives. So the decoder learns to read such prompts while dense attention learns to write them:
neither waits for the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.losses import place_loss
from refseg.methods.refsam.attention import place_scores
from refseg.methods.refsam.model import ImageFeatures, RefSam, TextFeatures
from refseg.methods.sam.transforms import cell_shares

if TYPE_CHECKING:
    from refseg.methods.refsam.training.shapes import ClipBatch

LOGIT = 10.0
"""Mask logits of a cell that the object fills, and minus those of one that it does not touch."""

OWN, OTHERS, NOTHING = 0.4, 0.4, 0.2
"""Weights of the cells of the object, of all other objects, and of the rest: most of the rest is easy."""

FILLED = 0.3
"""A cell counts as the object's from this share on."""


def balance(model: RefSam) -> None:
    """Set the first weights of what fuses sentence and image so that both count.

    From plain random weights dense attention's output is nearly all image: intermediate maps are tens of units long and
    a sentence's words two or three, so that what attention found is lost in it, and learnt slowly. Here words are
    about as long as SAM's own prompts, and dense attention writes the words that it attends to where they were found,
    in the space that the decoder gets words in.
    """
    with torch.no_grad():
        last = model.cross_modal_mlp[-1]  # type: ignore[index]
        assert isinstance(last, nn.Linear)
        last.weight.mul_(3.5)
        if model.hda is None:
            return
        for reduction in model.hda.reductions:
            assert isinstance(reduction, nn.Conv2d)
            reduction.weight.mul_(0.25)
        for attention in model.hda.attentions:
            weight = attention.conv.weight  # type: ignore[union-attr]
            assert isinstance(weight, Tensor)
            of_text, of_visual = weight.chunk(2, dim=1)
            of_text.copy_(0.5 * torch.eye(len(weight))[:, :, None, None])
            of_visual.mul_(0.05)


def frame_cells(size: tuple[int, int], square: int, side: int) -> Tensor:
    """Return (side, side) bool, the cells that a frame (H, W) reaches into."""
    cell = square // side
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[: -(-size[0] // cell), : -(-size[1] // cell)] = True
    return inside


def doubted(shares: Tensor) -> Tensor:
    """Return shares as dense attention will find them at best: weaker, uneven, with another place that half fits."""
    n = len(shares)
    own, other = (torch.rand(n, 1, 1) for _ in range(2))
    own = 0.5 + 0.5 * own
    elsewhere = shares[torch.randperm(n)]
    mixed = torch.maximum(shares * own, elsewhere * own * 0.7 * other)
    return (mixed + 0.08 * torch.randn_like(mixed)).clamp(0, 1)


@torch.no_grad()
def mask_prompts(model: RefSam, shares: Tensor) -> Tensor:
    """Return SAM's mask prompts (N, C, side, side) of what share (N, side, side) of each cell is meant."""
    encoder = model.sam.prompt_encoder
    logits = LOGIT * (2 * shares[:, None] - 1)
    prompts: Tensor = encoder.mask_downscaling(F.interpolate(logits, encoder.mask_input_size, mode="nearest"))
    return prompts


def cell_weights(shares: Tensor, others: Tensor, inside: Tensor) -> Tensor:
    """Return (N, side, side) weights of cells, each kind's summing to what it counts; see :data:`OWN`.

    Args:
        shares: (N, side, side) of the object.
        others: (N, side, side) of all others.
        inside: (side, side) from :func:`frame_cells`.
    """

    def spread(x: Tensor) -> Tensor:
        return x / x.sum((-2, -1), keepdim=True).clamp(min=1)

    free = shares < 0.01
    rest = (free & (others < 0.01) & inside).float()
    return OWN * spread(shares) + OTHERS * spread(others * free) + NOTHING * spread(rest)


@dataclass(frozen=True)
class Cells:
    """Frames as cells, for N rows.

    Attributes:
        shares: (N, side, side) of the object.
        weights: (N, side, side) from :func:`cell_weights`.
        inside: (side, side) bool from :func:`frame_cells`.
    """

    shares: Tensor
    weights: Tensor
    inside: Tensor


@dataclass(frozen=True)
class Told:
    """P pairs of a sentence and a frame in which it tells which object is meant.

    Attributes:
        rows: (P,) the sentences.
        frames: (P,) the clips' frames.
        seen: (P, C, h, w) what mask memory adds there, or None.
    """

    rows: Tensor
    frames: Tensor
    seen: Tensor | None = None


def told_at_once(batch: ClipBatch) -> Told:
    """Return the sentences that the first frame suffices for."""
    rows = batch.at_once.nonzero()[:, 0]
    return Told(rows, torch.zeros_like(rows))


def cells_of(batch: ClipBatch, told: Told, side: int) -> Cells:
    """Return what ``side`` x ``side`` cells hold of the frames that the pairs are about."""
    square, masks = batch.frames.shape[-1], batch.masks[told.frames, told.rows]
    shares, others = (cell_shares(m, square, side) for m in (masks, batch.others[told.frames, told.rows]))
    inside = frame_cells((masks.shape[-2], masks.shape[-1]), square, side)
    return Cells(shares, cell_weights(shares, others, inside), inside)


def told_losses(
    model: RefSam,
    image: ImageFeatures,
    text: TextFeatures,
    batch: ClipBatch,
    told: Told,
    names: Sequence[str],
) -> dict[str, Tensor]:
    """Return the pairs' losses by name, 0 without any: :func:`alignment_loss`, :func:`dense_prompt_loss`."""
    if not len(told.rows):
        return dict.fromkeys(names, text.sentence.sum() * 0)
    said, index = text.rows(told.rows), batch.images(told.rows, told.frames)
    maps = image.maps or (image.embedding,)
    cells = cells_of(batch, told, maps[0].shape[-1])
    scores = place_scores(maps, said.bank, index, told.seen)
    losses = {}
    if "alignment" in names:
        losses["alignment"] = alignment_loss(scores, said, cells)
    if "dense_prompt" in names:
        found = model.dense_prompts(image, said, index, told.seen, scores)
        losses["dense_prompt"] = dense_prompt_loss(model, found, cells)
    return losses


def dense_prompt_loss(model: RefSam, found: Tensor, cells: Cells) -> Tensor:
    """Return the mean squared distance between dense attention's output and :func:`mask_prompts` of the objects.

    As a share of that between a full and an empty mask's prompt; weighted by :func:`cell_weights`, the pairs' mean.

    Args:
        model: The model.
        found: (P, C, side, side), dense attention's output.
        cells: Of the pairs.
    """
    side = found.shape[-1]
    full, empty = mask_prompts(model, torch.stack([torch.ones(side, side), torch.zeros(side, side)]))
    unit = (full - empty).square().sum(0).mean()
    off = (found - mask_prompts(model, cells.shares)).square().sum(1) / unit
    weighted: Tensor = off * cells.weights
    return weighted.sum((-2, -1)).mean()


def alignment_loss(scores: Sequence[Tensor], text: TextFeatures, cells: Cells) -> Tensor:
    """Return how badly dense attention's softmax over words tells a sentence's places, the mean over the pairs.

    What counts is the last token, which T5 ends every sentence with: it is the same in all of them, so that what is
    attended by it can be told from what other words attend. The logit of its share, summed over the maps, is trained
    twice: of all places those of the object come first, and each place by itself is the object's or not.

    Args:
        scores: The pairs' :func:`place_scores`.
        text: Their sentences.
        cells: Of the pairs.
    """
    logits = last_token_logits(scores, text.mask)
    ranked = place_loss(logits, cells.shares.flatten(1), cells.inside.flatten())
    filled = (cells.shares > FILLED).float().flatten(1)
    alone = F.binary_cross_entropy_with_logits(logits, filled, reduction="none")
    weighted = alone * cells.weights.flatten(1)
    return (ranked + weighted.sum(1)).mean()


def last_token_logits(scores: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return (N, h·w): the logit of the last token's share in each map's softmax (equation 4), summed over the maps.

    Args:
        scores: (N, 1 + L, h·w) each, of a sentence and its words, from :func:`place_scores`.
        mask: (N, L) bool, False at padding.
    """
    kept = F.pad(mask, (1, 0), value=True)
    last = F.one_hot(mask.sum(1), kept.shape[1]).bool()
    others = (kept & ~last)[:, :, None]
    logits = [s[last] - s.masked_fill(~others, -torch.inf).logsumexp(1) for s in scores]
    return torch.stack(logits).sum(0)
