"""Endless training samples: sample ``index`` of a seed is always the same, whatever was drawn before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.datasets.refshapes.facts import Facts, look_at
from refseg.datasets.refshapes.grammar import TYPE_WEIGHTS, Sentence, sentences
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.render import render
from refseg.datasets.refshapes.scene import FRAMES, Look, Scene, make_scene

VERSION = 2
DEV_SEED = 999_983
"""Seed of the samples that trainings are watched on; no training draws others of it."""
LEAST_PIXELS = 20
"""An object of which less is in sight is neither prompted nor followed."""
SPLIT_CODES = {"train": 0, "dev": 1, "val": 2, "test": 3, "no_target": 4}


@dataclass(frozen=True)
class Sample:
    """One training sample.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB; T = 1 for an image.
        labels: (T, H, W) uint8 object ids.
        sentences: Sentences about it, their referents among the labels.
        looks: Look of every object by its id, in sight or not.
        motions: How every object moves, by its id.
    """

    frames: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    sentences: tuple[Sentence, ...]
    looks: Mapping[str, Look]
    motions: Mapping[str, str]


Times = Callable[[Facts, Sequence[Sentence]], Sequence[int]]
"""Chooses frames by what is to be seen in a video and what is said about it."""


def image_sample(seed: int, index: int, count: int, *, no_target: int = 0) -> Sample:
    """Draw one frame of scene ``index`` with up to ``count`` single-image sentences."""
    key = (VERSION, SPLIT_CODES["train"], seed, index)
    scene, rng = make_scene(*key), Stream(*key, 5)
    t = rng.integer(0, FRAMES - 1)
    frame, labels = render(scene, t)
    said = sentences(look_at(scene, [t]), rng, count, image=True, no_target=no_target) if count else []
    return Sample(frame[None], labels[None], tuple(said), _looks(scene), _motions(scene))


def clip_sample(
    seed: int,
    index: int,
    count: int,
    times: Sequence[int] | Times | None,
    *,
    no_target: int = 0,
    weights: Mapping[str, int] = TYPE_WEIGHTS,
) -> Sample:
    """Draw frames of scene ``index`` with up to ``count`` sentences about the whole video.

    Args:
        seed: The training's seed.
        index: Number of the sample.
        count: Sentences.
        times: Frames to draw, ascending, or what chooses them; None: three frames {t - U[1,3], t, t + U[1,3]}, clamped
            and sorted (RefSAM's clips), drawn again unless all but no-target referents show in at least one of them.
        no_target: Weight of no-target sentences; the other types' weights sum to 100.
        weights: The other types' weights.
    """
    key = (VERSION, SPLIT_CODES["train"], seed, index)
    scene, rng = make_scene(*key), Stream(*key, 5)
    said: list[Sentence] = []
    choose = times if callable(times) else None
    if count or choose:
        facts = look_at(scene, range(FRAMES))
        if count:
            said = sentences(facts, rng, count, no_target=no_target, weights=weights)
        if choose:
            times = choose(facts, said)
    shown = _clip(rng) if times is None or callable(times) else times
    drawn = [render(scene, t) for t in shown]
    frames, labels = np.stack([f for f, _ in drawn]), np.stack([m for _, m in drawn])
    return Sample(frames, labels, tuple(said), _looks(scene), _motions(scene))


def _looks(scene: Scene) -> dict[str, Look]:
    return {s.id: s.look for s in scene.shapes}


def _motions(scene: Scene) -> dict[str, str]:
    return {s.id: s.motion for s in scene.shapes}


def _clip(rng: Stream) -> list[int]:
    t = rng.integer(0, FRAMES - 1)
    return sorted({max(0, t - rng.integer(1, 3)), t, min(FRAMES - 1, t + rng.integer(1, 3))})
