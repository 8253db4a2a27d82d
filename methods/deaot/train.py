"""Trains the tiny DeAOT on RefShapes as AOT is trained, in small.

As in "Associating Objects with Transformers for Video Object Segmentation" (2021), section 5.1, and its official
``networks/engines/aot_engine.py``: clips whose frames lie at random distances, the objects of the first frame given,
half bootstrapped cross-entropy and half soft Jaccard loss on every later frame, and more and more of the network's
own masks in the memory instead of the true ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.bench.registry import build_dataset
from refseg.bench.subset import subset
from refseg.bench.types import Dataset, DatasetRequest, MethodRequest, TrainRequest, Video
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import FRAMES
from refseg.datasets.refshapes.train import DEV_SEED, LEAST_PIXELS, VERSION, Sample, clip_sample
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.deaot.engine import Engine, MemorySettings, one_hot
from refseg.methods.deaot.frames import network_input
from refseg.methods.deaot.model import DeAot, FrameFeatures
from refseg.methods.sam.weights import save_safetensors
from refseg.methods.sam_track.method import SamTrackGdino
from refseg.methods.training import Training, cosine_with_warmup, decay_groups, recipe_options
from refseg.methods.validation import method_scores

METHOD = "deaot_tiny"


@dataclass(frozen=True)
class DeAotTrainOptions:
    """Settings of the recipe.

    Attributes:
        steps: Optimiser steps.
        clips: Clips a step.
        frames: Frames a clip; the objects of the first are given.
        farthest: Frames from one of them to the next, at most.
        alone: Probability that one object of a clip is given; else any number of them is.
        hardest: Share of pixels that count in the cross-entropy, those of the highest loss; all count at the
            beginning, and their share falls until half of the steps are done, as officially.
        own_from: Share of the steps after which no true mask is remembered but the first; until then more and more of
            the network's own are.
        lr: Learning rate.
        processes: Processes of one thread each that share a step.
        watch: Fresh videos that ``dev_J`` is of.
        validate: Videos of val that the final J&F is of (0: none).
    """

    steps: int = 2400
    clips: int = 4
    frames: int = 4
    farthest: int = 3
    alone: float = 0.5
    hardest: float = 0.25
    own_from: float = 0.4
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 100
    seed: int = 0
    processes: int = 1
    evaluate_every: int = 400
    watch: int = 24
    validate: int = 48


@dataclass(frozen=True)
class Clip:
    """T frames.

    Attributes:
        frames: (T, H, W, 3) RGB.
        labels: (T, H, W), 1, 2, … for the objects that are given, 0 elsewhere.
        objects: How many are given, at least 1 (an object may have no pixel).
        lots: (T,) in 0..1: a frame whose lot is below the share of own masks is remembered with the network's own.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]
    objects: int
    lots: NDArray[np.float64]


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames.

    Attributes:
        frames: (T, B, 3, H, W) normalised.
        labels: (T, B, H, W) int64 as in :class:`Clip`.
        objects: How many are given in each clip.
        lots: (T, B).
    """

    frames: Tensor
    labels: Tensor
    objects: tuple[int, ...]
    lots: Tensor


def draw_clip(options: DeAotTrainOptions, index: int) -> Clip:
    """Draw a clip: frames at random distances, and in random order some of the objects that its first one shows."""
    rng = Stream(options.seed, index, 11)
    steps = [rng.integer(1, options.farthest) for _ in range(options.frames - 1)]
    times = np.cumsum([rng.integer(0, max(0, FRAMES - 1 - sum(steps))), *steps])
    sample = clip_sample(options.seed, index, 0, np.minimum(times, FRAMES - 1).tolist())
    seen = rng.shuffled(visible(sample.labels[0]))
    count = 1 if rng.chance(options.alone) else rng.integer(1, max(1, len(seen)))
    return given(sample, seen[:count], [rng.uniform() for _ in times])


def watched_video(index: int) -> Clip:
    """Return a whole fresh video with all objects that its first frame shows."""
    sample = clip_sample(DEV_SEED, index, 0, range(FRAMES))
    return given(sample, visible(sample.labels[0]), [0.0] * FRAMES)


def visible(labels: NDArray[np.uint8]) -> list[int]:
    """Return the objects of which (H, W) labels show enough."""
    counts = np.bincount(labels.ravel())
    return [i for i in range(1, len(counts)) if counts[i] >= LEAST_PIXELS]


def given(sample: Sample, chosen: list[int], lots: list[float]) -> Clip:
    """Return a clip with the chosen objects renumbered from 1 in their order, the others background."""
    numbers = np.zeros(256, np.int64)
    numbers[chosen] = np.arange(1, len(chosen) + 1)
    return Clip(sample.frames, numbers[sample.labels], max(1, len(chosen)), np.array(lots))


def collate(clips: list[Clip]) -> ClipBatch:
    """Stack clips of equally many frames."""
    cpu, (_, height, width, _) = torch.device("cpu"), clips[0].frames.shape
    frames = [torch.cat([network_input(f, (height, width), cpu) for f in clip.frames]) for clip in clips]
    return ClipBatch(
        torch.stack(frames, 1),
        torch.from_numpy(np.stack([clip.labels for clip in clips], axis=1)),
        tuple(clip.objects for clip in clips),
        torch.from_numpy(np.stack([clip.lots for clip in clips], axis=1)),
    )


def make_batch(options: DeAotTrainOptions, step: int, rank: int = 0) -> ClipBatch:
    """Draw the share of a step's clips that process ``rank`` computes."""
    first = step * options.clips
    return collate([draw_clip(options, first + i) for i in range(rank, options.clips, options.processes)])


