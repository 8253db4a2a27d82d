"""SAM as a promptable stage: points, boxes and masks in, masks out, as segment_anything's SamPredictor.

Prompts and masks equal it bit for bit for the same features; features too with ``encoder=official``, else within
the rounding of a faster forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.stages import stage
from refseg.bench.types import ImageArray
from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.compat import Sam
from refseg.methods.sam.fast_encoder import EncoderOptions, FastEncoder
from refseg.methods.sam.transforms import Geometry, preprocess, upsample_logits
from refseg.methods.sam.weights import load_into, load_tensors
from refseg.methods.stages import Answer, Prompts


@dataclass(frozen=True)
class SamFeatures:
    """An image as SAM's encoder sees it: ``embedding`` (1, C, h, w) float32, and how the image lies in it."""

    embedding: Tensor
    geometry: Geometry


class SamPromptable:
    """A SAM whose images are encoded once and prompted often.

    Args:
        sam: The network, on its device.
        dtype: Number type of the image encoder; prompts and masks are float32 always, since they cost little.
        options: How the image encoder is run.
    """

    def __init__(
        self, sam: Sam, *, dtype: torch.dtype = torch.float32, options: EncoderOptions | None = None
    ) -> None:
        self.sam = sam.eval().requires_grad_(False)
        self.sam.image_encoder.to(dtype)
        self._dtype = dtype
        options = options or EncoderOptions()
        self._fast = FastEncoder(sam.image_encoder, options=options) if options.encoder == "fast" else None

    @torch.no_grad()
    def encode(self, image: ImageArray) -> SamFeatures:
        """Return the features of an (H, W, 3) RGB image."""
        with stage("preprocess"):
            pixels, geometry = preprocess(image, self.sam.image_encoder.img_size)
            # The layout in memory decides which convolution runs, and so the last bit; the original's is this.
            pixels = pixels.contiguous().to(self.sam.device, self._dtype)
        with stage("visual encoder"):
            if self._fast is None:
                embedding = self.sam.image_encoder(pixels)
            else:
                embedding, _ = self._fast(pixels, geometry.resized)
        return SamFeatures(embedding.float().contiguous(), geometry)

    @torch.no_grad()
    def prompt(self, features: SamFeatures, prompts: Prompts, *, multimask: bool) -> Answer:
        """Return the masks of B prompts, as ``SamPredictor.predict_torch`` does."""
        with stage("decoder/tracker"):
            sparse, dense = self.embed(features, prompts)
            low, scores = self.sam.mask_decoder(
                image_embeddings=features.embedding,
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
        with stage("upsample"):
            return Answer(upsample_logits(low, features.geometry), scores, low)

    def embed(self, features: SamFeatures, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return the sparse (B, P, C) and dense (B, C, h, w) embeddings of B prompts."""
        points = None
        if prompts.points is not None:
            assert prompts.labels is not None, "points come with labels"
            labels = torch.as_tensor(prompts.labels, dtype=torch.int, device=self.sam.device)
            points = (self._scaled(prompts.points, features.geometry), labels)
        boxes = None
        if prompts.boxes is not None:
            boxes = self._scaled(prompts.boxes.reshape(-1, 2, 2), features.geometry).reshape(-1, 4)
        sparse, dense = self.sam.prompt_encoder(points=points, boxes=boxes, masks=prompts.masks)
        return sparse, dense

    def _scaled(self, xy: NDArray[np.generic], geometry: Geometry) -> Tensor:
        """Bring (..., 2) x, y pixels of the image to the network's input, in double as the original does."""
        (height, width), (h, w) = geometry.original, geometry.resized
        scaled = xy.astype(np.float64) * (w / width, h / height)
        return torch.as_tensor(scaled, dtype=torch.float32, device=self.sam.device)


def load_promptable(
    size: str, path: Path, *, device: str, dtype: str, options: EncoderOptions | None = None
) -> SamPromptable:
    """Build a SAM of a size (``tiny``, ``vit_b``, ``vit_l``, ``vit_h``) with its weights.

    On the device ``meta`` it has none and nothing is read.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    number_type: torch.dtype = getattr(torch, dtype)
    if device == "meta":
        with torch.device("meta"):
            return SamPromptable(build_sam(SAM_CONFIGS[size]), dtype=number_type, options=options)
    sam = build_sam(SAM_CONFIGS[size])
    load_into(sam, load_tensors(path), path)
    return SamPromptable(sam.to(device), dtype=number_type, options=options)
