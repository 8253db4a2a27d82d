"""PerSAM with Grounding DINO as a method: sentence -> box -> SAM's mask of frame 0 -> PerSAM through the video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from refseg.bench.errors import InputError
from refseg.bench.types import (
    BoolArray,
    Dataset,
    Expression,
    FramePrediction,
    MethodInfo,
    MethodRequest,
    Video,
)
from refseg.methods.first_frame import FirstFrame, FirstFrameOptions, first_frame_options
from refseg.methods.persam.image import LEARNING_RATE, STEPS, PerSamImage
from refseg.methods.persam.video import PerSamVideo, VideoOptions, compete
from refseg.methods.sam.fast_encoder import REFERENCE_OPTIONS
from refseg.methods.sam.promptable import SamFeatures
from refseg.methods.stages import Answer

REVISION = "2"


@dataclass(frozen=True)
class PerSamOptions(FirstFrameOptions):
    """Options of ``--set``; None keeps what the release has for the procedure.

    Attributes:
        procedure: The release's for videos, or for images: then every frame is compared with frame 0 alone.
        top_points: How many of the most similar pixels are prompted with (videos).
        margin: Pixels that the box of the previous mask grows by (videos).
        area_overflow: The release's comparison of areas modulo 256 (videos).
        steps: PerSAM-F's training steps.
        learning_rate: PerSAM-F's learning rate.
    """

    procedure: Literal["video", "image"] = "video"
    top_points: int | None = None
    margin: int = 10
    area_overflow: bool = False
    steps: int | None = None
    learning_rate: float | None = None


Follow = Callable[[SamFeatures, BoolArray], Answer]
"""Finds one object in a frame: its features and the object's mask in the frame before -> one mask."""


class PerSamGdino:
    """``persam_gdino``, ``persam_gdino_tiny``, and ``persam_f_gdino`` (PerSAM-F); see :class:`PerSamOptions`.

    Raises:
        InputError: An option is wrong, or checkpoints are missing.
    """

    reference_options = REFERENCE_OPTIONS
    once_per_video = ("detector",)

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = first_frame_options(PerSamOptions, request)
        for name, value in (("top_points", options.top_points), ("steps", options.steps)):
            if value is not None and value < 1:
                raise InputError(f"{name}={value} of method {request.name} is too small; give 1 or more.")
        self._finetune = request.name == "persam_f_gdino"
        self._first = FirstFrame(request, options, box_prompt="single")
        self._sam = self._first.sam
        self.info = MethodInfo(
            request.name,
            REVISION,
            needs="" if request.name.endswith("_tiny") else "checkpoints of SAM and Grounding DINO",
            config=options.config() | {"finetune": self._finetune},
            weights=self._first.weights,
            threshold=0.5,
            uses_truth=options.uses_truth,
        )

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset, for the oracle stages."""
        self._first.bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks."""
        return self._first.modules()

    def text_encoder(self) -> nn.Module | None:
        """Return the network that reads sentences, for parameter counts."""
        return self._first.text_encoder()

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield a prediction per frame; an expression without a mask in frame 0 stays empty."""
        # The detector reads frame 0 too, so it is not decoded twice.
        video = replace(video, read=lru_cache(maxsize=1)(video.read))
        features = self._sam.encode(video.read(0))
        first = self._first.look(video, expressions, features)
        masks = np.stack([f.mask for f in first])
        scores = np.array([f.score for f in first], np.float32)
        extras = [f.extras for f in first]
        yield FramePrediction(0, masks, scores, np.stack([f.probability for f in first]), extras)
        follow = {k: self._start(features, m) for k, m in enumerate(masks) if m.any()}
        groups = self._options.competing(expressions, [*follow])
        for frame in range(1, len(video)):
            features = self._sam.encode(video.read(frame))
            answers = {k: step(features, masks[k]) for k, step in follow.items()}
            masks, probabilities = np.zeros_like(masks), np.zeros(masks.shape, np.float16)
            for group in groups:
                logits = [answers[k].logits[0, 0] for k in group]
                won = compete(logits)
                masks[group] = won.cpu().numpy()
                # What an object lost to another is no longer its own, so that no later merge gives it back.
                soft = torch.stack(logits).sigmoid() if len(group) == 1 else _kept(logits, won)
                probabilities[group] = soft.half().cpu().numpy()
            scores = np.array(
                [float(answers[k].scores[0, 0]) if k in answers else 0 for k in range(len(masks))]
            )
            yield FramePrediction(frame, masks, scores.astype(np.float32), probabilities)

    def _start(self, features: SamFeatures, mask: BoolArray) -> Follow:
        """Return what follows one object from its mask in frame 0."""
        options = self._options
        if options.procedure == "image":
            persam = PerSamImage(
                self._sam,
                finetune=self._finetune,
                steps=options.steps or STEPS,
                learning_rate=options.learning_rate or LEARNING_RATE,
            )
            reference = persam.reference(features, mask)
            return lambda features, previous: persam.segment(features, reference).result
        defaults = VideoOptions()
        chosen = VideoOptions(
            top_points=options.top_points,
            margin=options.margin,
            area_overflow=options.area_overflow,
            finetune=self._finetune,
            steps=options.steps or defaults.steps,
            learning_rate=options.learning_rate or defaults.learning_rate,
        )
        tracked = PerSamVideo(self._sam, chosen, features, mask)
        return lambda features, previous: tracked.step(features, previous).result


def _kept(logits: Sequence[Tensor], won: Tensor) -> Tensor:
    return torch.stack(list(logits)).sigmoid() * won
