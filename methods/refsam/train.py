"""Trains RefSAM on RefShapes by the paper's recipe in small (paper IV-B).

As the paper pre-trains on RefCOCO's images and fine-tunes on Refer-YouTube-VOS's clips, the first phase sees single
frames, the second clips whose frames run in order with the track token carried without detaching, and single frames
between them. Dice and focal loss on the mask that is the output, a learning rate per module.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.bench.fetch import file_sha256
from refseg.bench.registry import build_dataset
from refseg.bench.types import DatasetRequest, TrainRequest
from refseg.datasets.refshapes.facts import Facts
from refseg.datasets.refshapes.grammar import CLIP_WEIGHTS, MOVING_WEIGHTS, Sentence
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import FRAMES, Shape
from refseg.datasets.refshapes.train import DEV_SEED, VERSION, Sample, Times, clip_sample, image_sample
from refseg.methods.losses import dice_loss, jaccard_loss
from refseg.methods.muon import MuonAdamW, muon_groups
from refseg.methods.naming import Naming
from refseg.methods.refsam.config import CONFIGS, DenseMode, RefSamConfig, TrackToken
from refseg.methods.refsam.model import RefSam, build_refsam
from refseg.methods.refsam.text import build_text_encoder
from refseg.methods.refsam.training.dense_prompts import balance
from refseg.methods.refsam.training.shapes import ClipBatch, clip_losses, collate, frame_outputs
from refseg.methods.refsam.training.validate import validation_scores
from refseg.methods.refsam.weights import load_start, save_weights
from refseg.methods.sam.build import sam_config
from refseg.methods.sam.weights import SAM_TINY, load_into, load_tensors
from refseg.methods.training import Training, cosine_with_warmup, recipe_options


@dataclass(frozen=True)
class RefSamTrainOptions:
    """Settings of the recipe.

    The paper's learning rates (1e-4, 1e-6 for the decoder, 1e-5 for adapters) tune a pre-trained ViT-H; a decoder and
    encoder of this size that have only seen point and box prompts need larger ones.

    Attributes:
        sam: Weights of the tiny SAM; None: the shipped ones.
        image_steps: Steps of the first phase.
        align_steps: In how many of them, at first, the decoder gets mask prompts of the true objects, while dense
            attention learns to give such prompts.
        images: Images a step.
        clip_steps: Steps of the second phase.
        clips: Clips a step.
        clip_frames: Frames a clip (the paper: 3).
        given_clips: Clips a step of ``given_every``.
        given_frames: Frames a clip of these.
        clip_start: ``paper``: {t - U[1,3], t, t + U[1,3]}; ``first_frame``: frame 0 and then steps of U[1,3], as
            RefShapes asks for places and relations in the first frame.
        image_sentences: Sentences an image, each of which finds its object's place.
        image_masks: How many of them have their masks decoded too, which is what costs time.
        given_every: Every so many-th step after ``align_steps`` shows later frames of videos, with track tokens that
            say where the object was in the frame before (0: none).
        image_every: Every so many-th step of the second phase is one of single images, so that looks and places go on
            being learnt (0: none).
        sentences: Sentences a clip whose masks are decoded; with mask memory ``image_sentences`` are aligned.
        focal: Weight of the focal loss beside Dice; the paper's is 1, SAM's 20.
        alignment: Weight of the alignment of sentences with places; the paper has none, as its text encoder is
            pre-trained and its network has seen pictures by the hundred thousand.
        dense_prompts: Weight of the distance between dense attention's output and SAM's prompt of the object's mask.
        attributes: Weight of naming every object's attributes from its image embedding, as in the tiny SAM's recipe.
        tracking: Weight of the distance between track tokens and SAM's prompt of a point at the object's centre, which
            its decoder understands from the start; the paper has none.
        motion: Weight of telling how every object moves, from what mask memory adds to its cells.
        jaccard: In the second phase the loss of overlap is 1 - J, which is what is scored, in place of Dice.
        text_dropout: Share of the sentences that are left out where there is a track token, so that nothing but it says
            what to look for.
        no_target: Weight of sentences without a target; the other types' weights sum to 100.
        lr: Learning rate of cross-modal MLP, dense attention, tracking and text encoder.
        decoder_lr: That of the mask decoder.
        adapter_lr: That of the adapters.
        processes: Processes that share each step; two of one thread each are faster than one of two.
        text: Text encoder, the tiny T5 or a stand-in of another family.
        visual_encoder: Size of the SAM whose weights ``sam`` are.
        start: Weights of an earlier training to begin with; tracking may be missing in them.
        validate: Videos of val whose J&F is measured at every evaluation as ``bench run`` does (0: none).
        watch: Fresh videos that the ``dev_`` figures are of, and four times as many images, at most 64.
    """

    sam: str | None = None
    image_steps: int = 1200
    align_steps: int = 200
    images: int = 12
    clip_steps: int = 2200
    clips: int = 2
    clip_frames: int = 8
    given_clips: int = 4
    given_frames: int = 4
    clip_start: Literal["paper", "first_frame"] = "first_frame"
    image_sentences: int = 12
    image_masks: int = 4
    given_every: int = 3
    image_every: int = 3
    sentences: int = 6
    no_target: int = 5
    focal: float = 5.0
    alignment: float = 0.5
    dense_prompts: float = 1.0
    attributes: float = 0.2
    tracking: float = 1.0
    motion: float = 0.5
    jaccard: bool = True
    text_dropout: float = 0.3
    lr: float = 1e-3
    decoder_lr: float = 1e-3
    adapter_lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 100
    seed: int = 0
    evaluate_every: int = 1200
    processes: int = 2
    use_adapter: bool = True
    dense: DenseMode = "hda"
    itm_token: TrackToken = "main_mask"
    itm_residual: bool = True
    mask_memory: bool = True
    mlp_layers: int = 1
    sparse: bool = True
    text: str = "tiny"
    visual_encoder: str = "tiny"
    start: str | None = None
    validate: int = 0
    watch: int = 24


HARD = 0.6
"""How often a later frame is one in which an object that a sentence is about comes in or meets another, if one does."""

GIVEN_STEP = 2
"""Frames that lie between those of a clip that begins later, at most: nearer to every frame, as videos are run."""

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Probabilities above which a pixel may count as the object's, tried on fresh videos."""


