"""Frames of clips in order, the track token carried on without detaching (paper III-H): training's forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from refseg.methods.losses import dice_loss, focal_loss
from refseg.methods.refsam.model import ImageFeatures, RefSam, TextFeatures
from refseg.methods.refsam.training.clips import Clip
from refseg.methods.refsam.training.frozen import Encoders
from refseg.methods.sam.transforms import upsample_logits


def walk(
    model: RefSam, image: ImageFeatures, text: TextFeatures, clip_index: Tensor, clips: int
) -> Iterator[Tensor]:
    """Yield the low-resolution logits (N, s, s) of each frame in order.

    Args:
        model: The model.
        image: T·B frames: the first frames of all clips, then their second ones.
        text: N expressions.
        clip_index: (N,) which clip each expression is about.
        clips: B.
    """
    track = None
    for frames in image.split(clips):
        output = model.decode(frames, text, clip_index, track)
        yield model.select(output)[0]
        track = model.next_track(output)


def clip_losses(
    model: RefSam, encoders: Encoders, clips: Sequence[Clip], *, dice: float = 1, focal: float = 1
) -> dict[str, Tensor]:
    """Return Dice and focal loss at the augmented clips' resolution, means over frames and clips (paper IV-B2).

    Args:
        model: The model.
        encoders: Its encoders.
        clips: B clips of T frames, one sentence each.
        dice: Weight of the Dice loss.
        focal: Weight of the focal loss.
    """
    device = model.sam.pixel_mean.device
    image = model.project_image(encoders.frames(clips, device))
    text = model.project_text(encoders.text([c.text for c in clips]))
    rows = torch.arange(len(clips), device=device)
    dices, focals = [], []
    for t, low in enumerate(walk(model, image, text, rows, len(clips))):
        for row, clip in enumerate(clips):
            logits = upsample_logits(low[row][None, None].float(), clip.geometry)[0, 0]
            target = clip.masks[t].to(device).float()
            dices.append(dice_loss(logits, target))
            focals.append(focal_loss(logits, target))
    d, f = torch.stack(dices).mean(), torch.stack(focals).mean()
    return {"loss": dice * d + focal * f, "dice": d, "focal": f}
