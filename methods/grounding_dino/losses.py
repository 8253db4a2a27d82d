"""Grounding DINO's training losses: transformers' own, of objects that any set of a text's words may name.

Three things of transformers 5.23 are in the way of a training from nothing, and are mended here:

- Its loss gives an object one phrase of the text; here it has the words of every phrase that fits it.
- From the third image of a batch on, its loss looks up another image's phrases.
- The first stage, whose best cells become the decoder's queries, gets no gradient: boxes are detached, and what is
  scored is the query embedding and not the cell. Here every cell near an object's centre is trained to find it, as in
  dense detectors ("FCOS", 2019): one cell an object, as the original has it, takes far longer to learn.

Beside them, in every stage: of all cells or queries, the words of a phrase are to score the wanted ones above the rest
(:func:`alignment`). A focal loss asks of each of them alone whether the words fit, which says little of two objects
that differ by one word.

And in place of pre-trained image and text encoders, which the original begins with: the features that enter the
encoder are to name each object's attributes and its place by the words for them (:func:`naming_loss`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.image_transforms import center_to_corners_format
from transformers.loss.loss_for_object_detection import box_iou, generalized_box_iou
from transformers.loss.loss_grounding_dino import (
    GroundingDinoHungarianMatcher,
    GroundingDinoImageLoss,
    sigmoid_focal_loss,
)

from refseg.methods.losses import place_loss

ALIGN = 2.0
"""Weight of the alignment."""

NAMING = 12.0
"""Weight of the naming."""

PLACES = 4.0
"""Weight of places among what is named."""

CENTRE = 0.35
"""Share of an object's box, around its centre, whose cells are trained to find it."""


@dataclass(frozen=True)
class Targets:
    """What is to be found in one image.

    Attributes:
        boxes: (K, 4) cx, cy, w, h in 0..1.
        tokens: (K, T) float, 1 at the tokens of every phrase that fits the object.
    """

    boxes: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Looks:
    """How the objects of one image look, wanted or not.

    Attributes:
        boxes: (K, 4) cx, cy, w, h in 0..1.
        values: (K, A) int64, the value of each of A attributes.
    """

    boxes: Tensor
    values: Tensor


@dataclass(frozen=True)
class Words:
    """Text features of the words that objects are named by.

    Attributes:
        values: (V, C) of every attribute's values.
        sides: (2, P, 2, C) of P pairs of words for left and right, and of P for top and bottom.
    """

    values: Sequence[Tensor]
    sides: Tensor


class _ImageLoss(GroundingDinoImageLoss):
    """transformers' loss with each image's own phrases; ``wanted`` is what it last asked of queries and tokens."""

    wanted: Tensor

    def _get_target_classes_one_hot(self, outputs: Any, targets: Any, indices: Any) -> Tensor:
        wanted = torch.zeros_like(outputs["logits"], dtype=torch.long)
        for row, (queries, objects) in enumerate(indices):
            wanted[row, queries] = outputs["label_maps"][row][objects].long()
        self.wanted = wanted
        return wanted


def _weights(config: Any) -> dict[str, float]:
    return {
        "loss_ce": 2.0,
        "loss_bbox": config.bbox_loss_coefficient,
        "loss_giou": config.giou_loss_coefficient,
        "align": ALIGN,
    }


