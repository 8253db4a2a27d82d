"""Trains RefSAM on RefShapes by the paper's recipe in small (paper IV-B).

As the paper pre-trains on RefCOCO's images and fine-tunes on Refer-YouTube-VOS's clips, the first phase sees single
images, the second clips whose frames run in order with the track token carried without detaching. Dice and focal
loss on the mask that is the output, AdamW with a learning rate per module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.bench.options import parse_options
from refseg.bench.registry import build_dataset
from refseg.bench.types import DatasetRequest, TrainRequest
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import FRAMES
from refseg.datasets.refshapes.train import VERSION, Sample, clip_sample, image_sample
from refseg.methods.losses import dice_loss, focal_loss
from refseg.methods.refsam.config import CONFIGS, DenseMode, RefSamConfig, TrackToken
from refseg.methods.refsam.model import RefSam, build_refsam
from refseg.methods.refsam.text import build_text_encoder
from refseg.methods.refsam.training.validate import validation_scores
from refseg.methods.refsam.training.walk import walk
from refseg.methods.refsam.weights import load_start, save_weights
from refseg.methods.sam.build import sam_config
from refseg.methods.sam.transforms import normalise_and_pad
from refseg.methods.sam.weights import SAM_TINY, load_into, load_tensors
from refseg.methods.training import Training, cosine_with_warmup

DEV_SEED = 999_983
"""Seed of the videos that the training is watched on; no training uses it."""


@dataclass(frozen=True)
class RefSamTrainOptions:
    """Settings of the recipe.

    The paper's learning rates (1e-4, 1e-6 for the decoder, 1e-5 for adapters) tune a pre-trained ViT-H; a decoder and
    encoder of this size that have only seen point and box prompts need larger ones.

    Attributes:
        sam: Weights of the tiny SAM; None: the shipped ones.
        image_steps: Steps of the first phase.
        images: Images a step.
        clip_steps: Steps of the second phase.
        clips: Clips a step.
        clip_frames: Frames a clip (the paper: 3).
        clip_start: ``paper``: {t - U[1,3], t, t + U[1,3]}; ``first_frame``: frame 0 and then steps of U[1,3], as
            RefShapes asks for places and relations in the first frame.
        sentences: Sentences an image or clip.
        focal: Weight of the focal loss beside Dice; the paper's is 1, SAM's 20.
        no_target: Weight of sentences without a target; the other types' weights sum to 100.
        lr: Learning rate of cross-modal MLP, dense attention, tracking and text encoder.
        decoder_lr: That of the mask decoder.
        adapter_lr: That of the adapters.
        clip_lr_factor: Factor on all of them in the second phase.
        processes: Processes that share each step; two of one thread each are faster than one of two.
        text: Text encoder, the tiny T5 or a stand-in of another family.
        visual_encoder: Size of the SAM whose weights ``sam`` are.
        start: Weights of an earlier training to begin with; tracking may be missing in them.
        validate: Videos of val whose J&F is measured at every evaluation as ``bench run`` does (0: none).
        watch: Fresh videos that the ``dev_`` figures are of, and four times as many images, at most 64.
    """

    sam: str | None = None
    image_steps: int = 2600
    images: int = 12
    clip_steps: int = 2100
    clips: int = 4
    clip_frames: int = 5
    clip_start: Literal["paper", "first_frame"] = "first_frame"
    sentences: int = 6
    no_target: int = 5
    focal: float = 20.0
    lr: float = 1e-3
    decoder_lr: float = 5e-4
    adapter_lr: float = 1e-3
    clip_lr_factor: float = 0.6
    weight_decay: float = 0.01
    warmup: int = 200
    seed: int = 0
    evaluate_every: int = 600
    processes: int = 2
    use_adapter: bool = True
    dense: DenseMode = "hda"
    itm_token: TrackToken = "main_mask"
    itm_residual: bool = True
    mlp_layers: int = 1
    sparse: bool = True
    text: str = "tiny"
    visual_encoder: str = "tiny"
    start: str | None = None
    validate: int = 0
    watch: int = 24


@dataclass(frozen=True)
class ClipBatch:
    """B clips of T frames with N sentences in all.

    Attributes:
        frames: (T, B, 3, S, S) normalised.
        masks: (T, N, H, W) float 0/1; all 0 where the referent is not visible.
        texts: N sentences.
        clip_index: (N,) which clip each sentence is about.
    """

    frames: Tensor
    masks: Tensor
    texts: list[str]
    clip_index: Tensor


def collate(samples: list[Sample], image_size: int) -> ClipBatch:
    """Stack samples of equally many frames."""
    frames = torch.from_numpy(np.stack([s.frames for s in samples], axis=1))  # (T, B, H, W, 3)
    t, b = frames.shape[:2]
    flat = normalise_and_pad(frames.flatten(0, 1).permute(0, 3, 1, 2), image_size)
    masks, texts, index = [], [], []
    for i, sample in enumerate(samples):
        for sentence in sample.sentences:
            label = 255 if sentence.object_id is None else int(sentence.object_id)
            masks.append(sample.labels == label)
            texts.append(sentence.text)
            index.append(i)
    stacked = torch.from_numpy(np.stack(masks, axis=1)).float()
    return ClipBatch(flat.view(t, b, 3, image_size, image_size), stacked, texts, torch.tensor(index))


def clip_times(rng: Stream, frames: int) -> list[int]:
    """Return frame 0 and then steps of U[1,3], clamped to the video."""
    times = [0]
    while len(times) < frames:
        times.append(min(FRAMES - 1, times[-1] + rng.integer(1, 3)))
    return times


def make_batch(options: RefSamTrainOptions, step: int, image_size: int, rank: int = 0) -> ClipBatch:
    """Draw the share of a step's batch that process ``rank`` computes: images in the first phase, then clips."""
    if step < options.image_steps:
        first, count = step * options.images, options.images
    else:
        first = options.image_steps * options.images + (step - options.image_steps) * options.clips
        count = options.clips
    draw = _draw_image if step < options.image_steps else _draw_clip
    samples = [draw(options, first + i) for i in range(rank, count, options.processes)]
    return collate([s for s in samples if s.sentences], image_size)


