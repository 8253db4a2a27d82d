"""The memory of one video for as many objects as the network has ids (the official ``AOTEngine``).

Nothing is changed in place and no gradient is cut, so that a clip can be trained through it: encode the frames,
give the first as a reference, then propagate and remember the true or the predicted masks, and back-propagate any
loss on the logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.methods.deaot.model import DeAot, FrameFeatures
from refseg.methods.deaot.propagation import LayerMemories, Propagated

UNUSED_LOGIT = -1e10
"""Logit of ids that no object has."""


@dataclass(frozen=True)
class MemorySettings:
    """What is remembered.

    Attributes:
        long_term_gap: Frames between two that enter the long-term memory; large: the reference alone is in it.
        long_term_frames: Frames that it holds at most; the oldest leave first, references too.
        short_term_skip: How many frames back the short-term memory lies.
    """

    long_term_gap: int = 9999
    long_term_frames: int = 9999
    short_term_skip: int = 1

    def __post_init__(self) -> None:
        for name in ("long_term_gap", "long_term_frames", "short_term_skip"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} is not positive; give 1 or more.")


class Engine:
    """Follows up to ``model.ids`` objects through one video, or through B clips in step."""

    def __init__(self, model: DeAot, settings: MemorySettings) -> None:
        self._model, self._settings = model, settings
        self._step = self._remembered_at = 0
        self._long: LayerMemories | None = None
        self._recent: tuple[LayerMemories, ...] = ()
        self._used: Tensor | None = None
        self._propagated: Propagated | None = None

    @property
    def memory_tokens(self) -> int:
        """Tokens in each layer's long-term memory."""
        return self._long[0].key.shape[1] if self._long else 0

    @property
    def awaits_update(self) -> bool:
        """Whether a frame has been propagated and not been remembered yet."""
        return self._propagated is not None

    def add_reference(self, features: FrameFeatures, masks: Tensor, objects: Sequence[int]) -> None:
        """Take a frame whose masks are known as a reference.

        Args:
            features: B encoded frames.
            masks: (B, 1 + ids, H, W) masks of background and ids, at the frames' network size.
            objects: The highest id in use in each of the B clips; higher ids get no pixel.
        """
        identity = self._model.embed_identity(masks)
        memories = self._model.LSTT.reference(features.tokens, identity, features.size).memories
        assert memories is not None
        self._used = torch.arange(self._model.ids + 1, device=identity.device) <= torch.tensor(
            objects, device=identity.device
        ).unsqueeze(1)
        self._store(memories)
        self._recent = (memories,)
        self._propagated = None

    def propagate(self, features: FrameFeatures) -> Tensor:
        """Return logits (B, 1 + ids, H/4, W/4) of the next frame; :meth:`update` must follow with its masks.

        Raises:
            RuntimeError: There is no reference yet.
        """
        if self._long is None or self._used is None:
            raise RuntimeError("A frame was propagated before any reference; call add_reference first.")
        self._step += 1
        self._propagated = self._model.LSTT(features.tokens, self._long, self._recent[0], features.size)
        logits = self._model.decode(features, self._propagated)
        return logits.masked_fill(~self._used[:, :, None, None], UNUSED_LOGIT)

    def update(self, masks: Tensor) -> None:
        """Remember the propagated frame with its masks (B, 1 + ids, H, W), hard or soft, at network size.

        Raises:
            RuntimeError: No frame was propagated since the last update.
        """
        if self._propagated is None:
            raise RuntimeError("There is no frame to remember; call propagate once before each update.")
        identity = self._model.embed_identity(masks)
        memories = self._model.LSTT.remember(self._propagated, identity)
        self._propagated = None
        self._recent = (*self._recent, memories)[-self._settings.short_term_skip :]
        if self._step - self._remembered_at >= self._settings.long_term_gap:
            self._store(memories)

    def _store(self, memories: LayerMemories) -> None:
        """Put a frame before the long-term memory, which first makes room."""
        self._remembered_at = self._step
        if self._long is None:
            self._long = memories
            return
        kept = (self._settings.long_term_frames - 1) * memories[0].key.shape[1]
        self._long = tuple(new.before(old, kept) for new, old in zip(memories, self._long, strict=True))


def one_hot(labels: Tensor, ids: int) -> Tensor:
    """Return (B, 1 + ids, H, W) masks from (B, H, W) labels; a label above ``ids`` is in no mask."""
    return labels[:, None] == torch.arange(ids + 1, device=labels.device)[:, None, None]
