"""Clips from any datasets through the ordinary interface, for training (paper IV-B2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.bench.types import BoolArray, Dataset, Expression, Video, framewise
from refseg.methods.refsam.training.augment import Augmentation, augment
from refseg.methods.sam.transforms import Geometry, fit, resize_image

ATTEMPTS = 200
"""How often a clip is drawn again before the data is held to show no object."""

STEPS = (1, 3)
"""How far the frames before and after lie, at least and at most: {t - U[1,3], t, t + U[1,3]}."""


@dataclass(frozen=True)
class Clip:
    """One training sample: a clip with one sentence.

    Attributes:
        frames: (T, h, w, 3) uint8, resized as SAM's transform does.
        masks: (T, H, W) bool at the augmented clip's size, where the loss is taken.
        geometry: How ``masks`` lie in the padded square.
        text: The sentence.
        keys: Name of each frame, where it is as in the dataset; None: augmented.
    """

    frames: Tensor
    masks: Tensor
    geometry: Geometry
    text: str
    keys: tuple[str, ...] | None


class Clips:
    """Samples of datasets, mixed; sample ``index`` is always the same, whatever was drawn before.

    An epoch shows every sentence once around each frame of its video. Sentences without a target are left out.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        *,
        frames: int,
        augmentation: Augmentation,
        image_size: int,
        seed: int = 0,
    ) -> None:
        """List the samples; no frame is read.

        Args:
            datasets: Splits whose truth is public.
            frames: Frames a clip; an image is shown so many times.
            augmentation: How they are varied.
            image_size: Side of the network's square.
            seed: Of the order and of every draw.

        Raises:
            InputError: No sentence has a target that is known.
        """
        self.datasets, self.frames, self.augmentation = datasets, frames, augmentation
        self._image_size, self._seed = image_size, seed
        self._items = _items(datasets)

    def __len__(self) -> int:
        return len(self._items)

    def draw(self, index: int) -> Clip:
        """Return sample ``index`` of the endless sequence of epochs.

        Where the object is in none of the frames, as after a crop, another sample takes its place.

        Raises:
            InputError: No sample shows its object, or a file of the dataset is wrong.
        """
        epoch, position = divmod(index, len(self))
        item = self._items[_order(self._seed, epoch, len(self))[position]]
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self._seed, index, attempt))
            if attempt:
                item = self._items[rng.integers(len(self))]
            clip = self._clip(item, rng)
            if clip is not None:
                return clip
        raise InputError(
            f"{ATTEMPTS} clips of {', '.join(d.info.name for d in self.datasets)} were drawn and none shows the "
            "object of its sentence; check the copy with `bench data check`."
        )

    def _clip(self, item: NDArray[np.int32], rng: np.random.Generator) -> Clip | None:
        dataset = self.datasets[item[0]]
        video = dataset.videos()[int(item[1])]
        expression = video.expressions[item[2]]
        times = clip_times(int(item[3]), len(video), self.frames, rng)
        masks = truth_of(dataset, video, expression, times)
        if not masks.any():
            return None
        pixels = {t: video.read(t) for t in sorted(set(times))}
        frames, masks, text = augment(
            np.stack([pixels[t] for t in times]), masks, expression.text, self.augmentation, rng
        )
        if not masks.any():
            return None
        geometry = fit((masks.shape[1], masks.shape[2]), self._image_size)
        shown = torch.from_numpy(np.stack([resize_image(f, geometry.resized) for f in frames]))
        keys = None
        if self.augmentation.none:
            keys = tuple(f"{item[0]}/{video.id}/{video.frame_ids[t]}" for t in times)
        return Clip(shown, torch.from_numpy(masks), geometry, text, keys)


def clip_times(t: int, length: int, frames: int, rng: np.random.Generator) -> list[int]:
    """Return the frames of a clip around ``t``, sorted and clamped to the video; some may be the same.

    Three are {t - U[1,3], t, t + U[1,3]}; beyond, as in the released code, others are drawn from the whole video.
    """
    times = [t]
    if frames > 1:
        before, after = (int(rng.integers(STEPS[0], STEPS[1] + 1)) for _ in range(2))
        times += [max(0, t - before), min(length - 1, t + after)][: frames - 1]
        times += [int(rng.integers(length)) for _ in range(frames - 3)]
    return sorted(times)


def truth_of(dataset: Dataset, video: Video, expression: Expression, times: Sequence[int]) -> BoolArray:
    """Return the (T, H, W) masks of some frames; only these are read where the dataset can.

    Raises:
        InputError: The labels are hidden, or a file is wrong.
    """
    single = framewise(dataset)
    if single is not None:
        ids = single.label_ids(video.id, expression.id)
        maps = {t: np.isin(single.label_map(video.id, t), ids) for t in set(times)}
        return np.stack([maps[t] for t in times])
    truth = dataset.ground_truth(video.id, expression.id)
    if truth is None:
        raise InputError(
            f"The labels of {dataset.info.name} {dataset.info.split} are hidden, so nothing can be learnt from it; "
            "give a split with public labels."
        )
    return truth.masks[list(times)]


def _items(datasets: Sequence[Dataset]) -> NDArray[np.int32]:
    """Return (n, 4): dataset, video, expression and middle frame of every sample of an epoch."""
    rows: list[tuple[int, int, int, int]] = []
    for d, dataset in enumerate(datasets):
        for v, video in enumerate(dataset.videos()):
            said = [e for e, expression in enumerate(video.expressions) if expression.object_ids]
            rows += [(d, v, e, t) for e in said for t in range(len(video))]
    if not rows:
        names = ", ".join(f"{d.info.name} {d.info.split}" for d in datasets)
        raise InputError(
            f"{names} holds no sentence with a target that is known, so nothing can be learnt from it."
        )
    return np.array(rows, np.int32)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(length)
