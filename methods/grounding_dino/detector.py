"""Grounding DINO as a Detector: the best box of every sentence, all sentences of a frame in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from refseg.bench.types import Expression, ImageArray, Video
from refseg.methods.grounding_dino.preprocess import LONG_SIDE, SHORT_SIDE, caption, preprocess, with_places
from refseg.methods.stages import Detection

SENTENCES_AT_ONCE = 4
"""Sentences in one batch; bounds the memory of the encoder, which sees the image once a sentence."""

MOST_TOKENS = 256
DELIMITERS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Tokens that part a text into phrases; the network's code has their numbers in it."""


@dataclass(frozen=True)
class DetectorOptions:
    """How boxes are chosen; thresholds as in the official README.

    Attributes:
        box_threshold: A box passes where its score, the maximum over the sentence's tokens, is above.
        text_threshold: Words above are named as the ones that the box was found by.
        inverse_sigmoid: How box coordinates near 0 and 1 are refined: as officially (cut at 1e-3) or as in
            transformers (at 1e-5); small boxes and boxes at the border differ.
        short_side: The image's shorter side becomes this; None: what the detector was trained for.
        long_side: Its longer side at most this; None likewise.
    """

    box_threshold: float = 0.35
    text_threshold: float = 0.25
    inverse_sigmoid: Literal["official", "transformers"] = "official"
    short_side: int | None = None
    long_side: int | None = None


@dataclass(frozen=True)
class Boxes:
    """What the network says of K sentences about one image.

    Attributes:
        boxes: (K, Q, 4) cx, cy, w, h in 0..1.
        logits: (K, Q, T) of every token; minus infinity where a sentence has none.
        input_ids: (K, T) tokens.
    """

    boxes: Tensor
    logits: Tensor
    input_ids: Tensor

    @property
    def scores(self) -> Tensor:
        """(K, Q, T) in 0..1; a box's score is the largest of its tokens'."""
        return self.logits.sigmoid()


class GroundingDino:
    """transformers' Grounding DINO with its tokenizer.

    Args:
        model: A ``GroundingDinoForObjectDetection``, on its device.
        tokenizer: Its BERT tokenizer.
        options: See :class:`DetectorOptions`.
        sides: The shorter and the longer side that it was trained for.
        places: It was trained to see where a pixel lies, in two channels more.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        options: DetectorOptions | None = None,
        sides: tuple[int, int] = (SHORT_SIDE, LONG_SIDE),
        *,
        places: bool = False,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.options = options or DetectorOptions()
        self.places = places
        self.sides = (self.options.short_side or sides[0], self.options.long_side or sides[1])

    def detect(
        self, video: Video, frame: int, expressions: Sequence[Expression]
    ) -> Sequence[Detection | None]:
        """Return the best box per expression, also where it does not pass the threshold."""
        return self.find(video.read(frame), [e.text for e in expressions])

    def find(self, image: ImageArray, texts: Sequence[str]) -> list[Detection]:
        """Return the best box per sentence in an (H, W, 3) RGB image; as in the original it may lead out of it."""
        found: list[Detection] = []
        pixels = preprocess(image, *self.sides)
        for i in range(0, len(texts), SENTENCES_AT_ONCE):
            found += self._best(self.predict(pixels, texts[i : i + SENTENCES_AT_ONCE]), image.shape[:2])
        return found

    @torch.no_grad()
    def predict(self, pixels: Tensor, texts: Sequence[str]) -> Boxes:
        """Return all boxes of K sentences in one batch, each with its own text mask.

        Args:
            pixels: (1, 3, h, w) from :func:`refseg.methods.grounding_dino.preprocess.preprocess`.
            texts: K sentences as the dataset has them.
        """
        batch = self.tokenizer(
            [caption(t) for t in texts],
            padding=True,
            truncation=True,
            max_length=MOST_TOKENS,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        pixels = with_places(pixels) if self.places else pixels
        parameter = next(self.model.parameters())
        ids, mask, kinds = (
            batch[k].to(parameter.device) for k in ("input_ids", "attention_mask", "token_type_ids")
        )
        rule = _OfficialInverseSigmoid() if self.options.inverse_sigmoid == "official" else nullcontext()
        with rule, _backbone_once(self.model):
            out = self.model(
                pixel_values=pixels.to(parameter.device).expand(len(texts), -1, -1, -1),
                input_ids=ids,
                attention_mask=mask,
                token_type_ids=kinds,
            )
        return Boxes(out.pred_boxes, out.logits[..., : ids.shape[1]], ids)

    def _best(self, predicted: Boxes, size: tuple[int, int]) -> Iterator[Detection]:
        height, width = size
        for boxes, every, ids in zip(predicted.boxes, predicted.scores, predicted.input_ids, strict=True):
            best = int(every.amax(1).argmax())
            scores = every[best].tolist()
            cx, cy, w, h = boxes[best].tolist()
            corners = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * [
                width,
                height,
                width,
                height,
            ]
            least = self.options.text_threshold
            words = [
                t
                for t, s in zip(ids.tolist(), scores, strict=True)
                if s > least and t not in DELIMITERS.values()
            ]
            passed = max(scores) > self.options.box_threshold
            yield Detection(
                corners.astype(np.float32), max(scores), passed, str(self.tokenizer.decode(words))
            )


class _OfficialInverseSigmoid(TorchFunctionMode):
    """Replaces transformers' ``torch.special.logit(x, eps=1e-5)`` by the official rule inside a ``with`` block."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.special.logit:
            return inverse_sigmoid(args[0])
        return func(*args, **(kwargs or {}))


def inverse_sigmoid(x: Tensor, eps: float = 1e-3) -> Tensor:
    """Return log(x / (1 - x)) of values cut to 0..1, both sides of the fraction at least ``eps`` (official rule)."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


@contextmanager
def _backbone_once(model: Any) -> Iterator[None]:
    """Let the image backbone see the first row of a batch whose rows are all the same image."""
    backbone, rows = model.model.backbone, 1

    def first(module: nn.Module, args: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal rows
        rows = len(args[0])
        return args[0][:1], args[1][:1]

    def repeated(module: nn.Module, args: Any, out: Any) -> Any:
        features, positions = out
        return (
            [(_rows(f, rows), _rows(m, rows)) for f, m in features],
            [_rows(p, rows) for p in positions],
        )

    hooks = (backbone.register_forward_pre_hook(first), backbone.register_forward_hook(repeated))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rows(tensor: Tensor, count: int) -> Tensor:
    return tensor.expand(count, *tensor.shape[1:])
