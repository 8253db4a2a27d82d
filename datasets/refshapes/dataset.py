"""The fixed splits of RefShapes as a dataset; every frame is drawn when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import InputError, unknown_name
from refseg.bench.options import NoOptions, parse_options
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, ImageArray, Video
from refseg.datasets.refshapes.facts import Facts, look_at
from refseg.datasets.refshapes.grammar import Sentence, make_sentence, sentences
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.render import render, render_labels
from refseg.datasets.refshapes.scene import FRAMES, HEIGHT, WIDTH, Scene, make_scene
from refseg.datasets.refshapes.train import SPLIT_CODES, VERSION

VIDEO_SPLITS = {"val": 48, "test": 96, "no_target": 16}
"""Number of videos of each split; ``no_target`` holds only sentences that nothing fits."""

IMAGE_SPLITS = {"image_val": ("val", 200), "image_test": ("test", 400)}
"""Single-image splits: the video split whose scenes they draw from, and how many images."""

_PER_VIDEO = 5
_LEAST = 4


class RefShapes:
    """One split; see :func:`build`."""

    def __init__(self, split: str) -> None:
        self.split = split
        protocols = ("ris/per_sentence",) if split in IMAGE_SPLITS else ("refshapes/per_expression",)
        self._protocols = protocols

    @cached_property
    def info(self) -> DatasetInfo:
        """Name, version, split, counts and the fingerprint of all sentences and frames' labels."""
        videos = self.videos()
        return DatasetInfo(
            name="refshapes",
            version=str(VERSION),
            split=self.split,
            protocols=self._protocols,
            expected_videos=len(videos),
            expected_expressions=sum(len(v.expressions) for v in videos),
            fingerprint=self._fingerprint(),
        )

    def videos(self) -> Sequence[Video]:
        """Return the split's videos; the scenes are made, no frame is drawn."""
        return self._videos

    @cached_property
    def _scenes(self) -> dict[str, tuple[Scene, tuple[int, ...], tuple[Sentence, ...]]]:
        return {name: (scene, times, said) for name, scene, times, said in _entries(self.split)}

    @cached_property
    def _videos(self) -> list[Video]:
        out = []
        for name, (scene, times, said) in self._scenes.items():
            expressions = tuple(
                Expression(
                    id=str(i),
                    text=s.text,
                    object_ids=() if s.object_id is None else (s.object_id,),
                    attributes={"type": s.type, "needs_time": s.needs_time, "held_out": s.held_out},
                )
                for i, s in enumerate(said)
            )
            frame_ids = tuple(f"{t:05d}" for t in times)
            out.append(Video(name, frame_ids, (HEIGHT, WIDTH), expressions, partial(_read, scene, times)))
        return out

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return the exact visible masks of an expression's object; all False where it has no target."""
        labels = self.label_maps(video_id)
        sentence = self._scenes[video_id][2][int(expression_id)]
        label = 255 if sentence.object_id is None else int(sentence.object_id)
        return GroundTruth(labels == label)

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids, 0 background."""
        if video_id not in self._scenes:
            raise InputError(
                f"RefShapes {self.split} has no video {video_id!r}; see `bench data describe refshapes`."
            )
        scene, times, _ = self._scenes[video_id]
        return _labels(scene, times)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(f"refshapes {VERSION} {self.split}".encode())
        for name, (_, times, said) in self._scenes.items():
            digest.update(repr((name, times, [(s.text, s.object_id) for s in said])).encode())
        return digest.hexdigest()


def _read(scene: Scene, times: tuple[int, ...], i: int) -> ImageArray:
    return render(scene, times[i])[0]


@lru_cache(maxsize=4)
def _labels(scene: Scene, times: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.stack([render_labels(scene, t) for t in times])


@cache
def _entries(split: str) -> tuple[tuple[str, Scene, tuple[int, ...], tuple[Sentence, ...]], ...]:
    """Make scene after scene and keep those with enough sentences, until the split is full."""
    image = split in IMAGE_SPLITS
    source, wanted = IMAGE_SPLITS[split] if image else (split, VIDEO_SPLITS[split])
    found: list[tuple[str, Scene, tuple[int, ...], tuple[Sentence, ...]]] = []
    index = 0
    while len(found) < wanted:
        key = (VERSION, SPLIT_CODES[source], index)
        scene, rng = make_scene(*key), Stream(*key, 5)
        times = (rng.integer(0, FRAMES - 1),) if image else tuple(range(FRAMES))
        facts = look_at(scene, times)
        if split == "no_target":
            said = _no_target(facts, rng)
        else:
            said = sentences(facts, rng, 3 if image else _PER_VIDEO, image=image, allow_held_out=True)
        if len(said) >= (2 if image or split == "no_target" else _LEAST):
            found.append((f"{split}-{index:04d}", scene, times, tuple(said)))
        index += 1
    return tuple(found)


def _no_target(facts: Facts, rng: Stream) -> list[Sentence]:
    made = [make_sentence(facts, "no_target", rng, allow_held_out=True) for _ in range(6)]
    return list({m.text: m for m in made if m is not None}.values())[:3]


def build(request: DatasetRequest) -> RefShapes:
    """Open a split of RefShapes.

    Raises:
        InputError: An unknown split or option, or a root (RefShapes is drawn, not read).
    """
    parse_options(NoOptions, request.options, owner="dataset refshapes")
    split = request.split or "val"
    known = [*VIDEO_SPLITS, *IMAGE_SPLITS]
    if split not in known:
        raise unknown_name(
            "split of refshapes", split, known, hint="train is endless and only for `bench train`"
        )
    if request.root is not None:
        raise InputError("RefShapes is drawn as it is read and has no files; leave --root out.")
    return RefShapes(split)