def _draw_image(options: RefSamTrainOptions, index: int) -> Sample:
    return image_sample(options.seed, index, options.sentences, no_target=options.no_target)


def _draw_clip(options: RefSamTrainOptions, index: int) -> Sample:
    rng = Stream(options.seed, index, 7)
    times = clip_times(rng, options.clip_frames) if options.clip_start == "first_frame" else None
    return clip_sample(options.seed, index, options.sentences, times, no_target=options.no_target)


def frame_logits(model: RefSam, batch: ClipBatch) -> Iterator[Tensor]:
    """Yield the logits (N, H, W) of each frame in order, the track token carried on from frame to frame."""
    height, width = batch.masks.shape[-2:]
    side = batch.frames.shape[-1]
    features = model.encode_image(batch.frames.flatten(0, 1))
    text = model.encode_text(batch.texts)
    for low in walk(model, features, text, batch.clip_index, batch.frames.shape[1]):
        logits = F.interpolate(low[:, None], (side, side), mode="bilinear", align_corners=False)[:, 0]
        yield logits[:, :height, :width]


def clip_losses(model: RefSam, batch: ClipBatch, focal_weight: float) -> dict[str, Tensor]:
    """Return the losses of a batch, means over its rows and frames."""
    dice, focal = [], []
    for logits, masks in zip(frame_logits(model, batch), batch.masks, strict=True):
        dice.append(dice_loss(logits, masks).mean())
        focal.append(focal_loss(logits, masks).mean())
    d, f = torch.stack(dice).mean(), torch.stack(focal).mean()
    return {"loss": d + focal_weight * f, "dice": d, "focal": f}


@torch.no_grad()
def dev_iou(model: RefSam, options: RefSamTrainOptions, image_size: int) -> dict[str, float]:
    """Return the mean J of sentences in fresh images and, over all 16 frames, in fresh videos, in percent."""
    images = collate([image_sample(DEV_SEED, i, 4) for i in range(min(64, 4 * options.watch))], image_size)
    out = {"dev_image_J": 100 * float(_mean_j(model, images).mean())}
    if options.clip_steps:
        values, kinds = [], []
        for video in (clip_sample(DEV_SEED, i, 4, range(FRAMES)) for i in range(options.watch)):
            values.append(_mean_j(model, collate([video], image_size)))
            kinds += [s.type for s in video.sentences]
        j = torch.cat(values)
        out["dev_video_J"] = 100 * float(j.mean())
        for kind in sorted(set(kinds)):
            out[f"dev_video_J_{kind}"] = 100 * float(j[[k == kind for k in kinds]].mean())
    return out


