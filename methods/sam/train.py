"""Trains a tiny SAM on RefShapes with SAM's own recipe in small.

As in "Segment Anything" (2023), appendix A: a prompt is a point or a jittered box, then corrective points from the
error regions with the previous logits as mask prompt; after a single point the best of three masks is trained,
else the single mask; focal and Dice loss 20:1, and the IoU head by mean squared error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.bench.errors import InputError
from refseg.bench.options import parse_options
from refseg.bench.types import TrainRequest
from refseg.datasets.refshapes.train import VERSION, image_sample
from refseg.methods.losses import dice_loss, focal_loss
from refseg.methods.sam.build import build_sam, sam_config
from refseg.methods.sam.compat import Sam
from refseg.methods.sam.decode import DecoderOutput, decode
from refseg.methods.sam.transforms import normalise_and_pad
from refseg.methods.training import Training, cosine_with_warmup

DEV_SEED = 999_983
"""Seed of the images that the training is watched on; no training uses it."""


@dataclass(frozen=True)
class SamTrainOptions:
    """Settings of the recipe."""

    steps: int = 1800
    images: int = 8
    objects: int = 4
    rounds: int = 2
    lr: float = 8e-4
    weight_decay: float = 0.05
    warmup: int = 200
    seed: int = 0
    evaluate_every: int = 500
    visual_encoder: str = "tiny"


@dataclass(frozen=True)
class PromptBatch:
    """Images and, for each, objects to segment.

    Attributes:
        images: (B, 3, S, S) normalised.
        masks: (N, H, W) float 0/1.
        image_index: (N,) which image each mask belongs to.
        size: (H, W) of the images inside the square.
    """

    images: Tensor
    masks: Tensor
    image_index: Tensor
    size: tuple[int, int]


def make_batch(seed: int, first: int, images: int, objects: int, image_size: int) -> PromptBatch:
    """Draw images and up to ``objects`` visible objects in each; frames are no larger than the square."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + first)
    frames, masks, index = [], [], []
    for b in range(images):
        sample = image_sample(seed, first + b, 0)
        frames.append(sample.frames[0])
        labels = sample.labels[0]
        ids = [i for i in np.unique(labels) if i and (labels == i).sum() >= 20]
        for k in torch.randperm(len(ids), generator=generator)[:objects].tolist():
            masks.append(labels == ids[k])
            index.append(b)
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    height, width = frames[0].shape[:2]
    return PromptBatch(
        normalise_and_pad(tensor, image_size),
        torch.from_numpy(np.stack(masks)).float(),
        torch.tensor(index),
        (height, width),
    )


