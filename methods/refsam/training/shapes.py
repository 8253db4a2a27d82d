"""Batches and losses of RefSAM's training on RefShapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.datasets.refshapes.grammar import Sentence
from refseg.datasets.refshapes.train import Sample
from refseg.methods.losses import dice_loss, focal_loss
from refseg.methods.naming import Naming, Objects, objects_of
from refseg.methods.refsam.model import ImageFeatures, RefSam, TextFeatures
from refseg.methods.refsam.tracking import MASK_CELL, Track
from refseg.methods.refsam.training.dense_prompts import (
    doubted,
    mask_prompts,
    told_at_once,
    told_losses,
)
from refseg.methods.refsam.training.motion import (
    Moves,
    everything_before,
    motion_loss,
    moves_of,
    phrases,
    told_by_motion,
    unsure,
)
from refseg.methods.sam.transforms import cell_shares, normalise_and_pad

Overlap = Callable[[Tensor, Tensor], Tensor]

SEEN_AT_ONCE = ("appearance", "place", "relation", "order")
"""Types of sentences whose object, where the first frame shows it, can be told in that frame."""
WORDLESS = "the object"
"""What stands for a sentence that is left out."""
JITTER = 3.0
"""Standard deviation, in pixels, of the places that track tokens are given."""
SEVERAL = 0.5
"""How often a given mask holds all objects, where the sentence says how its own moves."""
LOST = 0.15
"""How often a given track token says nothing although its object was in sight, where the sentence is enough."""
WRONG = 0.12
"""How often a clip's given track token is another object's, where the sentence is enough to find its own again."""


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames with N sentences in all.

    Attributes:
        frames: (T, B, 3, S, S) normalised.
        masks: (T, N, H, W) float 0/1; all 0 where the referent is not visible.
        texts: N sentences.
        clip_index: (N,) which clip each sentence is about.
        decoded: (M,) rows whose masks are decoded; the others only say where their object is.
        at_once: (N,) bool, the first frame shows the object and tells that it is the one.
        others: (T, N, H, W) float 0/1, all objects but the referent.
        objects: All objects of the first frames.
        moves: All objects' from frame to frame.
        moving: (N,) bool, the sentence says how it moves.
        everything: (T, B, H, W) float 0/1, all objects in the frame before each; nothing before a first one.
        before: (N, H, W) as ``masks``, of the frame before, whose track tokens are given; None: no such frame.
    """

    frames: Tensor
    masks: Tensor
    texts: list[str]
    clip_index: Tensor
    decoded: Tensor
    at_once: Tensor
    others: Tensor
    objects: Objects
    moves: Moves
    moving: Tensor
    everything: Tensor
    before: Tensor | None = None

    def images(self, rows: Tensor, frames: Tensor) -> Tensor:
        """Return which of the T·B frames the sentences of ``rows`` are about in the clips' ``frames``."""
        return self.clip_index[rows] + frames * self.frames.shape[1]


def collate(
    samples: list[Sample], image_size: int, *, decoded: int | None = None, given: bool = False
) -> ClipBatch:
    """Stack samples of equally many frames.

    Args:
        samples: The samples.
        image_size: Side of the model's square.
        decoded: How many sentences of each have their masks decoded; None: all.
        given: The first frames only say where the objects were: track tokens are given.
    """
    first = 1 if given else 0
    frames = torch.from_numpy(np.stack([s.frames[first:] for s in samples], axis=1))  # (T, B, H, W, 3)
    t, b = frames.shape[:2]
    flat = normalise_and_pad(frames.flatten(0, 1).permute(0, 3, 1, 2), image_size)
    said: list[tuple[int, Sentence]] = [(i, s) for i, sample in enumerate(samples) for s in sample.sentences]
    masks = [samples[i].labels == (255 if s.object_id is None else int(s.object_id)) for i, s in said]
    others = [(samples[i].labels[first:] > 0) & ~own[first:] for (i, _), own in zip(said, masks, strict=True)]
    rows = [n for sample in samples for n in range(len(sample.sentences))]
    stacked = torch.from_numpy(np.stack(masks, axis=1)).float()
    before, stacked = (stacked[0], stacked[1:]) if given else (None, stacked)
    told = torch.tensor([s.type in (("appearance",) if given else SEEN_AT_ONCE) for _, s in said])
    return ClipBatch(
        flat.view(t, b, 3, image_size, image_size),
        stacked,
        [s.text for _, s in said],
        torch.tensor([i for i, _ in said]),
        torch.tensor([r for r, n in enumerate(rows) if decoded is None or n < decoded]),
        told & stacked[0].flatten(1).any(1),
        torch.from_numpy(np.stack(others, axis=1)).float(),
        objects_of([s.labels[first] for s in samples], [s.looks for s in samples]),
        moves_of(samples, first),
        torch.tensor([s.type == "motion" for _, s in said]),
        torch.from_numpy(np.stack([everything_before(s.labels, first) for s in samples], axis=1)),
        before,
    )


