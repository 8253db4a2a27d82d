"""The paper's recipe (IV-B2) on real datasets, for RefSAM of any size.

``refcoco_pretrain`` mixes RefCOCO, RefCOCO+ and RefCOCOg; ``refytvos_finetune`` goes on with clips of
Refer-YouTube-VOS; ``ris_…`` trains for one dataset of images, without tracking. They differ in their defaults only,
and ``--set datasets=…`` trains on anything that is registered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from refseg.bench.config import find_root
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.fetch import file_sha256
from refseg.bench.options import parse_options
from refseg.bench.registry import build_dataset
from refseg.bench.types import Dataset, DatasetRequest, TrainRequest
from refseg.methods.accelerated import Accelerated, launched
from refseg.methods.refsam.config import CONFIGS, ModelSwitches, configured, variant
from refseg.methods.refsam.method import check_sam, find_sam_weights, load_base
from refseg.methods.refsam.model import RefSam
from refseg.methods.refsam.training.augment import NONE, Augmentation
from refseg.methods.refsam.training.clips import Clip, Clips
from refseg.methods.refsam.training.frozen import Encoders
from refseg.methods.refsam.training.validate import validation_scores
from refseg.methods.refsam.training.walk import clip_losses
from refseg.methods.refsam.weights import load_start, save_weights
from refseg.methods.training import Training, cosine_with_warmup, decay_groups
from refseg.methods.training_log import read_log


@dataclass(frozen=True)
class RecipeOptions(ModelSwitches):
    """Settings of a recipe, beside the network's own.

    Attributes:
        datasets: Names, comma-separated, each with a split other than ``train`` after a colon: ``refcoco,folder:mine``.
        root: Folder of the only dataset; several are found as ``bench run`` finds them.
        epochs: Rounds over all (sentence, frame) pairs.
        steps: Steps instead of epochs.
        batch: Clips a step, over all processes.
        accumulate: Parts that a process computes its share of a batch in, one after the other.
        clip_frames: Frames a clip; an image is repeated.
        lr: Learning rate of cross-modal MLP, dense attention and tracking (and of a text encoder that learns).
        decoder_lr: That of the mask decoder.
        adapter_lr: That of the adapters.
        schedule: Learning rates stay, or fall along a cosine after ``warmup`` steps.
        clip_norm: Greatest norm of the gradients; 0: any, as released.
        dice: Weight of the Dice loss.
        focal: Weight of the focal loss.
        augment: Vary samples at all.
        flip: Probability of the horizontal flip; left and right are swapped in the sentence.
        photometric: Probability of each distortion of colours.
        crop: Probability of the crop.
        precision: Mixed precision of the forward pass.
        recompute: Activation checkpointing in the image encoder.
        text_cache_gib: Memory for sentences that a frozen text encoder has encoded.
        frame_cache_gib: Memory for frames that a frozen image encoder has encoded; needs ``use_adapter=false`` and
            ``augment=false``.
        start: Weights of an earlier training to begin with.
        sam_checkpoint: SAM's weights.
        text_checkpoint: Folder of the text encoder.
        validate: ``NAME`` or ``NAME:SPLIT`` that is scored during training.
        validate_root: Its folder.
        validate_videos: How many videos of it (0: all).
        evaluate_every: Steps between validations.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between lines of the log, beside those that are evaluated.
        workers: Processes that read clips ahead.
    """

    datasets: str = ""
    root: str | None = None
    epochs: float = 40
    steps: int = 0
    batch: int = 16
    accumulate: int = 1
    clip_frames: int = 1
    lr: float = 1e-4
    decoder_lr: float = 1e-6
    adapter_lr: float = 1e-5
    weight_decay: float = 0.01
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    clip_norm: float = 0.0
    dice: float = 1.0
    focal: float = 1.0
    augment: bool = True
    flip: float = 0.5
    photometric: float = 0.5
    crop: float = 0.5
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    recompute: bool = False
    text_cache_gib: float = 1.0
    frame_cache_gib: float = 0.0
    seed: int = 0
    start: str | None = None
    sam_checkpoint: str | None = None
    text_checkpoint: str | None = None
    validate: str | None = None
    validate_root: str | None = None
    validate_videos: int = 0
    evaluate_every: int = 2000
    checkpoint_every: int = 200
    log_every: int = 20
    workers: int = 2


_IMAGES = Augmentation(
    sides=(480, 512, 544, 576, 608, 640, 672, 704, 736, 768),
    crop_sides=(296, 328, 360, 392, 416, 448, 480, 512),
)
_CLIPS = Augmentation()


@dataclass(frozen=True)
class Recipe:
    """A recipe's defaults, and the sizes that its samples are resized to."""

    options: RecipeOptions
    augmentation: Augmentation


