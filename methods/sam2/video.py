"""transformers' SAM 2 on a video that is read frame by frame, without its processor (which needs torchvision)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.stages import stage
from refseg.bench.types import BoolArray, ImageArray
from refseg.methods.grounding_dino.preprocess import MEAN, STD


def prepare(image: ImageArray, side: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """Return (1, 3, side, side) float32 of an (H, W, 3) RGB image, stretched to the square as SAM 2 does."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, (side, side), mode="bilinear", antialias=True, align_corners=False)
    # The original resizes bytes, so that its result is rounded to them.
    pixels = pixels.round().clamp(0, 255) / 255
    return (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


class Sam2Video:
    """One video with N objects, prompted in frame 0 and followed from there; bounded memory, online.

    Args:
        model: transformers' ``Sam2VideoModel``.
        image: Frame 0, (H, W, 3) RGB.
        prompts: One an object: a box (4,) x0, y0, x1, y1 in pixels, or a mask (H, W) bool.
    """

    def __init__(self, model: Any, image: ImageArray, prompts: Sequence[NDArray[Any]]) -> None:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        self._model, self._size = model, image.shape[:2]
        self._side = int(model.prompt_encoder.input_image_size)
        device, dtype = model.device, model.dtype
        self._session = Sam2VideoInferenceSession(
            video_height=image.shape[0],
            video_width=image.shape[1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=dtype,
        )
        for number, prompt in enumerate(prompts):
            at = self._session.obj_id_to_idx(number)
            if prompt.dtype == bool:
                self._session.add_mask_inputs(at, 0, self._mask(prompt))
            else:
                self._session.add_point_inputs(at, 0, self._box(prompt))
        self._session.obj_with_new_inputs = list(range(len(prompts)))
        self._next = 0

    def _box(self, box: NDArray[np.generic]) -> dict[str, Tensor]:
        """Return a box as the two corner points that SAM 2 takes it for."""
        height, width = self._size
        scale = np.array([self._side / width, self._side / height])
        corners = torch.from_numpy((box.reshape(2, 2) * scale).astype(np.float32))
        return {
            "point_coords": corners[None, None].to(self._model.dtype),
            "point_labels": torch.tensor([[[2, 3]]], dtype=torch.int32),
        }

    def _mask(self, mask: BoolArray) -> Tensor:
        """Return a mask at the input's size."""
        side = (self._side, self._side)
        soft = torch.from_numpy(mask).float()[None, None]
        resized = F.interpolate(soft, side, mode="bilinear", antialias=True, align_corners=False)
        return (resized >= 0.5).float()

    @torch.no_grad()
    def step(self, image: ImageArray) -> tuple[Tensor, Tensor]:
        """Segment the next frame, the first call being frame 0.

        Args:
            image: (H, W, 3) RGB.

        Returns:
            Logits (N, H, W) float32, and the scores (N,) that the objects are in sight, 0..1.
        """
        with stage("preprocess"):
            frame = prepare(image, self._side).to(self._model.device, self._model.dtype)
        # transformers' forward has the image encoder in it.
        with stage("decoder/tracker"):
            out = self._model(self._session, frame_idx=self._next, frame=frame)
            self._forget()
        self._next += 1
        side = (self._side, self._side)
        with stage("upsample"):
            logits = F.interpolate(out.pred_masks.float(), side, mode="bilinear", align_corners=False)
            logits = F.interpolate(logits, self._size, mode="bilinear", align_corners=False)
        return logits[:, 0], out.object_score_logits.float().flatten().sigmoid()

    def _forget(self) -> None:
        """Drop what no later frame looks at, which the session keeps for ever."""
        config = self._model.config
        reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)
        assert self._session.processed_frames is not None
        self._session.processed_frames.pop(self._next, None)
        for of_object in self._session.output_dict_per_obj.values():
            of_object["non_cond_frame_outputs"].pop(self._next - reach, None)
        for frames in self._session.frames_tracked_per_obj.values():
            frames.pop(self._next - reach, None)