def clip_times(rng: Stream, frames: int, first: int = 0, most: int = 3) -> list[int]:
    """Return a first frame and then steps of U[1,most], clamped to the video."""
    times = [first]
    while len(times) < frames:
        times.append(min(FRAMES - 1, times[-1] + rng.integer(1, most)))
    return times


def make_batch(options: RefSamTrainOptions, step: int, image_size: int, rank: int = 0) -> ClipBatch:
    """Draw the share of a step's batch that process ``rank`` computes: images in the first phase, then mostly clips."""
    pictures, given = _of_images(options, step), _given(options, step)
    if pictures:
        draw, count = _draw_given_image if given else _draw_image, options.images
    elif given:
        draw, count = _draw_given_clip, options.given_clips
    else:
        draw, count = _draw_clip, options.clips
    first = _samples_before(options, step)
    samples = [draw(options, first + i) for i in range(rank, count, options.processes)]
    decoded = options.image_masks if pictures else options.sentences
    return collate([s for s in samples if s.sentences], image_size, decoded=decoded, given=given)


def _of_images(options: RefSamTrainOptions, step: int) -> bool:
    """Return whether a step is of single images; none of the second phase gives tokens where both come every third."""
    every = options.image_every
    return step < options.image_steps or (every > 0 and step % every == 1 % every)


def _samples_before(options: RefSamTrainOptions, step: int) -> int:
    """Return a number that no sample of an earlier step reaches."""
    second = max(0, step - options.image_steps)
    each = max(
        options.clips,
        options.images if options.image_every else 0,
        options.given_clips if options.given_every else 0,
    )
    return (step - second) * options.images + second * each


def _given(options: RefSamTrainOptions, step: int) -> bool:
    """Return whether a step gives track tokens."""
    if options.itm_token == "none" or not options.given_every or step < options.align_steps:
        return False
    return step % options.given_every == 0


def _draw_image(options: RefSamTrainOptions, index: int) -> Sample:
    """Draw a single image, or as often a video's first frame with sentences about the video."""
    if index % 2:
        return _draw_video(options, index, options.image_sentences, [0])
    return image_sample(options.seed, index, options.image_sentences, no_target=options.no_target)