def _mean_j(model: RefSam, batch: ClipBatch) -> Tensor:
    """Return J of each sentence, averaged over frames; both empty counts as 1."""
    scores = []
    for logits, masks in zip(frame_logits(model, batch), batch.masks, strict=True):
        on, truth = logits > 0, masks > 0.5
        union = (on | truth).sum((-2, -1))
        scores.append(torch.where(union > 0, (on & truth).sum((-2, -1)) / union.clamp(min=1), 1.0))
    return torch.stack(scores).mean(0)


def _validation(model: RefSam, options: RefSamTrainOptions) -> dict[str, float]:
    if not options.validate:
        return {}
    dataset = build_dataset(DatasetRequest("refshapes", "val"))
    videos = dataset.videos()[: options.validate]
    return validation_scores(model, dataset, videos, device=torch.device("cpu"))


def parameter_groups(model: RefSam, options: RefSamTrainOptions) -> list[dict[str, object]]:
    """Return optimiser groups: a learning rate per module, no weight decay on vectors."""
    rates = {"mask_decoder": options.decoder_lr, "adapters": options.adapter_lr}
    groups: list[dict[str, object]] = []
    for name, part in model.learnable_modules().items():
        for decayed in (True, False):
            chosen = [p for p in part.parameters() if (p.ndim >= 2) == decayed]
            decay = options.weight_decay if decayed else 0.0
            groups.append({"params": chosen, "lr": rates.get(name, options.lr), "weight_decay": decay})
    return groups


def _config(options: RefSamTrainOptions) -> RefSamConfig:
    return replace(
        CONFIGS["refsam_tiny"],
        use_adapter=options.use_adapter,
        dense=options.dense,
        itm_token=options.itm_token,
        itm_residual=options.itm_residual,
        mlp_layers=options.mlp_layers,
        sparse=options.sparse,
        text=options.text,
        sam=sam_config(options.visual_encoder),
    )


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train ``refsam_tiny``; writes ``refsam_tiny.safetensors`` (the learnable tensors) into ``request.out``.

    Raises:
        InputError: Another method than ``refsam_tiny``, or SAM weights that do not fit.
    """
    if request.method != "refsam_tiny":
        raise InputError(
            f"Recipe {request.recipe} trains refsam_tiny, not {request.method}; give --method refsam_tiny."
        )
    options = parse_options(RefSamTrainOptions, request.options, owner=f"recipe {request.recipe}")
    config = _config(options)
    size = config.sam.image_size
    torch.manual_seed(options.seed)
    text = build_text_encoder(config.text, use_attention_mask=config.text_attention_mask)
    model = build_refsam(config, text)
    sam_path = Path(options.sam) if options.sam else SAM_TINY
    load_into(model.sam, load_tensors(sam_path), sam_path)
    if options.start:
        load_start(model, Path(options.start))
    model.train()
    images = cosine_with_warmup(options.image_steps, options.warmup)
    clips = cosine_with_warmup(options.clip_steps, options.warmup)
    fingerprint = json.dumps({"recipe": request.recipe, **asdict(options)}, sort_keys=True)
    out = Path(request.out)
    spent = Training(
        out=out,
        steps=options.image_steps + options.clip_steps,
        network=model,
        optimizer=torch.optim.AdamW(parameter_groups(model, options)),
        schedule=lambda s: (
            images(s) if s < options.image_steps else options.clip_lr_factor * clips(s - options.image_steps)
        ),
        make_batch=lambda step, rank: make_batch(options, step, size, rank),
        compute=lambda batch, step: clip_losses(model, batch, options.focal),
        rows=lambda batch: len(batch.texts),
        processes=options.processes,
        evaluate=lambda: dev_iou(model, options, size) | _validation(model, options),
        fingerprint=fingerprint,
        evaluate_every=options.evaluate_every,
    ).run(resume=request.resume)
    model.eval()
    figures = {**dev_iou(model, options, size), **_validation(model, options), **spent}
    facts = {"recipe": fingerprint, "sam_sha256": file_sha256(sam_path), "dataset": f"refshapes {VERSION}"}
    save_weights(model, out / "refsam_tiny.safetensors", facts)
    return figures