def random_points(region: Tensor, generator: torch.Generator) -> Tensor:
    """Return one random pixel (x, y) inside each (N, H, W) region; pixel centres, (N, 1, 2)."""
    n, _, width = region.shape
    weights = region.flatten(1).float()
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, torch.ones_like(weights))
    at = torch.multinomial(weights, 1, generator=generator)[:, 0]
    return torch.stack([at % width, at // width], dim=-1).float().view(n, 1, 2)


def tight_boxes(masks: Tensor) -> Tensor:
    """Return the tight boxes (N, 4) as x0, y0, x1, y1 of non-empty (N, H, W) masks; inclusive pixel indices."""
    rows, columns = masks.amax(2) > 0, masks.amax(1) > 0
    height, width = rows.shape[1], columns.shape[1]
    x0, y0 = columns.int().argmax(1), rows.int().argmax(1)
    x1 = width - 1 - columns.flip(1).int().argmax(1)
    y1 = height - 1 - rows.flip(1).int().argmax(1)
    return torch.stack([x0, y0, x1, y1], dim=1).float()


def jittered(boxes: Tensor, generator: torch.Generator) -> Tensor:
    """Return boxes whose corners are moved by noise of a tenth of the side (SAM's 10%), at most 20 pixels."""
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
    noise = torch.randn(boxes.shape, generator=generator) * 0.1 * sides
    return boxes + noise.clamp(-20, 20)


def encode_and_decode(
    sam: Sam,
    embeddings: Tensor,
    points: tuple[Tensor, Tensor] | None,
    boxes: Tensor | None,
    masks: Tensor | None,
) -> DecoderOutput:
    """Encode the prompts of N rows and decode them against their image embeddings (N, C, h, w)."""
    sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=masks)
    return decode(sam.mask_decoder, embeddings, sam.prompt_encoder.get_dense_pe(), sparse, dense)


def mask_loss(
    output: DecoderOutput, targets: Tensor, size: tuple[int, int], image_size: int, *, ambiguous: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss, the IoU-head loss and the (N, s, s) low-resolution logits of the mask that was trained."""
    chosen = slice(1, 4) if ambiguous else slice(0, 1)
    low = output.low_res_logits[:, chosen]
    logits = F.interpolate(low, (image_size, image_size), mode="bilinear", align_corners=False)
    logits = logits[..., : size[0], : size[1]]
    wanted = targets[:, None].expand_as(logits)
    per_mask = 20 * focal_loss(logits, wanted) + dice_loss(logits, wanted)
    best = per_mask.argmin(1)
    rows = torch.arange(len(best))
    on = logits.detach() > 0
    truth = wanted > 0.5
    iou = (on & truth).sum((-2, -1)) / (on | truth).sum((-2, -1)).clamp(min=1)
    iou_loss = F.mse_loss(output.iou[:, chosen], iou.float())
    return per_mask[rows, best].mean(), iou_loss, low[rows, best]


def interactive_losses(
    sam: Sam, batch: PromptBatch, rounds: int, step: int, image_size: int
) -> dict[str, Tensor]:
    """Return the losses of one simulated interaction: a first prompt and corrective points."""
    generator = torch.Generator().manual_seed(step)
    embeddings = sam.image_encoder(batch.images)[batch.image_index]
    with_box = bool(torch.rand((), generator=generator) < 0.5)
    n = len(batch.masks)
    boxes = jittered(tight_boxes(batch.masks), generator) if with_box else None
    points = torch.empty(n, 0, 2) if with_box else random_points(batch.masks, generator) + 0.0
    labels = torch.ones(n, points.shape[1])
    previous, total, iou_total = None, torch.zeros(()), torch.zeros(())
    for turn in range(rounds):
        given = (points, labels) if points.shape[1] else None
        output = encode_and_decode(sam, embeddings, given, boxes, previous)
        ambiguous = turn == 0 and not with_box
        loss, iou_loss, low = mask_loss(output, batch.masks, batch.size, image_size, ambiguous=ambiguous)
        total, iou_total = total + loss / rounds, iou_total + iou_loss / rounds
        previous = low.detach()[:, None]
        full = F.interpolate(previous, (image_size, image_size), mode="bilinear", align_corners=False)
        wrong = (full[:, 0, : batch.size[0], : batch.size[1]] > 0) != (batch.masks > 0.5)
        new = random_points(wrong, generator)
        inside = batch.masks[torch.arange(n), new[:, 0, 1].long(), new[:, 0, 0].long()]
        points, labels = torch.cat([points, new], 1), torch.cat([labels, inside[:, None]], 1)
    return {"loss": total + iou_total, "mask_loss": total, "iou_loss": iou_total}


@torch.no_grad()
def prompt_iou(sam: Sam, image_size: int, *, seed: int = DEV_SEED, images: int = 96) -> dict[str, float]:
    """Return the mean mask IoU in percent from true boxes, and from the mask's most central pixel, on fresh images."""
    box_ious, point_ious = [], []
    for first in range(0, images, 16):
        batch = make_batch(seed, first, min(16, images - first), 6, image_size)
        embeddings = sam.image_encoder(batch.images)[batch.image_index]
        box_output = encode_and_decode(sam, embeddings, None, tight_boxes(batch.masks), None)
        box_ious.append(_iou(box_output.low_res_logits[:, 0], batch, image_size))
        points = random_points(batch.masks, torch.Generator().manual_seed(first))
        output = encode_and_decode(sam, embeddings, (points, torch.ones(len(points), 1)), None, None)
        best = output.iou[:, 1:].argmax(1) + 1
        point_ious.append(_iou(output.low_res_logits[torch.arange(len(best)), best], batch, image_size))
    return {
        "dev_box_iou": 100 * float(torch.cat(box_ious).mean()),
        "dev_point_iou": 100 * float(torch.cat(point_ious).mean()),
    }


def _iou(low: Tensor, batch: PromptBatch, image_size: int) -> Tensor:
    full = F.interpolate(low[:, None], (image_size, image_size), mode="bilinear", align_corners=False)[:, 0]
    on, truth = full[:, : batch.size[0], : batch.size[1]] > 0, batch.masks > 0.5
    return (on & truth).sum((-2, -1)) / (on | truth).sum((-2, -1)).clamp(min=1)


def initialise(sam: Sam, seed: int) -> None:
    """Give the position embeddings, zero by default, small random values, seeded."""
    torch.manual_seed(seed)
    for name, parameter in sam.named_parameters():
        if "pos_embed" in name or "rel_pos" in name:
            nn.init.trunc_normal_(parameter, std=0.02)


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return optimiser groups: no weight decay on biases, norms and embeddings."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train ``sam_tiny`` on RefShapes images; writes ``sam_tiny.safetensors`` into ``request.out``.

    Raises:
        InputError: Another method than ``sam_tiny``.
    """
    from refseg.methods.sam.weights import save_safetensors

    if request.method != "sam_tiny":
        raise InputError(
            f"Recipe {request.recipe} trains sam_tiny, not {request.method}; give --method sam_tiny."
        )
    options = parse_options(SamTrainOptions, request.options, owner=f"recipe {request.recipe}")
    config = sam_config(options.visual_encoder)
    torch.manual_seed(options.seed)
    sam = build_sam(config)
    initialise(sam, options.seed)
    sam.train()
    optimizer = torch.optim.AdamW(parameter_groups(sam, options.weight_decay), lr=options.lr)
    fingerprint = json.dumps({"recipe": request.recipe, **asdict(options)}, sort_keys=True)
    out = Path(request.out)
    spent = Training(
        out=out,
        steps=options.steps,
        network=sam,
        optimizer=optimizer,
        schedule=cosine_with_warmup(options.steps, options.warmup),
        make_batch=lambda step, _: make_batch(
            options.seed, step * options.images, options.images, options.objects, config.image_size
        ),
        compute=lambda batch, step: interactive_losses(sam, batch, options.rounds, step, config.image_size),
        evaluate=lambda: prompt_iou(sam, config.image_size),
        fingerprint=fingerprint,
        evaluate_every=options.evaluate_every,
    ).run(resume=request.resume)
    sam.eval()
    # Half precision keeps the file small; what stands on it is trained on the rounded values.
    rounded = {name: value.half() for name, value in sam.state_dict().items()}
    sam.load_state_dict(rounded)
    figures = {**prompt_iou(sam, config.image_size), **spent}
    facts = {"recipe": fingerprint, "dataset": f"refshapes {VERSION}"}
    save_safetensors(rounded, out / "sam_tiny.safetensors", facts)
    return figures