def clip_losses(
    model: RefSam,
    batch: ClipBatch,
    *,
    focal: float,
    alignment: float = 0.0,
    dense_prompts: float = 0.0,
    tracking: float = 0.0,
    text_dropout: float = 0.0,
    prompted: bool = False,
    naming: Naming | None = None,
    attributes: float = 0.0,
    motion: float = 0.0,
    overlap: Overlap = dice_loss,
) -> dict[str, Tensor]:
    """Return the losses of a batch, means over its rows and frames; masks are compared at the logits' resolution.

    Args:
        model: The model.
        batch: Clips.
        focal: Weight of the focal loss beside that of overlap.
        alignment: Weight of :func:`alignment_loss` in the first frame.
        dense_prompts: Weight of :func:`dense_prompt_loss` there, where there is dense attention.
        tracking: Weight of the distance between track tokens and :func:`place_tokens`.
        text_dropout: Share of the rows that get :data:`WORDLESS` where they have a track token, so that nothing but it
            says what to look for.
        prompted: The decoder gets mask prompts of the true objects in place of what dense attention gives.
        naming: Classifiers of the first frames' objects, or None.
        attributes: Weight of their loss.
        motion: Weight of :func:`motion_loss`, where there is mask memory and a frame before.
        overlap: Dice loss, or another of the overlap with the true mask.
    """
    image = model.encode_image(batch.frames.flatten(0, 1))
    moved = model.memory is not None and (len(batch.frames) > 1 or batch.before is not None)
    ways = phrases() if moved else []
    text = model.encode_text([*batch.texts, WORDLESS, *ways])
    losses = {"loss": image.embedding.new_zeros(())}
    if len(batch.decoded):
        losses = mask_losses(
            model,
            image,
            text,
            batch,
            focal=focal,
            tracking=tracking,
            text_dropout=text_dropout,
            prompted=prompted and model.hda is not None,
            overlap=overlap,
        )
    weights = {"alignment": alignment, "dense_prompt": dense_prompts if model.hda is not None else 0.0}
    weights = {kind: weight for kind, weight in weights.items() if weight}
    telling = {"": told_at_once(batch)}
    if moved:
        telling["moving_"] = told_by_motion(model, image, batch)
    for name, told in telling.items():
        for kind, loss in told_losses(model, image, text, batch, told, list(weights)).items():
            losses[f"{name}{kind}"] = loss
            losses["loss"] = losses["loss"] + weights[kind] * loss
    if motion and moved:
        said = text.rows(torch.arange(len(batch.texts) + 1, len(text.words)))
        losses["motion"], losses["motion_right"] = motion_loss(model, image, said, batch)
        losses["loss"] = losses["loss"] + motion * losses["motion"]
    if naming is not None:
        objects = batch.objects
        losses["naming"] = naming.loss(image.embedding[objects.index], objects.masks, objects.attributes)
        losses["loss"] = losses["loss"] + attributes * losses["naming"]
    return losses


def mask_losses(
    model: RefSam,
    image: ImageFeatures,
    text: TextFeatures,
    batch: ClipBatch,
    *,
    focal: float,
    tracking: float,
    text_dropout: float,
    prompted: bool = False,
    overlap: Overlap = dice_loss,
) -> dict[str, Tensor]:
    """Return overlap's (``dice``), focal and tracking loss of the decoded rows; arguments as in :func:`clip_losses`."""
    seen = (batch.masks[0] if batch.before is None else batch.before).flatten(1).any(1)
    # What was not in sight cannot be known without its sentence.
    dropped = seen & (torch.rand(len(seen)) < text_dropout)
    track = given_track(model, batch, dropped)
    dice, focals, distances = [], [], []
    truth = batch.masks[:, batch.decoded]
    for (low, carried), masks in zip(
        frame_outputs(model, image, text, batch, dropped, track, prompted), truth, strict=True
    ):
        wanted = F.adaptive_avg_pool2d(masks[:, None], (low.shape[-2], low.shape[-1]))[:, 0]
        dice.append(overlap(low, wanted).mean())
        focals.append(focal_loss(low, wanted).mean())
        if tracking and carried is not None and carried.tokens is not None:
            tokens = carried.tokens
            distances.append(F.mse_loss(tokens, place_tokens(model, masks).expand_as(tokens)))
    d, f = torch.stack(dice).mean(), torch.stack(focals).mean()
    losses = {"loss": d + focal * f, "dice": d, "focal": f}
    if distances:
        losses["tracking"] = torch.stack(distances).mean()
        losses["loss"] = losses["loss"] + tracking * losses["tracking"]
    return losses


