"""transformers' SAM 3 on a video that is read frame by frame, without its processor (which needs torchvision)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.bench.stages import stage
from refseg.bench.types import Video
from refseg.methods.sam2.video import prepare
from refseg.methods.sam3.session import Session

MEAN = STD = (0.5, 0.5, 0.5)
_NOTHING = -10.0
"""The logit that SAM gives to pixels it takes away."""

Merge = Literal["best", "union"]


class Remembered(nn.Module):
    """A network that answers from memory where it is asked about the same tensor again.

    Each sentence's session asks for the features of the frame; they are computed once.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._asked: Tensor | None = None
        self._answer: Any = None

    def forward(self, asked: Tensor, **options: Any) -> Any:
        """Return what the network says of a tensor; views of one tensor are the same."""
        # The tensor is kept, so no other one can come to lie where it does.
        if self._asked is None or _place(self._asked) != _place(asked):
            with stage("visual encoder"):
                self._asked, self._answer = asked, self.network(asked, **options)
        return self._answer


def _place(tensor: Tensor) -> tuple[int, torch.Size, tuple[int, ...]]:
    return tensor.data_ptr(), tensor.shape, tensor.stride()


def share_features(model: Any) -> None:
    """Let all sessions of a ``Sam3VideoModel`` share a frame's features, the detector's and the tracker's."""
    model.detector_model.vision_encoder = Remembered(model.detector_model.vision_encoder)
    model.tracker_neck = Remembered(model.tracker_neck)


def tokens(tokenizer: Any, text: str, longest: int) -> dict[str, Tensor]:
    """Return ``input_ids`` and ``attention_mask`` of (1, longest) int64.

    A longer sentence is cut, as the official code does; transformers' processor would fail on it.
    """
    told = tokenizer(text, return_tensors="pt", padding="max_length", truncation=True, max_length=longest)
    return {key: told[key] for key in ("input_ids", "attention_mask")}


def follow(
    model: Any, video: Video, texts: Sequence[dict[str, Tensor]], *, hotstart: bool
) -> Iterator[list[tuple[Any, Collection[int]]]]:
    """Yield per frame, for every text, SAM 3's output and the ids of the objects that were taken back since.

    Args:
        model: transformers' ``Sam3VideoModel``, its features shared.
        video: The video.
        texts: Their :func:`tokens`.
        hotstart: Hold outputs back for the model's ``hotstart_delay`` frames, in which an object that no detection
            confirms, or that doubles another, is taken back also from the frames before; else nothing is.
    """
    sessions = [Session(model, text, len(video) if hotstart else None) for text in texts]
    side = int(model.config.image_size)
    delay = max(1, model.hotstart_delay) if hotstart else 1
    held: deque[list[Any]] = deque()

    def shown() -> list[tuple[Any, Collection[int]]]:
        return [(o, s.removed_obj_ids) for o, s in zip(held.popleft(), sessions, strict=True)]

    for frame in range(len(video)):
        image = video.read(frame)
        with stage("preprocess"):
            pixels = prepare(image, side, MEAN, STD).to(model.device, model.dtype)
        with stage("decoder/tracker"):
            held.append([session.step(pixels) for session in sessions])
        if len(held) >= delay:
            yield shown()
    while held:
        yield shown()


def merged(
    out: Any, removed: Collection[int], size: tuple[int, int], merge: Merge
) -> tuple[Tensor, float] | None:
    """Return a sentence's logits (H, W) float32 and its score, 0..1; None where it has no object.

    Objects and their masks are those of ``Sam3VideoProcessor.postprocess_outputs``: of two objects of a sentence, a
    pixel belongs to that of the higher tracking score.

    Args:
        out: A ``Sam3VideoSegmentationOutput``.
        removed: Ids of objects that were taken back.
        size: Height and width of the video.
        merge: The object of the highest detection score, also where it is out of sight, or all of them.
    """
    hidden = {*removed, *(out.suppressed_obj_ids or ())}
    ids = sorted(out.obj_id_to_mask.keys() - hidden)
    if not ids:
        return None
    with stage("upsample"), torch.inference_mode():
        low = torch.stack([out.obj_id_to_mask[i] for i in ids]).float()
        logits = F.interpolate(low, size, mode="bilinear", align_corners=False)[:, 0]
        tracked = torch.tensor([out.obj_id_to_tracker_score.get(i, 0.0) for i in ids], device=logits.device)
        if merge == "union":
            return logits.amax(0), float(tracked.max())
        best = max(range(len(ids)), key=lambda n: out.obj_id_to_score[ids[n]])
        claims = torch.where(logits > 0, tracked[:, None, None], 0.0)
        owned = claims.argmax(0) == best
        return torch.where(owned, logits[best], logits[best].clamp(max=_NOTHING)), float(tracked[best])
