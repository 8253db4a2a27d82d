"""One sentence in one video: transformers' session, without what it keeps for ever and an error of version 5.23."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession

_MEMORY = ("maskmem_features", "maskmem_pos_enc")
_POINTER = "object_pointer"


class Session(Sam3VideoInferenceSession):
    """What SAM 3 remembers of the objects that one sentence means.

    A sentence has a session of its own. In a common one transformers lets sentences meddle with each other: an
    object that is new encodes the memories of all others again, and a sentence without objects takes up detections
    at a lower threshold than one that stands beside a sentence with objects.

    Args:
        model: transformers' ``Sam3VideoModel``.
        text: Tokens of the sentence, ``input_ids`` and ``attention_mask`` of (1, L) int64.
        length: Frames of the video; None: they are not known beforehand. SAM 3 looks at it in the first frames of
            a track, to scale the ages of its memories.
    """

    def __init__(self, model: Any, text: dict[str, Tensor], length: int | None) -> None:
        device = model.device
        super().__init__(
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=model.dtype,
        )
        self._model, self._length, self._seen = model, length, 0
        self._leaving: list[int] = []
        number = self.add_prompt("sentence")
        ids, attention = text["input_ids"].to(device), text["attention_mask"].to(device)
        self.prompt_attention_masks[number] = attention
        with torch.inference_mode():
            self.prompt_embeddings[number] = model.detector_model.get_text_features(
                input_ids=ids, attention_mask=attention, return_dict=True
            )

    @property
    def num_frames(self) -> int:
        """Frames of the video, or those seen so far; the frames themselves are not kept."""
        return self._length or self._seen

    def step(self, pixels: Tensor) -> Any:
        """Run SAM 3 on the next frame and return its ``Sam3VideoSegmentationOutput``.

        Args:
            pixels: (1, 3, S, S) of the frame. Sessions that are given the same tensor share its features.
        """
        frame = self._seen
        self._seen += 1
        if self._length is None:
            # With ``frame``, transformers takes no object back that earlier frames were told to have.
            out = self._model(self, frame=pixels, frame_idx=frame)
        else:
            self.add_new_frame(pixels, frame)
            out = self._model(self, frame_idx=frame)
        self._leave()
        self._forget(frame)
        return out

    def remove_object(self, obj_id: int, strict: bool = False) -> None:
        """Remember that an object is to be removed once the frame is done.

        Removed at once, as transformers does, the masks of the frame would go to the wrong objects: they are matched
        by their place in a list that has become shorter.
        """
        self._leaving.append(obj_id)

    def _leave(self) -> None:
        if self._leaving:
            # The model has set the list to what is left; removal needs that of before.
            self.obj_ids = list(self._obj_id_to_idx)
            for obj_id in self._leaving:
                super().remove_object(obj_id)
            self._leaving.clear()

    def _forget(self, frame: int) -> None:
        """Drop what no frame after ``frame`` looks at.

        What is left for an object is the memories of a fixed number of frames, and a pointer (one vector) for each
        frame in which a detection confirmed it, one in 16 at most.
        """
        self.processed_frames = {}
        self.cache._vision_features.clear()
        self.obj_id_to_tracker_score_frame_wise.clear()
        self.suppressed_obj_ids.clear()
        # Only whether they have this many entries is asked.
        for lists, needed in (
            (self.unmatched_frame_inds, self._model.hotstart_unmatch_thresh),
            (self.overlap_pair_to_frame_inds, self._model.hotstart_dup_thresh),
        ):
            for frames in lists.values():
                del frames[: -max(needed, 1)]
        for per_frame in (
            self.mask_inputs_per_obj,
            self.point_inputs_per_obj,
            self.frames_tracked_per_obj,
        ):
            for of_object in per_frame.values():
                of_object.clear()
        for outputs in self.output_dict_per_obj.values():
            self._forget_outputs(outputs["cond_frame_outputs"], outputs["non_cond_frame_outputs"], frame + 1)

    def _forget_outputs(
        self, confirmed: dict[int, dict[str, Any]], others: dict[int, dict[str, Any]], upcoming: int
    ) -> None:
        """Drop an object's outputs that frame ``upcoming`` and later ones do not look at."""
        config = self._model.config.tracker_config
        reach = max(config.num_maskmem, config.max_object_pointers_in_encoder)
        for frame in [t for t in others if t <= upcoming - reach]:
            del others[frame]
        most = config.max_cond_frame_num
        nearest = sorted(confirmed)[-most:] if most > 0 else list(confirmed)
        for outputs in (confirmed, others):
            for frame, output in outputs.items():
                remembered = frame in nearest or frame > upcoming - config.num_maskmem
                wanted = {_POINTER, *_MEMORY} if remembered else {_POINTER}
                for key in output.keys() - wanted:
                    del output[key]
