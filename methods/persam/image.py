"""PerSAM's procedure for images (``persam.py``, ``persam_f.py``): a reference with its mask, then any other image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.types import BoolArray
from refseg.methods.boxes import tight_box
from refseg.methods.persam.passes import Passes, one_prompt, refined
from refseg.methods.persam.target import (
    IMAGE_LEVEL,
    Target,
    at_full_size,
    describe,
    extreme_points,
    similarity,
)
from refseg.methods.persam.weights import learn_mask_weights, weighted
from refseg.methods.sam.decode import Guidance, decode
from refseg.methods.sam.promptable import SamFeatures, SamPromptable
from refseg.methods.sam.transforms import upsample_logits
from refseg.methods.stages import Answer, Prompts

STEPS, LEARNING_RATE = 1000, 1e-3
"""PerSAM-F's training on a reference image."""


@dataclass(frozen=True)
class Reference:
    """What is kept of the reference image: its object's features and, for PerSAM-F, the weights of SAM's masks."""

    target: Target
    weights: Tensor | None = None


class PerSamImage:
    """PerSAM for images; training-free, or PerSAM-F where ``finetune`` is on."""

    def __init__(
        self,
        sam: SamPromptable,
        *,
        finetune: bool = False,
        steps: int = STEPS,
        learning_rate: float = LEARNING_RATE,
    ) -> None:
        self._sam, self._finetune = sam, finetune
        self._steps, self._learning_rate = steps, learning_rate

    def reference(self, features: SamFeatures, mask: BoolArray) -> Reference:
        """Take the reference image with its (H, W) mask, which is not empty."""
        target = describe(mask, features, level=IMAGE_LEVEL, peak=self._finetune)
        if not self._finetune:
            return Reference(target)
        points, labels = self._points(at_full_size(similarity(target, features), features.geometry))
        answer = self._sam.prompt(features, one_prompt(points, labels), multimask=True)
        weights = learn_mask_weights(
            answer.logits[0], mask, steps=self._steps, learning_rate=self._learning_rate
        )
        return Reference(target, weights)

    @torch.no_grad()
    def segment(self, features: SamFeatures, reference: Reference) -> Passes:
        """Find the object in another image."""
        similar = at_full_size(similarity(reference.target, features), features.geometry)
        points, labels = self._points(similar)
        if reference.weights is None:
            first = self._guided(features, one_prompt(points, labels), similar, reference.target)
            box, prompt = None, first.low_res_logits
        else:
            first = self._sam.prompt(features, one_prompt(points, labels), multimask=True)
            box = tight_box((weighted(first.logits[0], reference.weights) > 0).cpu().numpy())
            prompt = weighted(first.low_res_logits, reference.weights)[:, None]
        second = self._sam.prompt(features, one_prompt(points, labels, box, prompt), multimask=True)
        return refined(self._sam, features, Passes(points, labels, (first, second)))

    def _points(self, similar: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the points with their labels: the most similar pixel and, training-free, the least similar one."""
        most = extreme_points(similar, 1)
        if self._finetune:
            return most, np.array([1])
        least = extreme_points(similar, 1, largest=False)
        return np.concatenate([most, least]), np.array([1, 0])

    def _guided(self, features: SamFeatures, prompts: Prompts, similar: Tensor, target: Target) -> Answer:
        """Return the first pass: one mask, the decoder guided to what is similar."""
        sparse, dense = self._sam.embed(features, prompts)
        decoder, position = self._sam.sam.mask_decoder, self._sam.sam.prompt_encoder.get_dense_pe()
        where = attention_guidance(similar, (features.embedding.shape[-2], features.embedding.shape[-1]))
        guidance = Guidance(where.flatten(), target.embedding)
        out = decode(decoder, features.embedding, position, sparse, dense, guidance=guidance)
        low = out.low_res_logits[:, :1]
        return Answer(upsample_logits(low, features.geometry), out.iou[:, :1], low)


def attention_guidance(similar: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return (h, w) in 0..1: the sigmoid of z-scored similarity (H, W), for target-guided attention.

    As in the release, the picture without its padding is squeezed onto the grid of the padded one.
    """
    standard = (similar - similar.mean()) / similar.std()
    return F.interpolate(standard[None, None], grid, mode="bilinear", align_corners=False)[0, 0].sigmoid()