def _draw_given_image(options: RefSamTrainOptions, index: int) -> Sample:
    count = options.image_sentences if options.mask_memory else options.image_masks
    return _draw_video(options, index, count, _later(options, index, 1))


def _draw_clip(options: RefSamTrainOptions, index: int) -> Sample:
    times = None
    if options.clip_start == "first_frame":
        times = clip_times(Stream(options.seed, index, 7), options.clip_frames)
    return _draw_video(options, index, _clip_sentences(options), times)


def _draw_given_clip(options: RefSamTrainOptions, index: int) -> Sample:
    return _draw_video(options, index, _clip_sentences(options), _later(options, index, options.given_frames))


def _clip_sentences(options: RefSamTrainOptions) -> int:
    return options.image_sentences if options.mask_memory else options.sentences


def _draw_video(
    options: RefSamTrainOptions, index: int, count: int, times: Sequence[int] | Times | None
) -> Sample:
    return clip_sample(
        options.seed,
        index,
        count,
        times,
        no_target=options.no_target,
        weights=MOVING_WEIGHTS if options.mask_memory else CLIP_WEIGHTS,
    )


def _later(options: RefSamTrainOptions, index: int, frames: int) -> Times:
    """Return what chooses a clip that begins after frame 0, with the frame before it in front."""

    def times(facts: Facts, said: Sequence[Sentence]) -> list[int]:
        rng = Stream(options.seed, index, 7)
        shapes = [s for s in facts.shown() if any(s.id == sentence.object_id for sentence in said)]
        entries = [row for s in shapes if (row := facts.first_row(s))]
        hard = [rows for rows in (entries, meetings(facts.scene.shapes, shapes, whole=frames == 1)) if rows]
        t = rng.choice(rng.choice(hard)) if hard and rng.chance(HARD) else rng.integer(1, FRAMES - 1)
        return [t - 1, *clip_times(rng, frames, t, GIVEN_STEP)]

    return times


def meetings(shapes: Sequence[Shape], wanted: Sequence[Shape], *, whole: bool) -> list[int]:
    """Return the frames after the first in which a wanted object begins to meet another; ``whole``: or still does."""
    found = []
    for shape, other in itertools.product(wanted, shapes):
        if shape.id != other.id:
            meet = [_meet(shape, other, t) for t in range(FRAMES)]
            found += [t for t in range(1, FRAMES) if meet[t] and (whole or not meet[t - 1])]
    return found


def _meet(a: Shape, b: Shape, t: int) -> bool:
    return a.on_screen(t) and b.on_screen(t) and math.dist(a.centre(t), b.centre(t)) < a.radius + b.radius


@torch.no_grad()
def dev_iou(model: RefSam, options: RefSamTrainOptions, image_size: int) -> dict[str, float]:
    """Return the mean J of sentences in fresh images and, over all 16 frames, in fresh videos, in percent.

    Of the videos also which of :data:`THRESHOLDS` gives the highest.
    """
    pictures = [image_sample(DEV_SEED, i, 4) for i in range(min(64, 4 * options.watch))]
    values = _mean_j(model, collate(pictures, image_size), (model.config.threshold,))
    out = _by_type("dev_image_J", values[:, 0], pictures)
    if options.clip_steps:
        videos = [clip_sample(DEV_SEED, i, 4, range(FRAMES)) for i in range(options.watch)]
        levels = (model.config.threshold, *THRESHOLDS)
        values = torch.cat([_mean_j(model, collate([video], image_size), levels) for video in videos])
        out |= _by_type("dev_video_J", values[:, 0], videos)
        out["dev_best_threshold"] = THRESHOLDS[int(values[:, 1:].mean(0).argmax())]
    return out


def _by_type(name: str, values: Tensor, samples: Sequence[Sample]) -> dict[str, float]:
    types = [s.type for sample in samples for s in sample.sentences]
    out = {name: 100 * float(values.mean())}
    for kind in sorted(set(types)):
        out[f"{name}_{kind}"] = 100 * float(values[[t == kind for t in types]].mean())
    return out


