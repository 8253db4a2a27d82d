"""What the tiny Grounding DINO is trained on: RefShapes' frames, each with a text of one or several phrases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.datasets.refshapes.facts import VISIBLE_PIXELS
from refseg.datasets.refshapes.grammar import HELD_OUT, TYPE_WEIGHTS
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import Look
from refseg.datasets.refshapes.train import Sample, clip_sample, image_sample
from refseg.methods.boxes import tight_box
from refseg.methods.grounding_dino.losses import Targets
from refseg.methods.grounding_dino.preprocess import caption, preprocess, with_places
from refseg.methods.grounding_dino.tiny import SIDES, tiny_tokenizer

SENTENCES = 4
PHRASES = 3
"""Most sentences about one object, and descriptions that any number of objects may fit, in one text."""


@dataclass(frozen=True)
class Phrase:
    """Words, and the ids of the objects that they fit."""

    text: str
    fits: frozenset[str]


@dataclass(frozen=True)
class DetectionBatch:
    """B images, a text each, and what is to be found.

    Attributes:
        inputs: The network's.
        targets: One for each image.
    """

    inputs: Mapping[str, Tensor]
    targets: Sequence[Targets]

    @property
    def objects(self) -> int:
        """Number of objects that are wanted."""
        return sum(len(t.boxes) for t in self.targets)


def make_batch(seed: int, numbers: Iterable[int]) -> DetectionBatch:
    """Draw a seed's samples of these numbers."""
    drawn = [_draw(seed, number) for number in numbers]
    return collate([d[0] for d in drawn], [d[1] for d in drawn])


def _draw(seed: int, index: int) -> tuple[Sample, list[Phrase]]:
    """Draw a frame with its phrases: one sentence, or several and descriptions beside them."""
    rng = Stream(seed, index, 11)
    # Frame 0 with sentences about the whole video is what is asked for; any frame shows objects that cover others.
    if rng.chance(0.6):
        sample = clip_sample(seed, index, SENTENCES, [0], no_target=5, weights=TYPE_WEIGHTS)
    else:
        sample = image_sample(seed, index, SENTENCES, no_target=5)
    said = [
        Phrase(s.text, frozenset() if s.object_id is None else frozenset({s.object_id}))
        for s in sample.sentences
    ]
    if said and rng.chance(0.4):
        return sample, said[:1]
    said += descriptions(sample.looks, rng, PHRASES)
    return sample, rng.shuffled(said)


def descriptions(looks: Mapping[str, Look], rng: Stream, count: int) -> list[Phrase]:
    """Return up to ``count`` phrases that name some of an object's attributes, with all objects that have them.

    Colours and shapes that training never says together are not said together here either.
    """
    found = []
    for _ in range(count):
        look = looks[rng.choice(tuple(looks))]
        chances = {"size": 0.3, "texture": 0.4, "colour": 0.6, "shape": 0.6}
        named = {k: getattr(look, k) for k, p in chances.items() if rng.chance(p)}
        if not named or (named.get("colour"), named.get("shape")) in HELD_OUT:
            continue
        words = ["the", *(named[k] for k in ("size", "texture", "colour") if k in named)]
        words.append(named.get("shape") or rng.choice(("object", "shape", "thing")))
        fits = (i for i, other in looks.items() if all(getattr(other, k) == v for k, v in named.items()))
        found.append(Phrase(" ".join(words), frozenset(fits)))
    return found


def collate(samples: Sequence[Sample], phrases: Sequence[Sequence[Phrase]]) -> DetectionBatch:
    """Stack samples' first frames, each with one text of its phrases."""
    texts = [" ".join(caption(p.text) for p in said) for said in phrases]
    tokens = tiny_tokenizer()(texts, padding=True, return_token_type_ids=True, return_tensors="pt")
    names = ("input_ids", "attention_mask", "token_type_ids")
    pixels = torch.cat([preprocess(s.frames[0], *SIDES) for s in samples])
    inputs = {"pixel_values": with_places(pixels)}
    inputs |= {name: tokens[name] for name in names}
    spans = phrase_tokens(inputs["input_ids"])
    rows = zip(samples, phrases, spans, strict=True)
    targets = [_targets(sample.labels[0], said, where) for sample, said, where in rows]
    return DetectionBatch(inputs, targets)


def phrase_tokens(input_ids: Tensor) -> list[Tensor]:
    """Return for every text (P, T) float, 1 at the tokens of each of its phrases."""
    from transformers.models.grounding_dino.modeling_grounding_dino import build_label_maps

    maps = build_label_maps(torch.empty(0, input_ids.shape[1]), input_ids)  # type: ignore[arg-type]
    return [m.float() for m in maps]


def _targets(labels: NDArray[np.uint8], phrases: Sequence[Phrase], spans: Tensor) -> Targets:
    """Return the visible objects that phrases fit, with those phrases' tokens."""
    height, width = labels.shape
    boxes, tokens = [], []
    for number in np.unique(labels[labels > 0]):
        mask = labels == number
        fit = torch.tensor([str(number) in p.fits for p in phrases])
        box = tight_box(mask)
        if box is None or mask.sum() < VISIBLE_PIXELS or not fit.any():
            continue
        x0, y0, x1, y1 = box[0] / width, box[1] / height, (box[2] + 1) / width, (box[3] + 1) / height
        boxes.append([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
        tokens.append(spans[fit].amax(0))
    if not boxes:
        return Targets(torch.empty(0, 4), torch.empty(0, spans.shape[1]))
    return Targets(torch.tensor(boxes, dtype=torch.float32), torch.stack(tokens))
