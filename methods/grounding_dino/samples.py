"""What the tiny Grounding DINO is trained on: RefShapes' frames, each with a text of one or several phrases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.datasets.refshapes.facts import VISIBLE_PIXELS
from refseg.datasets.refshapes.grammar import HELD_OUT, VALUES
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import Look
from refseg.datasets.refshapes.train import Sample, clip_sample, image_sample
from refseg.methods.boxes import tight_box
from refseg.methods.grounding_dino.losses import Looks, Targets
from refseg.methods.grounding_dino.preprocess import caption, preprocess, with_places
from refseg.methods.grounding_dino.tiny import SIDES, tiny_tokenizer
from refseg.methods.naming import attribute_values

WEIGHTS = {"appearance": 26, "place": 26, "motion": 4, "relation": 38, "order": 6}
"""What sentences about a video's first frame are about: more of what is hard to learn than is asked later."""
SENTENCES = 10
PHRASES = 4
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
        looks: One for each image: its visible objects, wanted or not.
    """

    inputs: Mapping[str, Tensor]
    targets: Sequence[Targets]
    looks: Sequence[Looks]

    @property
    def objects(self) -> int:
        """Number of objects that are wanted."""
        return sum(len(t.boxes) for t in self.targets)


@dataclass(frozen=True)
class NamingBatch:
    """B images and the looks of what they show.

    Attributes:
        images: (B, 5, H, W) preprocessed, with places.
        looks: One for each image.
    """

    images: Tensor
    looks: Sequence[Looks]

    @property
    def objects(self) -> int:
        """Number of objects that are named."""
        return sum(len(look.boxes) for look in self.looks)


def make_naming_batch(seed: int, numbers: Iterable[int]) -> NamingBatch:
    """Draw a seed's images of these numbers, without texts."""
    samples = [image_sample(seed, number, 0) for number in numbers]
    return NamingBatch(_images(samples), [_looks(_visible(s.labels[0]), s.looks) for s in samples])


def make_batch(seed: int, numbers: Iterable[int], alone: float = 0.4) -> DetectionBatch:
    """Draw a seed's samples of these numbers; ``alone`` is the share of texts that are one sentence."""
    drawn = [_draw(seed, number, alone) for number in numbers]
    return collate([d[0] for d in drawn], [d[1] for d in drawn])


def _draw(seed: int, index: int, alone: float) -> tuple[Sample, list[Phrase]]:
    """Draw a frame with its phrases: one sentence, or several and descriptions beside them."""
    rng = Stream(seed, index, 11)
    # Frame 0 with sentences about the whole video is what is asked for; any frame shows objects that cover others.
    if rng.chance(0.7):
        sample = clip_sample(seed, index, SENTENCES, [0], no_target=5, weights=WEIGHTS)
    else:
        sample = image_sample(seed, index, SENTENCES, no_target=5)
    said = [
        Phrase(s.text, frozenset() if s.object_id is None else frozenset({s.object_id}))
        for s in sample.sentences
    ]
    if said and rng.chance(alone):
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
    inputs = {"pixel_values": _images(samples)}
    inputs |= {name: tokens[name] for name in names}
    spans = phrase_tokens(inputs["input_ids"])
    seen = [_visible(s.labels[0]) for s in samples]
    targets = [_targets(boxes, said, where) for boxes, said, where in zip(seen, phrases, spans, strict=True)]
    looks = [_looks(boxes, s.looks) for boxes, s in zip(seen, samples, strict=True)]
    return DetectionBatch(inputs, targets, looks)


def _images(samples: Sequence[Sample]) -> Tensor:
    return with_places(torch.cat([preprocess(s.frames[0], *SIDES) for s in samples]))


def phrase_tokens(input_ids: Tensor) -> list[Tensor]:
    """Return for every text (P, T) float, 1 at the tokens of each of its phrases."""
    from transformers.models.grounding_dino.modeling_grounding_dino import build_label_maps

    maps = build_label_maps(torch.empty(0, input_ids.shape[1]), input_ids)  # type: ignore[arg-type]
    return [m.float() for m in maps]


def _visible(labels: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Return the box cx, cy, w, h in 0..1 of every visible object by its id."""
    height, width = labels.shape
    found = {}
    for number in np.unique(labels[labels > 0]):
        mask = labels == number
        box = tight_box(mask)
        if box is None or mask.sum() < VISIBLE_PIXELS:
            continue
        x0, y0, x1, y1 = box[0] / width, box[1] / height, (box[2] + 1) / width, (box[3] + 1) / height
        found[str(number)] = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
    return found


def _targets(boxes: Mapping[str, list[float]], phrases: Sequence[Phrase], spans: Tensor) -> Targets:
    """Return the objects that phrases fit, with those phrases' tokens."""
    fits = {i: torch.tensor([i in p.fits for p in phrases]) for i in boxes}
    wanted = [i for i, fit in fits.items() if fit.any()]
    if not wanted:
        return Targets(torch.empty(0, 4), torch.empty(0, spans.shape[1]))
    tokens = torch.stack([spans[fits[i]].amax(0) for i in wanted])
    return Targets(torch.tensor([boxes[i] for i in wanted], dtype=torch.float32), tokens)


def _looks(boxes: Mapping[str, list[float]], looks: Mapping[str, Look]) -> Looks:
    values = [attribute_values(looks[i]) for i in boxes]
    return Looks(
        torch.tensor([*boxes.values()], dtype=torch.float32).view(-1, 4),
        torch.tensor(values, dtype=torch.int64).view(-1, len(VALUES)),
    )