def _mean_j(model: RefSam, batch: ClipBatch, thresholds: Sequence[float]) -> Tensor:
    """Return J of each sentence at each threshold (N, K), averaged over frames; both empty counts as 1."""
    scores = []
    image, text = model.encode_image(batch.frames.flatten(0, 1)), model.encode_text(batch.texts)
    for (low, _), masks in zip(frame_outputs(model, image, text, batch), batch.masks, strict=True):
        logits = F.interpolate(low[:, None], masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        soft, truth = logits.sigmoid(), masks > 0.5
        on = torch.stack([soft > level for level in thresholds], dim=1)
        union = (on | truth[:, None]).sum((-2, -1))
        both = (on & truth[:, None]).sum((-2, -1))
        scores.append(torch.where(union > 0, both / union.clamp(min=1), 1.0))
    return torch.stack(scores).mean(0)


def _validation(model: RefSam, options: RefSamTrainOptions) -> dict[str, float]:
    if not options.validate:
        return {}
    dataset = build_dataset(DatasetRequest("refshapes", "val"))
    videos = dataset.videos()[: options.validate]
    return validation_scores(model, dataset, videos, device=torch.device("cpu"))


def parameter_groups(model: RefSam, options: RefSamTrainOptions) -> list[dict[str, Any]]:
    """Return the groups of :class:`MuonAdamW`: a learning rate per module."""
    rates = {"mask_decoder": options.decoder_lr, "adapters": options.adapter_lr}
    groups: list[dict[str, Any]] = []
    for name, part in model.learnable_modules().items():
        rate = rates.get(name, options.lr)
        # Dense attention's convolutions act on text and image, one beside the other.
        beside = 2 if name == "hda" else 1
        groups += muon_groups(
            part.named_parameters(), lr=rate, weight_decay=options.weight_decay, beside=beside
        )
    return groups


class Learner(nn.Module):
    """The model in training, and classifiers of its objects that are thrown away afterwards."""

    def __init__(self, model: RefSam, options: RefSamTrainOptions) -> None:
        super().__init__()
        self.model = model
        self.naming = Naming(model.config.sam.prompt_dim) if options.attributes else None

    def parameter_groups(self, options: RefSamTrainOptions) -> list[dict[str, Any]]:
        """Return the groups of :class:`MuonAdamW`: those of the model and the classifiers."""
        groups = parameter_groups(self.model, options)
        if self.naming is not None:
            named = self.naming.named_parameters()
            groups += muon_groups(named, lr=options.lr, weight_decay=options.weight_decay)
        return groups


def _losses(learner: Learner, batch: ClipBatch, options: RefSamTrainOptions, step: int) -> dict[str, Tensor]:
    # A clip that begins anywhere does not show what its sentence says of the video's first frame.
    early = step < options.image_steps or options.clip_start == "first_frame"
    return clip_losses(
        learner.model,
        batch,
        focal=options.focal,
        alignment=options.alignment if early else 0.0,
        dense_prompts=options.dense_prompts if early else 0.0,
        prompted=step < min(options.align_steps, options.image_steps),
        tracking=options.tracking,
        text_dropout=options.text_dropout,
        naming=learner.naming,
        attributes=options.attributes,
        motion=options.motion,
        overlap=jaccard_loss if options.jaccard and step >= options.image_steps else dice_loss,
    )


def _config(options: RefSamTrainOptions) -> RefSamConfig:
    return replace(
        CONFIGS["refsam_tiny"],
        use_adapter=options.use_adapter,
        dense=options.dense,
        itm_token=options.itm_token,
        itm_residual=options.itm_residual,
        mask_memory=options.mask_memory,
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
    options, fingerprint = recipe_options(request, "refsam_tiny", RefSamTrainOptions)
    config = _config(options)
    size = config.sam.image_size
    torch.manual_seed(options.seed)
    text = build_text_encoder(config.text, use_attention_mask=config.text_attention_mask)
    model = build_refsam(config, text)
    sam_path = Path(options.sam) if options.sam else SAM_TINY
    load_into(model.sam, load_tensors(sam_path), sam_path)
    if options.start:
        load_start(model, Path(options.start))
    else:
        balance(model)
    learner = Learner(model, options).train()
    steps = options.image_steps + options.clip_steps
    out = Path(request.out)
    spent = Training(
        out=out,
        steps=steps,
        network=learner,
        optimizer=MuonAdamW(learner.parameter_groups(options)),
        schedule=cosine_with_warmup(steps, options.warmup, options.image_steps if options.clip_steps else 0),
        make_batch=lambda step, rank: make_batch(options, step, size, rank),
        compute=lambda batch, step: _losses(learner, batch, options, step),
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
