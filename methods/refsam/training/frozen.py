"""What the frozen encoders say, kept from step to step."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.methods.refsam.model import EncoderOutput, RefSam
from refseg.methods.refsam.text import TextOutput
from refseg.methods.refsam.text_store import encode_alone, stacked
from refseg.methods.refsam.training.clips import Clip
from refseg.methods.sam.transforms import normalise_and_pad

GIB = 2**30


@dataclass
class Kept:
    """Tensors by name, the last used of them up to a size.

    Attributes:
        room: Bytes.
    """

    room: float
    _held: OrderedDict[str, tuple[Tensor, ...]] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, name: str) -> tuple[Tensor, ...] | None:
        """Return what is kept under a name."""
        found = self._held.get(name)
        if found is not None:
            self._held.move_to_end(name)
        return found

    def put(self, name: str, tensors: tuple[Tensor, ...]) -> None:
        """Keep tensors; what was not used for longest makes room."""
        self._held[name] = tensors
        self._bytes += _size(tensors)
        while self._bytes > self.room and self._held:
            _, gone = self._held.popitem(last=False)
            self._bytes -= _size(gone)


class Encoders:
    """A model's two encoders in training; what a frozen one has said is kept.

    Each frame and each sentence that is kept is encoded alone, so that its bits depend on nothing else and a resumed
    training goes on as it would have.
    """

    def __init__(self, model: RefSam, *, text_gib: float = 0, frame_gib: float = 0) -> None:
        """Wrap a model.

        Args:
            model: The model.
            text_gib: Memory for sentences; counts where the text encoder is frozen and padding is masked.
            frame_gib: Memory for frames, on the CPU.

        Raises:
            InputError: Frames are to be kept, but the image encoder learns.
        """
        if frame_gib and model.adapters:
            raise InputError(
                "frame_cache_gib keeps what the image encoder says, but its adapters learn; give use_adapter=false, or "
                "leave frame_cache_gib out."
            )
        self._model = model
        fixed = model.config.freeze_text and model.config.text_attention_mask
        self._texts = Kept(text_gib * GIB) if fixed and text_gib else None
        self._frames = Kept(frame_gib * GIB) if frame_gib else None
        self._with_maps = model.hda is not None and len(model.hda.reductions) > 0

    def frames(self, clips: Sequence[Clip], device: torch.device) -> EncoderOutput:
        """Encode the T frames of B clips, (T·B) of them: all clips' first frames, then their second ones."""
        size = self._model.config.sam.image_size
        count = len(clips[0].frames)

        def pixels(clip: Clip, t: int) -> Tensor:
            return normalise_and_pad(clip.frames[t][None].permute(0, 3, 1, 2).to(device), size)

        if self._frames is None:
            return self._model.encode_frames(torch.cat([pixels(c, t) for t in range(count) for c in clips]))
        found = []
        for t in range(count):
            for clip in clips:
                assert clip.keys is not None, "the recipe keeps frames only where they are not augmented"
                tensors = self._frames.get(clip.keys[t])
                if tensors is None:
                    with torch.no_grad():
                        said = self._model.encode_frames(pixels(clip, t))
                    maps = said.intermediates if self._with_maps else ()
                    tensors = tuple(x.cpu() for x in (said.embedding, *maps))
                    self._frames.put(clip.keys[t], tensors)
                found.append(tensors)
        embedding, *rest = (torch.cat(parts).to(device) for parts in zip(*found, strict=True))
        return EncoderOutput(embedding, tuple(rest))

    def text(self, texts: Sequence[str]) -> TextOutput:
        """Encode sentences."""
        if self._texts is None:
            return self._model.text(texts)
        found = []
        for text in texts:
            tensors = self._texts.get(text)
            if tensors is None:
                with torch.no_grad():
                    tensors = (encode_alone(self._model.text, text),)
                self._texts.put(text, tensors)
            found.append(tensors[0])
        return stacked(found)


def _size(tensors: tuple[Tensor, ...]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
