"""Trains a tiny Grounding DINO on RefShapes: transformers' class and loss, a text of phrases an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from refseg.bench.types import BoolArray, ImageArray, TrainRequest
from refseg.datasets.refshapes.dataset import RefShapes
from refseg.datasets.refshapes.facts import VISIBLE_PIXELS
from refseg.datasets.refshapes.grammar import VALUES
from refseg.datasets.refshapes.train import DEV_SEED, VERSION, clip_sample
from refseg.methods.boxes import tight_box
from refseg.methods.grounding_dino.detector import GroundingDino
from refseg.methods.grounding_dino.losses import NAMING, Words, cells, detection_losses, naming_loss
from refseg.methods.grounding_dino.samples import (
    DetectionBatch,
    NamingBatch,
    make_batch,
    make_naming_batch,
)
from refseg.methods.grounding_dino.tiny import (
    GDINO_TINY,
    STRIDES,
    as_detector,
    build_tiny,
    image_features,
    initialise,
    word_features,
)
from refseg.methods.muon import MuonAdamW, muon_groups
from refseg.methods.training import Training, cosine_with_warmup, decay_groups, recipe_options

METHOD = "grounding_dino_tiny"

SIDES_SAID = ("left", "right", "leftmost", "rightmost", "top", "bottom", "topmost", "bottommost")
"""Words for the sides of an image, across and then down, in pairs."""


@dataclass(frozen=True)
class DetectorTrainOptions:
    """Settings of the recipe.

    Attributes:
        naming_steps: Steps before the others in which backbones and projections learn alone to name what is seen.
        naming_images: Images in each of them.
        naming_lr: Learning rate there.
        steps: Steps of the whole network.
        images: Images in each of them, a text each.
        alone_first: Share of texts that are one sentence in the first step; from there it rises or falls evenly.
        alone_last: That in the last.
        lr: Learning rate of AdamW; Muon has :data:`~refseg.methods.muon.LR_FACTOR` times it. A tenth of it moves where
            deformable attention looks, as in Deformable DETR.
        processes: Processes that share each step; the decoder's losses are the same, up to rounding, since shares
            weigh by the objects in them, and the first stage's and the naming's nearly so.
        watch: Fresh frames that the ``dev_`` figures are of.
    """

    naming_steps: int = 400
    naming_images: int = 16
    naming_lr: float = 3e-3
    steps: int = 1300
    images: int = 8
    alone_first: float = 0.2
    alone_last: float = 0.6
    lr: float = 1e-3
    weight_decay: float = 0.02
    warmup: int = 60
    seed: int = 0
    processes: int = 1
    evaluate_every: int = 400
    watch: int = 80


@dataclass(frozen=True)
class Said:
    """A sentence, its kind, and the (H, W) mask of what it means in a frame."""

    text: str
    kind: str
    mask: BoolArray


def dev_frames(count: int) -> Iterator[tuple[ImageArray, list[Said]]]:
    """Yield frame 0 of fresh videos with sentences about the videos."""
    for index in range(count):
        sample = clip_sample(DEV_SEED, index, 4, [0])
        labels = sample.labels[0]
        yield (
            sample.frames[0],
            [Said(s.text, s.type, labels == int(s.object_id or 255)) for s in sample.sentences],
        )


def first_frames(dataset: RefShapes) -> Iterator[tuple[ImageArray, list[Said]]]:
    """Yield frame 0 of every video of a split with the video's sentences."""
    for video in dataset.videos():
        labels = dataset.label_maps(video.id)[0]
        masks = (np.isin(labels, [int(i) for i in e.object_ids]) for e in video.expressions)
        said = zip(video.expressions, masks, strict=True)
        yield video.read(0), [Said(e.text, str(e.attributes["type"]), mask) for e, mask in said]


def top1(detector: GroundingDino, frames: Iterable[tuple[ImageArray, Sequence[Said]]]) -> dict[str, float]:
    """Return the percentage of sentences whose best box has an IoU above 0.5 with the true one, all and by kind.

    Only sentences whose object is visible, by RefShapes' own measure, are counted.
    """
    hits: dict[str, list[bool]] = {}
    for image, sentences in frames:
        visible = [s for s in sentences if s.mask.sum() >= VISIBLE_PIXELS]
        for said, found in zip(visible, detector.find(image, [s.text for s in visible]), strict=True):
            true = tight_box(said.mask)
            assert true is not None
            hits.setdefault(said.kind, []).append(
                box_iou(found.box, true + np.array([0.0, 0.0, 1.0, 1.0])) > 0.5
            )
    every = [hit for values in hits.values() for hit in values]
    shares = {"top1": every} | {f"top1_{kind}": values for kind, values in sorted(hits.items())}
    return {name: 100 * float(np.mean(values)) for name, values in shares.items()} | {
        "sentences": float(len(every))
    }