def detection_losses(
    model: Any,
    inputs: Mapping[str, Tensor],
    targets: Sequence[Targets],
    strides: Sequence[int],
    looks: Sequence[Looks] = (),
    words: Words | None = None,
) -> dict[str, Tensor]:
    """Return the losses of a batch; ``"loss"`` is minimised, and the others are parts of it before their weights.

    Args:
        model: A ``GroundingDinoForObjectDetection`` with two stages.
        inputs: Its inputs for B images with a text each.
        targets: One for each image.
        strides: Pixels between two cells of each of the model's feature levels.
        looks: One for each image, for the naming.
        words: What they are named by; None: nothing is named.
    """
    config = model.config
    weights = _weights(config)
    last: dict[str, Tensor] = {}

    def decoder_loss(
        logits: Tensor,
        labels: Any,
        device: Any,
        pred_boxes: Tensor,
        config: Any,
        label_maps: Any,
        text_mask: Tensor,
        *,
        outputs_class: Tensor,
        outputs_coord: Tensor,
        **_: Any,
    ) -> tuple[Tensor, dict[str, Tensor], None]:
        """Stand in for transformers' loss function: every decoder layer's loss, the first stage's left out."""
        matcher = GroundingDinoHungarianMatcher(config.class_cost, config.bbox_cost, config.giou_cost)
        criterion: Any = _ImageLoss(matcher, config.focal_alpha, ["labels", "boxes"])  # type: ignore[no-untyped-call]
        maps = [F.pad(t.tokens, (0, logits.shape[-1] - t.tokens.shape[1])) for t in targets]
        total = logits.new_zeros(())
        for layer in zip(outputs_class, outputs_coord, strict=True):
            outputs = {"logits": layer[0], "pred_boxes": layer[1], "label_maps": maps, "text_mask": text_mask}
            last.update(criterion(outputs, labels))
            every = torch.ones(logits.shape[:2], dtype=torch.bool)
            said = criterion.wanted.bool() | on_objects(layer[1], targets, maps)
            last["align"] = alignment(layer[0], said, every)
            total = total + weighted(last, weights)
        return total, last, None

    model.loss_function = decoder_loss
    labels = [{"boxes": t.boxes, "class_labels": torch.arange(len(t.boxes))} for t in targets]
    out = model(**inputs, labels=labels, output_hidden_states=True)
    height, width = inputs["pixel_values"].shape[-2:]
    grid = cells((height, width), strides)
    first = first_stage_losses(
        out.enc_outputs_class,
        out.enc_outputs_coord_logits.sigmoid(),
        targets,
        inputs["attention_mask"].bool(),
        grid,
        config.focal_alpha,
    )
    first_stage = weighted(first, weights)
    losses = {"loss": out.loss + first_stage, **last, "first_stage": first_stage}
    if words is not None:
        losses["naming"] = naming_loss(out.encoder_vision_hidden_states[0], words, looks, grid)
        losses["loss"] = losses["loss"] + NAMING * losses["naming"]
    return losses


def naming_loss(features: Tensor, words: Words, looks: Sequence[Looks], grid: Tensor) -> Tensor:
    """Return the cross entropy of naming objects' attributes and places, summed; 0 where there is no object.

    A cell near an object's centre names its value of an attribute by the scaled dot product with the values' words, so
    that what is seen and what is said come to lie in one space before anything mixes them. SAM's tiny training has
    classifiers there, which know no words. Left and right, top and bottom are named likewise, by how far the object's
    centre lies on either side: nothing else asks the backbone to keep the places that it is shown.

    Args:
        features: (B, S, C) of the cells of all levels, before text meets them.
        words: What objects are named by.
        looks: One for each image.
        grid: (S, 4) from :func:`cells`.
    """
    seen, true, centres = (
        [features[0, :0]],
        [torch.empty(0, len(words.values), dtype=torch.int64)],
        [grid[:0, :2]],
    )
    for row, look in enumerate(looks):
        found, _ = assign(look.boxes, grid)
        at = (found >= 0).nonzero()[:, 0]
        seen.append(features[row, at])
        true.append(look.values[found[at]])
        centres.append(look.boxes[found[at], :2])
    cell, value = torch.cat(seen), torch.cat(true)
    if not len(cell):
        return features.new_zeros(())
    scale = features.shape[-1] ** -0.5
    losses = [F.cross_entropy(cell @ w.T * scale, value[:, i]) for i, w in enumerate(words.values)]
    away = torch.einsum("nc,apc->nap", cell, words.sides[:, :, 1] - words.sides[:, :, 0]) * scale
    wanted = torch.cat(centres)[..., None].expand_as(away)
    places = 2 * F.binary_cross_entropy_with_logits(away, wanted)
    return torch.stack(losses).sum() + PLACES * places


def on_objects(boxes: Tensor, targets: Sequence[Targets], tokens: Sequence[Tensor]) -> Tensor:
    """Return (B, Q, N) bool: the tokens of the wanted object that a query's box lies on, by an IoU above 0.5.

    The matching gives an object one of the many queries that lie on it. The others are no other object, and telling
    them apart is not what the alignment is to teach.

    Args:
        boxes: (B, Q, 4) cx, cy, w, h.
        targets: One for each image.
        tokens: (K, N) of each image's objects.
    """
    corners: Any = center_to_corners_format
    found = []
    for own, target, words in zip(boxes.detach(), targets, tokens, strict=True):
        overlap, _ = box_iou(corners(own), corners(target.boxes))  # type: ignore[no-untyped-call]
        found.append((overlap > 0.5).float() @ words > 0)
    return torch.stack(found)


def weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Return the weighted sum of the losses that have a weight."""
    return torch.stack([losses[name] * weight for name, weight in weights.items()]).sum()


def cells(size: tuple[int, int], strides: Sequence[int]) -> Tensor:
    """Return (S, 4) centre x, y and width, height, in 0..1, of the cells of all feature levels of an (H, W) image."""
    found = []
    for stride in strides:
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        at = torch.stack([(x + 0.5) / width, (y + 0.5) / height], -1).view(-1, 2)
        found.append(torch.cat([at, torch.tensor([1 / width, 1 / height]).expand_as(at)], 1))
    return torch.cat(found)


def assign(boxes: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Return which object (S,) each cell is trained to find, -1 for none, and (S,) whether it counts at all.

    A cell counts where it lies near an object's centre or outside of all boxes.

    Args:
        boxes: (K, 4) cx, cy, w, h.
        grid: (S, 4) from :func:`cells`.
    """
    if not len(boxes):
        return torch.full((len(grid),), -1), torch.ones(len(grid), dtype=torch.bool)
    away = (grid[:, None, :2] - boxes[None, :, :2]).abs()  # (S, K, 2)
    near = (away <= torch.maximum(CENTRE * boxes[None, :, 2:], grid[:, None, 2:]) / 2).all(-1)
    inside = (away <= boxes[None, :, 2:] / 2).all(-1).any(1)
    distance = away.sum(-1).masked_fill(~near, torch.inf)
    found = torch.where(near.any(1), distance.argmin(1), -1)
    return found, near.any(1) | ~inside


def first_stage_losses(
    logits: Tensor, boxes: Tensor, targets: Sequence[Targets], mask: Tensor, grid: Tensor, alpha: float
) -> dict[str, Tensor]:
    """Return the losses of the first stage's boxes, means over the cells that are to find an object.

    Args:
        logits: (B, S, N) of every cell and token; N at least T.
        boxes: (B, S, 4) cx, cy, w, h.
        targets: One for each image.
        mask: (B, T) at tokens that count.
        grid: (S, 4) from :func:`cells`.
        alpha: The focal loss's.
    """
    length = mask.shape[1]
    wanted = torch.zeros_like(logits[..., :length])
    counts = torch.zeros(logits.shape[:2], dtype=torch.bool)
    found_boxes, true_boxes = [boxes[0, :0]], [boxes[0, :0]]
    for row, target in enumerate(targets):
        found, counts[row] = assign(target.boxes, grid)
        at = (found >= 0).nonzero()[:, 0]
        wanted[row, at] = target.tokens[found[at]]
        found_boxes.append(boxes[row, at])
        true_boxes.append(target.boxes[found[at]])
    predicted, true = torch.cat(found_boxes), torch.cat(true_boxes)
    number = max(1, len(true))
    scored = counts[..., None] & mask[:, None]
    corners: Any = center_to_corners_format
    giou: Tensor = generalized_box_iou(corners(predicted), corners(true)).diag()  # type: ignore[no-untyped-call]
    return {
        "loss_ce": sigmoid_focal_loss(logits[..., :length][scored], wanted[scored], number, alpha),
        "loss_bbox": (predicted - true).abs().sum() / number,
        "loss_giou": (1 - giou).sum() / number,
        "align": alignment(logits[..., :length], wanted, counts),
    }


def alignment(logits: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Return the mean over words of :func:`refseg.methods.losses.place_loss`.

    Args:
        logits: (B, S, T) of every place and token.
        wanted: (B, S, T) 1 where a phrase with the token means what is at the place.
        counts: (B, S) at places that count.
    """
    said = (wanted.bool() & counts[..., None]).transpose(1, 2)  # (B, T, S)
    asked = said.any(2)
    if not asked.any():
        return logits.new_zeros(())
    everywhere = counts[:, None].expand_as(said)
    return place_loss(logits.transpose(1, 2)[asked], said[asked].float(), everywhere[asked]).mean()
