"""Trains a tiny SAM on RefShapes with SAM's own recipe in small.

As in "Segment Anything" (2023), appendix A: a prompt is a point or a jittered box, then corrective points from the
error regions with the previous logits as mask prompt; after a single point the best of three masks is trained,
else the single mask; focal and Dice loss 20:1, and the IoU head by mean squared error.

SAM's image encoder comes from MAE pre-training. This one learns to name each object's attributes besides, in place of
what MAE teaches (``attributes``; the classifiers are thrown away afterwards).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.bench.types import TrainRequest
from refseg.datasets.refshapes.grammar import VALUES
from refseg.datasets.refshapes.train import DEV_SEED, VERSION, image_sample
from refseg.methods.losses import dice_loss, focal_loss
from refseg.methods.muon import MuonAdamW, muon_groups
from refseg.methods.naming import Naming, attribute_values, visible_ids
from refseg.methods.sam.build import build_sam, sam_config
from refseg.methods.sam.compat import Sam
from refseg.methods.sam.decode import DecoderOutput, decode
from refseg.methods.sam.initial import initialise
from refseg.methods.sam.transforms import normalise_and_pad
from refseg.methods.training import Training, cosine_with_warmup, recipe_options


@dataclass(frozen=True)
class SamTrainOptions:
    """Settings of the recipe.

    Attributes:
        steps: Number of steps.
        images: Images a step.
        objects: Objects an image, at most.
        rounds: Prompts an object: the first, then corrective points.
        rounds_every: Corrective points are given in every so many-th step.
        attributes: Weight of the cross entropy of the objects' attributes; 0 is SAM's own recipe.
        lr: Learning rate of AdamW; Muon has :data:`~refseg.methods.muon.LR_FACTOR` times it.
        processes: Processes that share each step.
    """

    steps: int = 2400
    images: int = 8
    objects: int = 4
    rounds: int = 2
    rounds_every: int = 3
    attributes: float = 0.2
    lr: float = 2.4e-3
    weight_decay: float = 0.05
    warmup: int = 60
    seed: int = 0
    evaluate_every: int = 1200
    processes: int = 2
    visual_encoder: str = "tiny"


@dataclass(frozen=True)
class PromptBatch:
    """Images and, for each, objects to segment.

    Attributes:
        images: (B, 3, S, S) normalised.
        masks: (N, H, W) float 0/1.
        image_index: (N,) which image each mask belongs to.
        attributes: (N, 4) int64, each object's value of every attribute in the grammar's VALUES.
        size: (H, W) of the images inside the square.
    """

    images: Tensor
    masks: Tensor
    image_index: Tensor
    attributes: Tensor
    size: tuple[int, int]


def make_batch(seed: int, numbers: Sequence[int], objects: int, image_size: int) -> PromptBatch:
    """Draw the images of these numbers and up to ``objects`` visible objects in each.

    Frames are no larger than the square.
    """
    frames, masks, index, attributes = [], [], [], []
    for b, number in enumerate(numbers):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        sample = image_sample(seed, number, 0)
        frames.append(sample.frames[0])
        labels = sample.labels[0]
        ids = visible_ids(labels)
        for k in torch.randperm(len(ids), generator=generator)[:objects].tolist():
            masks.append(labels == ids[k])
            index.append(b)
            attributes.append(attribute_values(sample.looks[str(ids[k])]))
    tensor = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    height, width = frames[0].shape[:2]
    return PromptBatch(
        normalise_and_pad(tensor, image_size),
        torch.from_numpy(np.stack(masks)).float(),
        torch.tensor(index),
        torch.tensor(attributes),
        (height, width),
    )


def random_points(region: Tensor, generator: torch.Generator) -> Tensor:
    """Return one random pixel (x, y) inside each (N, H, W) region; pixel centres, (N, 1, 2)."""
    n, _, width = region.shape
    inside = region.flatten(1) > 0
    count = (inside | ~inside.any(1, keepdim=True)).cumsum(1)
    number = (torch.rand(n, 1, generator=generator) * count[:, -1:]).long()
    # multinomial draws a number for every pixel.
    at = torch.searchsorted(count, number.clamp(max=count[:, -1:] - 1) + 1)[:, 0]
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
    scale = image_size // low.shape[-1]
    logits = low[..., : size[0] // scale, : size[1] // scale]
    wanted = F.avg_pool2d(targets[:, None], scale).expand_as(logits)
    per_mask = 20 * focal_loss(logits, wanted) + dice_loss(logits, wanted)
    best = per_mask.argmin(1)
    rows = torch.arange(len(best))
    on = logits.detach() > 0
    truth = wanted > 0.5
    iou = (on & truth).sum((-2, -1)) / (on | truth).sum((-2, -1)).clamp(min=1)
    iou_loss = F.mse_loss(output.iou[:, chosen], iou.float())
    return per_mask[rows, best].mean(), iou_loss, low[rows, best]


class Learner(nn.Module):
    """The SAM in training, and classifiers of the attributes that are thrown away afterwards."""

    def __init__(self, sam: Sam, width: int) -> None:
        super().__init__()
        self.sam = sam
        self.naming = Naming(width)

    def losses(
        self, batch: PromptBatch, options: SamTrainOptions, step: int, image_size: int
    ) -> dict[str, Tensor]:
        """Return the losses of a batch; the image encoder runs once for all of them."""
        embeddings = self.sam.image_encoder(batch.images)[batch.image_index]
        rounds = options.rounds if step % options.rounds_every == 0 else 1
        losses = interactive_losses(self.sam, embeddings, batch, rounds, step, image_size)
        if options.attributes:
            losses["attribute_loss"] = self.naming.loss(embeddings, batch.masks, batch.attributes)
            losses["loss"] = losses["loss"] + options.attributes * losses["attribute_loss"]
        return losses


def interactive_losses(
    sam: Sam, embeddings: Tensor, batch: PromptBatch, rounds: int, step: int, image_size: int
) -> dict[str, Tensor]:
    """Return the losses of one simulated interaction: a first prompt and corrective points.

    ``embeddings`` (N, C, h, w) are the image embeddings of the batch's masks.
    """
    generator = torch.Generator().manual_seed(step)
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
def prompt_iou(
    learner: Learner, image_size: int, *, seed: int = DEV_SEED, images: int = 96
) -> dict[str, float]:
    """Return the mean mask IoU from true boxes and from a random point, and how often attributes are named rightly.

    On fresh images, in percent.
    """
    sam = learner.sam
    box_ious, point_ious = [], []
    right: dict[str, list[Tensor]] = {name: [] for name in VALUES}
    for first in range(0, images, 16):
        batch = make_batch(seed, range(first, min(first + 16, images)), 6, image_size)
        embeddings = sam.image_encoder(batch.images)[batch.image_index]
        box_output = encode_and_decode(sam, embeddings, None, tight_boxes(batch.masks), None)
        box_ious.append(_iou(box_output.low_res_logits[:, 0], batch, image_size))
        points = random_points(batch.masks, torch.Generator().manual_seed(first))
        output = encode_and_decode(sam, embeddings, (points, torch.ones(len(points), 1)), None, None)
        best = output.iou[:, 1:].argmax(1) + 1
        point_ious.append(_iou(output.low_res_logits[torch.arange(len(best)), best], batch, image_size))
        for i, (name, scores) in enumerate(learner.naming(embeddings, batch.masks).items()):
            right[name].append((scores.argmax(1) == batch.attributes[:, i]).float())
    return {
        "dev_box_iou": 100 * float(torch.cat(box_ious).mean()),
        "dev_point_iou": 100 * float(torch.cat(point_ious).mean()),
        **{f"dev_{name}": 100 * float(torch.cat(r).mean()) for name, r in right.items()},
    }


def _iou(low: Tensor, batch: PromptBatch, image_size: int) -> Tensor:
    full = F.interpolate(low[:, None], (image_size, image_size), mode="bilinear", align_corners=False)[:, 0]
    on, truth = full[:, : batch.size[0], : batch.size[1]] > 0, batch.masks > 0.5
    return (on & truth).sum((-2, -1)) / (on | truth).sum((-2, -1)).clamp(min=1)


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train ``sam_tiny`` on RefShapes images; writes ``sam_tiny.safetensors`` into ``request.out``.

    Raises:
        InputError: Another method than ``sam_tiny``.
    """
    from refseg.methods.sam.weights import save_safetensors

    options, fingerprint = recipe_options(request, "sam_tiny", SamTrainOptions)
    config = sam_config(options.visual_encoder)
    torch.manual_seed(options.seed)
    sam = build_sam(config)
    initialise(sam, options.seed)
    learner = Learner(sam, config.prompt_dim).train()
    groups = muon_groups(learner.named_parameters(), lr=options.lr, weight_decay=options.weight_decay)
    out = Path(request.out)
    spent = Training(
        out=out,
        steps=options.steps,
        network=learner,
        optimizer=MuonAdamW(groups),
        schedule=cosine_with_warmup(options.steps, options.warmup),
        make_batch=lambda step, rank: make_batch(
            options.seed,
            range(step * options.images + rank, (step + 1) * options.images, options.processes),
            options.objects,
            config.image_size,
        ),
        rows=lambda batch: len(batch.masks),
        processes=options.processes,
        compute=lambda batch, step: learner.losses(batch, options, step, config.image_size),
        evaluate=lambda: prompt_iou(learner, config.image_size),
        fingerprint=fingerprint,
        evaluate_every=options.evaluate_every,
    ).run(resume=request.resume)
    learner.eval()
    # Half precision keeps the file small; what stands on it is trained on the rounded values.
    rounded = {name: value.half() for name, value in sam.state_dict().items()}
    sam.load_state_dict(rounded)
    figures = {**prompt_iou(learner, config.image_size), **spent}
    facts = {"recipe": fingerprint, "dataset": f"refshapes {VERSION}"}
    save_safetensors(rounded, out / "sam_tiny.safetensors", facts)
    return figures