def box_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the IoU of two boxes x0, y0, x1, y1, ends excluded."""
    common = float(np.prod((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(min=0)))
    return common / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common)


def _watched(model: Any, count: int) -> dict[str, float]:
    model.eval()
    found = top1(as_detector(model), dev_frames(count))
    model.requires_grad_(True)
    return {f"dev_{name}": value for name, value in found.items() if name != "sentences"}


def parameter_groups(model: Any, options: DetectorTrainOptions) -> list[dict[str, Any]]:
    """Return the groups of :class:`MuonAdamW`.

    Where deformable attention looks, and how much it takes from there, are last layers, which start at zero; they are
    AdamW's, the former with a tenth of the learning rate.
    """
    named, decay = list(model.named_parameters()), options.weight_decay
    offsets = [p for name, p in named if "sampling_offsets" in name]
    shares = [p for name, p in named if "attention_weights" in name]
    others = [(n, p) for n, p in named if "sampling_offsets" not in n and "attention_weights" not in n]
    return [
        *muon_groups(others, lr=options.lr, weight_decay=decay),
        *decay_groups(shares, lr=options.lr, weight_decay=decay),
        *decay_groups(offsets, lr=0.1 * options.lr, weight_decay=decay),
    ]


def draw(options: DetectorTrainOptions, step: int, rank: int = 0) -> DetectionBatch | NamingBatch:
    """Draw the share of a step's batch that process ``rank`` computes; no image comes twice."""
    if step < options.naming_steps:
        first, last = step * options.naming_images, (step + 1) * options.naming_images
        return make_naming_batch(options.seed, range(first + rank, last, options.processes))
    step -= options.naming_steps
    first = options.naming_steps * options.naming_images + step * options.images
    alone = options.alone_first + step / options.steps * (options.alone_last - options.alone_first)
    return make_batch(options.seed, range(first + rank, first + options.images, options.processes), alone)


def losses_of(model: Any, batch: DetectionBatch | NamingBatch) -> dict[str, torch.Tensor]:
    """Return the losses of a batch; objects are named by RefShapes' words for looks and places."""
    values = [value for values in VALUES.values() for value in values]
    features = word_features(model, [*values, *SIDES_SAID])
    by_attribute = torch.split(features[: len(values)], [len(values) for values in VALUES.values()])
    words = Words(by_attribute, features[len(values) :].view(2, -1, 2, features.shape[-1]))
    if isinstance(batch, NamingBatch):
        grid = cells((batch.images.shape[-2], batch.images.shape[-1]), STRIDES)
        naming = naming_loss(image_features(model, batch.images), words, batch.looks, grid)
        return {"loss": NAMING * naming, "naming": naming}
    return detection_losses(model, batch.inputs, batch.targets, STRIDES, batch.looks, words)


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train the detector of the tiny baselines; writes ``grounding_dino_tiny.safetensors`` into ``request.out``.

    Raises:
        InputError: Another method than ``grounding_dino_tiny``.
    """
    from refseg.methods.sam.weights import save_safetensors

    options, fingerprint = recipe_options(request, METHOD, DetectorTrainOptions)
    torch.manual_seed(options.seed)
    model = build_tiny()
    initialise(model, make_batch(options.seed, range(32)).inputs["pixel_values"])
    model.train()
    naming = cosine_with_warmup(options.naming_steps, options.warmup)
    whole = cosine_with_warmup(options.steps, options.warmup)
    out = Path(request.out)
    spent = Training(
        out=out,
        steps=options.naming_steps + options.steps,
        network=model,
        optimizer=MuonAdamW(parameter_groups(model, options), betas=(0.9, 0.98)),
        schedule=lambda s: (
            options.naming_lr / options.lr * naming(s)
            if s < options.naming_steps
            else whole(s - options.naming_steps)
        ),
        make_batch=lambda step, rank: draw(options, step, rank),
        rows=lambda batch: max(1, batch.objects),
        processes=options.processes,
        compute=lambda batch, _: losses_of(model, batch),
        evaluate=lambda: _watched(model, options.watch),
        fingerprint=fingerprint,
        evaluate_every=options.evaluate_every,
    ).run(resume=request.resume)
    rounded = {name: value.half() for name, value in model.state_dict().items()}
    model.load_state_dict(rounded)
    figures = {**_watched(model, options.watch), **spent}
    facts = {"recipe": fingerprint, "dataset": f"refshapes {VERSION}"}
    save_safetensors(rounded, out / GDINO_TINY.name, facts)
    return figures