def _ris(dataset: str) -> Recipe:
    options = RecipeOptions(
        datasets=dataset, validate=f"{dataset}:val", validate_videos=500, itm_token="none"
    )
    return Recipe(options, _IMAGES)


RECIPES: Mapping[str, Recipe] = {
    "refcoco_pretrain": Recipe(RecipeOptions(datasets="refcoco,refcoco+,refcocog"), _IMAGES),
    "refytvos_finetune": Recipe(RecipeOptions(datasets="refytvos", epochs=4, clip_frames=3), _CLIPS),
    "ris_refcoco": _ris("refcoco"),
    "ris_refcoco+": _ris("refcoco+"),
    "ris_refcocog": _ris("refcocog"),
}


def recipe(request: TrainRequest) -> Mapping[str, float]:
    """Train RefSAM; writes ``METHOD.safetensors`` (what is learnt) into ``request.out``.

    Returns:
        The last figures, in the leading process; nothing in the others.

    Raises:
        InputError: An option is wrong, the method is no RefSAM, or data or weights are missing.
    """
    options = chosen_options(request)
    name = variant(request.method)
    if name not in CONFIGS:
        raise unknown_name("method to train", request.method, ["refsam", *CONFIGS])
    crew = Accelerated(request.device) if launched() else None
    device = torch.device(request.device) if crew is None else crew.device
    sources = _open_all(options.datasets, options.root)
    torch.manual_seed(options.seed)
    config = configured(CONFIGS[name], options)
    sam_path = find_sam_weights(name, options.sam_checkpoint)
    model = load_base(config, sam_path, options.text_checkpoint)
    if options.start:
        check_sam(load_start(model, Path(options.start)), options.start, sam_path)
    model.recompute = options.recompute
    model.to(device).train()
    how = _augmentation(request.recipe, options)
    clips = Clips(
        sources,
        frames=options.clip_frames,
        augmentation=how,
        image_size=config.sam.image_size,
        seed=options.seed,
    )
    facts = _facts(request.recipe, options, sources, file_sha256(sam_path))
    training = _training(model, clips, options, device, crew)
    spent = replace(training, out=Path(request.out), fingerprint=json.dumps(facts)).run(resume=request.resume)
    if crew is not None and crew.rank:
        return {}
    model.eval()
    save_weights(
        model,
        Path(request.out) / f"{name}.safetensors",
        {"recipe": json.dumps(facts), "sam_sha256": file_sha256(sam_path)},
    )
    last = {name: rows[-1][1] for name, rows in read_log(Path(request.out) / "log.csv").items()}
    return {**last, **spent}


def chosen_options(request: TrainRequest) -> RecipeOptions:
    """Return a recipe's options with what a request chooses.

    Raises:
        InputError: One is unknown or out of range.
    """
    defaults = RECIPES[request.recipe].options
    given = parse_options(RecipeOptions, request.options, owner=f"recipe {request.recipe}")
    options = replace(defaults, **{k: getattr(given, k) for k in request.options})
    for name in ("batch", "accumulate", "clip_frames", "evaluate_every", "checkpoint_every", "log_every"):
        if getattr(options, name) < 1:
            raise InputError(f"{name}={getattr(options, name)} of recipe {request.recipe}: give 1 or more.")
    for name in ("flip", "photometric", "crop"):
        if not 0 <= getattr(options, name) <= 1:
            raise InputError(f"{name}={getattr(options, name)} is no probability; give one from 0 to 1.")
    if options.frame_cache_gib and options.augment:
        raise InputError(
            "frame_cache_gib keeps encoded frames, but augmented ones never come twice; give augment=false, or leave "
            "frame_cache_gib out."
        )
    return options


def learnable_groups(model: RefSam, options: RecipeOptions) -> list[dict[str, Any]]:
    """Return optimiser groups: a learning rate per module (paper IV-B2), no weight decay on vectors.

    Single frames never use what tracks, which then stays as it is.
    """
    rates = {"mask_decoder": options.decoder_lr, "adapters": options.adapter_lr}
    groups: list[dict[str, Any]] = []
    for name, part in model.learnable_modules().items():
        if name in ("itm", "memory") and options.clip_frames == 1:
            continue
        rate = rates.get(name, options.lr)
        groups += decay_groups(part.parameters(), lr=rate, weight_decay=options.weight_decay)
    return groups