def frame_logits(model: DeAot, batch: ClipBatch, own: float) -> Iterator[Tensor]:
    """Yield logits (B, 1 + objects, H, W) of each frame after the first.

    Args:
        model: The network.
        batch: B clips.
        own: Share of the frames that are remembered with the network's own masks and not the true ones.
    """
    (length, count), size = batch.frames.shape[:2], batch.labels.shape[-2:]
    whole = model.encode(batch.frames.flatten(0, 1))
    maps = [torch.unflatten(m, 0, (length, count)) for m in whole.maps]
    tokens = torch.unflatten(whole.tokens, 0, (length, count))
    frames = [FrameFeatures(tuple(m[t] for m in maps), tokens[t], whole.size) for t in range(length)]
    engine = Engine(model, MemorySettings())
    engine.add_reference(frames[0], one_hot(batch.labels[0], model.ids), batch.objects)
    for features, truth, lots in zip(frames[1:], batch.labels[1:], batch.lots[1:], strict=True):
        low = engine.propagate(features)[:, : 1 + max(batch.objects)]
        logits = F.interpolate(low, size, mode="bilinear", align_corners=model.align_corners)
        yield logits
        remembered = torch.where((lots < own)[:, None, None], logits.detach().argmax(1), truth)
        engine.update(one_hot(remembered, model.ids))


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, share: float) -> Tensor:
    """Return the mean cross-entropy over the ``share`` of each clip's pixels that have the highest.

    Args:
        logits: (B, 1 + objects, H, W).
        labels: (B, H, W).
        share: In 0..1.
    """
    each = F.cross_entropy(logits, labels, reduction="none").flatten(1)
    return each.topk(max(1, round(share * each.shape[1])), sorted=False).values.mean()


def soft_jaccard_loss(logits: Tensor, labels: Tensor, objects: tuple[int, ...]) -> Tensor:
    """Return 1 - intersection / union of probabilities and masks, the mean over a clip's objects and over clips.

    One pixel is added to both areas, so that an object out of sight asks for none.
    """
    probabilities = logits.softmax(1)[:, 1:]
    masks = one_hot(labels, logits.shape[1] - 1)[:, 1:].to(logits)
    overlap = (probabilities * masks).sum((-2, -1))
    union = probabilities.sum((-2, -1)) + masks.sum((-2, -1)) - overlap
    each = (1 - (overlap + 1) / (union + 1)).masked_fill(~existing(objects), 0)
    return (each.sum(1) / torch.tensor(objects)).mean()


def existing(objects: tuple[int, ...]) -> Tensor:
    """Return (B, most objects): whether a clip has an object of that number."""
    return torch.arange(max(objects)) < torch.tensor(objects)[:, None]


