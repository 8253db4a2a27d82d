"""The tracker of one video: as many objects as one likes, over several engines that share the encoder's work."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.bench.types import ImageArray
from refseg.methods.deaot.engine import Engine, MemorySettings, one_hot
from refseg.methods.deaot.frames import network_input, network_labels, network_size
from refseg.methods.deaot.layers import Size
from refseg.methods.deaot.model import DeAot, FrameFeatures


class FrameEncoder:
    """Encodes frames and keeps the last one's features: trackers of one video that share it encode a frame once."""

    def __init__(self, model: DeAot) -> None:
        self._model = model
        self._last: tuple[ImageArray, FrameFeatures] | None = None

    def __call__(self, frame: ImageArray) -> FrameFeatures:
        """Return the features of an (H, W, 3) RGB frame."""
        if self._last is None or not np.array_equal(frame, self._last[0]):
            size = _network_size(self._model, (frame.shape[0], frame.shape[1]))
            # A copy, since a caller may read every frame into one array.
            self._last = (frame.copy(), self._model.encode(network_input(frame, size, self._model.device)))
        return self._last[1]


class DeAotTracker:
    """A :class:`refseg.methods.stages.Tracker`; the network may be shared, the tracker is one video's.

    Object k belongs to engine (k - 1) // ids, where it has id (k - 1) % ids + 1 and the objects of other engines
    are background.

    Args:
        model: The network.
        settings: What is remembered.
        encode: Encodes frames; shared by the trackers of one video. None: its own.
    """

    def __init__(
        self, model: DeAot, settings: MemorySettings | None = None, encode: FrameEncoder | None = None
    ) -> None:
        self._model, self._settings = model, settings or MemorySettings()
        self._encode = encode or FrameEncoder(model)
        self._engines: list[Engine] = []
        self._counts: list[int] = []
        self._frame_size: Size | None = None
        self._propagated: ImageArray | None = None

    @property
    def objects(self) -> int:
        """The highest label in use."""
        return sum(self._counts)

    @property
    def memory_tokens(self) -> int:
        """Tokens in the long-term memories of one layer, over all engines."""
        return sum(engine.memory_tokens for engine in self._engines)

    @torch.inference_mode()
    def add_reference(self, frame: ImageArray, labels: NDArray[np.uint8]) -> None:
        """Take a frame whose labels are known; further ones may bring new objects.

        An engine that has propagated this very frame and gets no new object remembers it with its labels like any
        other frame, as in SAM-Track; the other engines take it as a reference.

        Args:
            frame: (H, W, 3) RGB.
            labels: (H, W) object of each pixel, 1, 2, …; 0 is background. A number that is left out stays empty.

        Raises:
            InputError: The frame is not as large as the earlier ones, or labels and frame do not fit.
        """
        frame_size = self._checked_size(frame)
        objects = max(self.objects, int(labels.max()))
        network = self._split(labels, frame_size, max(1, -(-objects // self._model.ids)))
        self._frame_size = frame_size
        features: FrameFeatures | None = None
        before = self._counts
        propagated = self._propagated is not None and np.array_equal(frame, self._propagated)
        self._counts = [min(objects - i * self._model.ids, self._model.ids) for i in range(len(network))]
        self._engines += [Engine(self._model, self._settings) for _ in network[len(self._engines) :]]
        for i, (engine, masks) in enumerate(zip(self._engines, network, strict=True)):
            if propagated and engine.awaits_update and before[i] == self._counts[i]:
                engine.update(masks)
                continue
            if features is None:
                features = self._encode(frame)
            engine.add_reference(features, masks, [self._counts[i]])

    @torch.inference_mode()
    def propagate(self, frame: ImageArray) -> Tensor:
        """Return float32 logits (1 + objects, H, W) of the next frame, background first.

        The argmax over the first axis gives the labels, softmax over it the probabilities, which the official
        evaluation takes in the same way. With several engines they are the log-odds of :func:`aggregate`.

        Raises:
            InputError: The frame is not as large as the reference.
            RuntimeError: There is no reference yet.
        """
        if not self._engines:
            raise RuntimeError("A frame was propagated before any reference; call add_reference first.")
        frame_size = self._checked_size(frame)
        features = self._encode(frame)
        self._propagated = frame
        logits = []
        for engine, count in zip(self._engines, self._counts, strict=True):
            low = engine.propagate(features)[:, : 1 + count]
            logits.append(
                F.interpolate(low, frame_size, mode="bilinear", align_corners=self._model.align_corners)
            )
        return aggregate(logits)[0]

    @torch.inference_mode()
    def update(self, labels: NDArray[np.uint8]) -> None:
        """Remember the propagated frame with its labels (H, W), once.

        Raises:
            InputError: The labels do not fit the frame, or name an object that no reference has.
            RuntimeError: No frame was propagated since the last update.
        """
        if self._frame_size is None:
            raise RuntimeError("There is no frame to remember; call add_reference and propagate first.")
        if labels.max() > self.objects:
            raise InputError(
                f"The labels name object {labels.max()}, but the references have {self.objects}; new objects come "
                f"with add_reference."
            )
        network = self._split(labels, self._frame_size, len(self._engines))
        for engine, masks in zip(self._engines, network, strict=True):
            engine.update(masks)

    def _checked_size(self, frame: ImageArray) -> Size:
        size = (frame.shape[0], frame.shape[1])
        if self._frame_size not in (None, size):
            raise InputError(
                f"A frame has {size[0]}x{size[1]} pixels, but the video's first one has "
                f"{self._frame_size[0]}x{self._frame_size[1]}; give frames of one size."
            )
        return size

    def _split(self, labels: NDArray[np.uint8], frame_size: Size, engines: int) -> list[Tensor]:
        """Return each engine's masks (1, 1 + ids, h, w)."""
        if labels.shape != frame_size:
            raise InputError(
                f"The labels have the shape {labels.shape}, but the frame is {frame_size[0]}x{frame_size[1]}; give "
                f"one label a pixel."
            )
        whole = network_labels(labels, _network_size(self._model, frame_size), self._model.device)
        ids = self._model.ids
        local = [(whole - i * ids) * ((whole > i * ids) & (whole <= (i + 1) * ids)) for i in range(engines)]
        return [one_hot(part, ids) for part in local]


def _network_size(model: DeAot, frame_size: Size) -> Size:
    return network_size(frame_size, stride=model.stride, align_corners=model.align_corners)


def aggregate(logits: list[Tensor]) -> Tensor:
    """Merge the engines' logits (the official ``soft_logit_aggregation``).

    The background's probability is the product over the engines; every probability p, held to [1e-5, 1 - 1e-5],
    becomes log(p / (1 - p)). One engine's logits stay as they are.

    Args:
        logits: (B, 1 + objects, H, W) of each engine, background first.

    Returns:
        (B, 1 + all objects, H, W).
    """
    if len(logits) == 1:
        return logits[0]
    probabilities = [part.softmax(1) for part in logits]
    background = torch.stack([p[:, :1] for p in probabilities]).prod(0)
    merged = torch.cat([background, *(p[:, 1:] for p in probabilities)], 1)
    return torch.logit(merged.clamp(1e-5, 1 - 1e-5))