def place_tokens(model: RefSam, masks: Tensor, jitter: float = 0.0) -> Tensor:
    """Return what SAM's prompt encoder makes of a point at each mask's centre, normalised as track tokens are.

    Of an empty mask it is what SAM gives for no point.

    Args:
        model: The model.
        masks: (N, H, W) 0/1.
        jitter: Standard deviation of the place in pixels.

    Returns:
        (N, 1, C).
    """
    area = masks.sum((-2, -1))
    x = (masks.sum(1) * torch.arange(masks.shape[2])).sum(1) / area.clamp(min=1)
    y = (masks.sum(2) * torch.arange(masks.shape[1])).sum(1) / area.clamp(min=1)
    points = torch.stack([x, y], dim=1)
    if jitter:
        points = points + jitter * torch.randn_like(points)
    labels = torch.where(area > 0, 1, -1)
    sparse, _ = model.sam.prompt_encoder(points=(points[:, None], labels[:, None]), boxes=None, masks=None)
    return F.layer_norm(sparse[:, :1], sparse.shape[-1:])


def given_track(model: RefSam, batch: ClipBatch, dropped: Tensor) -> Track | None:
    """Return what the decoded rows carry from where their objects were, or None where nothing is given.

    With mask memory the sentences about motion at times get a mask of all objects and a token that says nothing, so
    that they are to find their own by how it moves; and a clip's wrong object, which its motion gives away.
    """
    if batch.before is None or (model.itm is None and model.memory is None):
        return None
    rows = batch.decoded
    enough = batch.at_once[rows] & ~dropped[rows]
    lost = enough & (torch.rand(len(rows)) < LOST)
    moving = batch.moving[rows] & ~dropped[rows] & (model.memory is not None)
    whose = rows
    if len(batch.frames) > 1:
        wrong = (enough | moving) & (torch.rand(len(rows)) < WRONG)
        whose = torch.where(wrong, rows[_of_same_clip(batch.clip_index[rows])], rows)
    tokens = masks = several = None
    before = batch.before[whose] * ~lost[:, None, None]
    if model.memory is not None:
        several = (moving & (torch.rand(len(rows)) < SEVERAL))[:, None, None]
        shown = torch.where(several, batch.everything[0, batch.clip_index[rows]], before)
        side = MASK_CELL * model.sam.prompt_encoder.image_embedding_size[0]
        masks = unsure(cell_shares(shown, batch.frames.shape[-1], side))
        before = before * ~several
    if model.itm is not None:
        tokens = place_tokens(model, before, JITTER).expand(-1, model.itm.count, -1)
    return Track(tokens, masks)


def _of_same_clip(clip_index: Tensor) -> Tensor:
    """Return for each row one of its clip's rows, drawn at random."""
    return torch.multinomial((clip_index[:, None] == clip_index).float(), 1)[:, 0]


def frame_outputs(
    model: RefSam,
    image: ImageFeatures,
    text: TextFeatures,
    batch: ClipBatch,
    dropped: Tensor | None = None,
    track: Track | None = None,
    prompted: bool = False,
) -> Iterator[tuple[Tensor, Track | None]]:
    """Yield each frame's logits in order, with what is carried on to the next.

    Args:
        model: The model.
        image: The T·B frames.
        text: The N sentences; where ``dropped`` is given, then one that stands for those left out.
        batch: The clips.
        dropped: (N,) bool, rows whose sentence is left out wherever they have a track token.
        track: What the first frames are told, or None.
        prompted: The decoder gets :func:`mask_prompts` of the true masks, :func:`doubted`.

    Yields:
        (M, h, w) of the part of the model's square that the frame fills, and what M rows carry.
    """
    rows = batch.decoded
    height, width = batch.masks.shape[-2:]
    index = batch.clip_index[rows]
    # What is computed once a frame is computed of the clips' frames at hand only.
    for i, shown in enumerate(image.split(batch.frames.shape[1])):
        said = rows
        if dropped is not None and track is not None:
            said = torch.where(dropped[rows], len(batch.texts), rows)
        dense = None
        if prompted:
            side = image.embedding.shape[-1]
            shares = cell_shares(batch.masks[i, rows], batch.frames.shape[-1], side)
            dense = mask_prompts(model, doubted(shares))
        output = model.decode(shown, text.rows(said), index, track, dense)
        low, _ = model.select(output)
        scale = batch.frames.shape[-1] // low.shape[-1]
        track = model.next_track(output)
        yield low[:, : -(-height // scale), : -(-width // scale)], track