def share_of(options: RecipeOptions, step: int, rank: int, size: int) -> range:
    """Return the numbers of the samples of a step that a process computes.

    Raises:
        InputError: There are more processes than samples.
    """
    if options.batch < size:
        raise InputError(
            f"batch={options.batch} gives {size} processes nothing to share; give {size} or more."
        )
    return range(step * options.batch + rank, (step + 1) * options.batch, size)


def _training(
    model: RefSam, clips: Clips, options: RecipeOptions, device: torch.device, crew: Accelerated | None
) -> Training:
    encoders = Encoders(model, text_gib=options.text_cache_gib, frame_gib=options.frame_cache_gib)
    steps = options.steps or math.ceil(options.epochs * len(clips) / options.batch)
    size = 1 if crew is None else crew.size
    own = 0 if crew is None else crew.rank
    share_of(options, 0, own, size)

    def batch(step: int, _: int) -> list[Clip]:
        return [clips.draw(i) for i in share_of(options, step, own, size)]

    return Training(
        out=Path(),
        steps=steps,
        network=model,
        optimizer=torch.optim.AdamW(learnable_groups(model, options)),
        schedule=_schedule(options, steps),
        make_batch=batch,
        compute=lambda part, step: clip_losses(model, encoders, part, dice=options.dice, focal=options.focal),
        evaluate=_validation(model, options, device),
        fingerprint="",
        rows=len,
        parts=partial(_parts, count=options.accumulate),
        crew=crew,
        autocast=partial(_autocast, device.type, options.precision),
        scaler=torch.amp.GradScaler(device.type, enabled=options.precision == "fp16"),
        workers=options.workers,
        whole=False,
        evaluate_every=options.evaluate_every,
        checkpoint_every=options.checkpoint_every,
        log_every=options.log_every,
        clip_norm=options.clip_norm or math.inf,
    )


def _parts(batch: Sequence[Clip], count: int) -> list[Sequence[Clip]]:
    return [batch[i::count] for i in range(min(count, len(batch)))]


def _autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    return torch.autocast(device, dtype=kind, enabled=kind is not None)


def _schedule(options: RecipeOptions, steps: int) -> Callable[[int], float]:
    if options.schedule == "cosine":
        return cosine_with_warmup(steps, options.warmup)
    return lambda step: min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0


def _augmentation(recipe: str, options: RecipeOptions) -> Augmentation:
    if not options.augment:
        return NONE
    how = RECIPES[recipe].augmentation
    return replace(how, flip=options.flip, photometric=options.photometric, crop=options.crop)


def _validation(
    model: RefSam, options: RecipeOptions, device: torch.device
) -> Callable[[], Mapping[str, float]]:
    if options.validate is None:
        return dict
    (dataset,) = _open_all(options.validate, options.validate_root, default=None)
    videos = list(dataset.videos()[: options.validate_videos or None])
    return lambda: validation_scores(model, dataset, videos, device=device)


def _open_all(names: str, root: str | None, default: str | None = "train") -> list[Dataset]:
    chosen = [n.strip().partition(":") for n in names.split(",") if n.strip()]
    if not chosen:
        raise InputError("datasets names no dataset; see `bench list datasets`.")
    if root is not None and len(chosen) > 1:
        raise InputError(
            f"root={root} is one folder, but {len(chosen)} datasets are to be opened; set the folder of each by "
            "`bench data set NAME DIR`."
        )
    return [
        build_dataset(DatasetRequest(name, split or default, find_root(name, root)))
        for name, _, split in chosen
    ]


_FREE = (
    "root",
    "validate_root",
    "sam_checkpoint",
    "text_checkpoint",
    "workers",
    "accumulate",
    "recompute",
    "text_cache_gib",
    "frame_cache_gib",
    "checkpoint_every",
)
"""Options that change where things lie and how much memory is used, not what is learnt."""


def _facts(recipe: str, options: RecipeOptions, sources: Sequence[Dataset], sam: str) -> dict[str, Any]:
    """Return what two trainings must agree in for one to go on where the other stopped."""
    settings = {k: v for k, v in asdict(options).items() if k not in _FREE}
    data = [f"{d.info.name} {d.info.version} {d.info.split} {d.info.fingerprint}" for d in sources]
    if options.start:
        settings["start"] = file_sha256(Path(options.start))
    return {"recipe": recipe, **settings, "data": data, "sam_sha256": sam}