def clip_losses(model: DeAot, batch: ClipBatch, options: DeAotTrainOptions, step: int) -> dict[str, Tensor]:
    """Return the losses of a batch at a step, means over its clips and frames."""
    own = min(1.0, step / max(1.0, options.own_from * options.steps))
    share = 1 - (1 - options.hardest) * min(1.0, 2 * step / options.steps)
    entropies, jaccards = [], []
    for logits, labels in zip(frame_logits(model, batch, own), batch.labels[1:], strict=True):
        entropies.append(bootstrapped_cross_entropy(logits, labels, share))
        jaccards.append(soft_jaccard_loss(logits, labels, batch.objects))
    entropy, jaccard = torch.stack(entropies).mean(), torch.stack(jaccards).mean()
    return {"loss": 0.5 * entropy + 0.5 * jaccard, "cross_entropy": entropy, "jaccard": jaccard}


@torch.no_grad()
def dev_scores(model: DeAot, videos: int) -> dict[str, float]:
    """Return the mean J, in percent, of all objects over all frames after the first of fresh videos."""
    values = []
    for first in range(0, videos, 8):
        batch = collate([watched_video(i) for i in range(first, min(first + 8, videos))])
        for logits, labels in zip(frame_logits(model, batch, 1.0), batch.labels[1:], strict=True):
            ids = logits.shape[1] - 1
            found, truth = (one_hot(x, ids)[:, 1:] for x in (logits.argmax(1), labels))
            union = (found | truth).sum((-2, -1))
            j = torch.where(union > 0, (found & truth).sum((-2, -1)) / union.clamp(min=1), 1.0)
            values.append(j[existing(batch.objects)])
    return {"dev_J": 100 * float(torch.cat(values).mean())}


def shown_at_first(dataset: Dataset, video: Video) -> Video:
    """Return a video with those of its expressions whose object is in sight in frame 0, so that it can be given."""
    truths = [dataset.ground_truth(video.id, e.id) for e in video.expressions]
    shown = [t is not None and bool(t.masks[0].any()) for t in truths]
    return replace(video, expressions=tuple(compress(video.expressions, shown)))


def first_mask_scores(weights: Path, videos: int) -> dict[str, float]:
    """Return the scores on RefShapes val where the true first mask is given, as ``bench run`` would find them.

    Args:
        weights: The file that the recipe wrote.
        videos: How many videos, the first ones.
    """
    whole = build_dataset(DatasetRequest("refshapes", "val"))
    shown = [shown_at_first(whole, video) for video in whole.videos()[:videos]]
    dataset = subset(whole, [video for video in shown if video.expressions])
    options = {"reference": "oracle", "tracker_checkpoint": str(weights)}
    method = SamTrackGdino(MethodRequest("sam_track_gdino_tiny", options))
    method.bind(dataset)
    return method_scores(method, dataset, dataset.videos(), advice="give --set validate=0 to do without")


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train ``deaot_tiny``; writes ``deaot_tiny.safetensors`` into ``request.out``.

    Raises:
        InputError: Another method than ``deaot_tiny``, or an option is wrong.
    """
    options, fingerprint = recipe_options(request, METHOD, DeAotTrainOptions)
    if options.frames < 2 or options.farthest < 1:
        raise InputError(
            f"frames={options.frames} with farthest={options.farthest} leaves nothing to follow; give 2 frames and 1, "
            "or more."
        )
    torch.manual_seed(options.seed)
    model = build_deaot(DEAOT_CONFIGS[METHOD]).train()
    spent = Training(
        out=Path(request.out),
        steps=options.steps,
        network=model,
        optimizer=torch.optim.AdamW(
            decay_groups(model.parameters(), lr=options.lr, weight_decay=options.weight_decay)
        ),
        schedule=cosine_with_warmup(options.steps, options.warmup),
        make_batch=lambda step, rank: make_batch(options, step, rank),
        compute=lambda batch, step: clip_losses(model, batch, options, step),
        rows=lambda batch: len(batch.objects),
        processes=options.processes,
        evaluate=lambda: dev_scores(model, options.watch),
        fingerprint=fingerprint,
        evaluate_every=options.evaluate_every,
    ).run(resume=request.resume)
    path = Path(request.out) / f"{METHOD}.safetensors"
    save_safetensors(model.state_dict(), path, {"recipe": fingerprint, "dataset": f"refshapes {VERSION}"})
    model.eval()
    scores = first_mask_scores(path, options.validate) if options.validate else {}
    return {**dev_scores(model, options.watch), **scores, **spent}
