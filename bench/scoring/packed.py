"""Masks of one frame, packed 64 pixels a word, and what J and F count of pairs of them.

Everything is counted in whole numbers, so J and F are exactly those of the formulas on pixels
(:mod:`refseg.bench.scoring.measures` states the definitions and their edge policy).
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from refseg.bench.scoring import flat, kernels
from refseg.bench.scoring.compiled import Ints, Words
from refseg.bench.types import BoolArray

Scores = NDArray[np.float64]
A = TypeVar("A", NDArray[np.uint8], NDArray[np.uint32])

BOUND_TH = 0.008
"""Tolerance of F as a share of the image's diagonal."""


_FIRST = np.ones(1, np.int64)


class Count(IntEnum):
    """What is counted of a pair (a, b): pixels, boundary pixels, and those of one near the other's boundary."""

    BOTH = 0
    A = 1
    B = 2
    BOUNDARY_A = 3
    BOUNDARY_B = 4
    NEAR_A = 5
    NEAR_B = 6


@dataclass(frozen=True)
class Layers:
    """Packed masks of one frame; they may share a pool with others, so nothing writes into it.

    Attributes:
        size: (H, W).
        ids: (n,) what each mask is, e.g. the object's id in a label map; ascending there.
        pool: The words of all masks, see :mod:`refseg.bench.scoring.kernels`.
        boxes: (n, 5) where each lies.
    """

    size: tuple[int, int]
    ids: Ints
    pool: Words
    boxes: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, *ids: int) -> Layers:
        """Return one mask: the union of those with these ids, empty where there are none."""
        rows = np.flatnonzero(np.isin(self.ids, ids))
        if len(rows) == 1:
            return replace(self, ids=self.ids[rows], boxes=self.boxes[rows])
        pool, boxes = kernels.join(self.pool, self.boxes[rows])
        return Layers(self.size, np.array(ids[:1], np.int64), pool, boxes)

    def without(self, other: Layers) -> Layers:
        """Return these masks less the pixels of another's."""
        pool = self.pool.copy()
        for box in other.boxes:
            kernels.clear(pool, self.boxes, other.pool, box)
        return replace(self, pool=pool)

    def rows(self, count: int) -> Ints:
        """Return (count,) the row of each id from 1 to ``count``, -1 where there is no such mask."""
        out = np.full(count, -1, np.int64)
        known = (self.ids >= 1) & (self.ids <= count)
        out[self.ids[known] - 1] = np.flatnonzero(known)
        return out

    def unpacked(self, row: int) -> BoolArray:
        """Return one mask as (H, W)."""
        out = np.zeros(self.size, bool)
        kernels.unpack(self.pool, self.boxes[row], out)
        return out


def merged(layers: Sequence[Layers], ids: Sequence[int], size: tuple[int, int]) -> Layers:
    """Return single masks as those of a label map; where two claim a pixel, the earlier one takes it.

    Args:
        layers: One mask each.
        ids: Theirs, ascending; equal ones become one mask.
        size: (H, W).
    """
    out: list[Layers] = []
    for layer in layers:
        for earlier in out:
            layer = layer.without(earlier)
        out.append(layer)
    whole = replace(stack(out, size), ids=np.array(ids, np.int64))
    if len(set(ids)) < len(ids):
        one_each = [whole.of(i) for i in dict.fromkeys(ids)]
        whole = replace(stack(one_each, size), ids=np.array([*dict.fromkeys(ids)], np.int64))
    return whole


def pack_mask(mask: BoolArray) -> Layers:
    """Pack one (H, W) mask."""
    size = (mask.shape[0], mask.shape[1])
    return Layers(size, _FIRST, *kernels.pack_mask(*_flat(mask.view(np.uint8)), *size))


def pack_labels(labels: NDArray[np.uint8]) -> Layers:
    """Pack the masks of all ids above 0 that a (H, W) label map holds."""
    starts, values = _runs(labels)
    return pack_runs(starts, values, (labels.shape[0], labels.shape[1]))


def pack_rle(counts: bytes, size: tuple[int, int]) -> Layers:
    """Pack a mask in COCO's compressed run lengths.

    Raises:
        ValueError: It is none of a mask of this (H, W).
    """
    whole, pool, boxes = kernels.pack_rle(np.frombuffer(counts, np.uint8), *size)
    if not whole:
        raise ValueError(f"no run lengths of a mask of {size[1]}x{size[0]} pixels")
    return Layers(size, _FIRST, pool, boxes)


def runs_of(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return where the runs of equal values start in a flattened (H, W) image, and their values."""
    starts, values = _runs(labels)
    return starts.copy(), values.copy()


def pack_runs(starts: NDArray[np.uint32], values: NDArray[np.uint8], size: tuple[int, int]) -> Layers:
    """Pack the masks of all ids above 0 that a frame's runs give."""
    ids = np.flatnonzero(np.bincount(values))
    ids = ids[ids > 0]
    layer_of = np.full(256, -1, np.int64)
    layer_of[ids] = np.arange(len(ids))
    pool, boxes = kernels.pack_runs(_fixed(starts), _fixed(values), layer_of, len(ids), *size)
    return Layers(size, ids, pool, boxes)


def present_values(labels: NDArray[np.uint8]) -> list[int]:
    """Return the values that an image holds, ascending."""
    return [int(v) for v in np.flatnonzero(flat.present_values(*_flat(labels)))]


def stack(layers: Sequence[Layers], size: tuple[int, int]) -> Layers:
    """Return the masks of all as one, numbered from 0 in their order."""
    if len(layers) == 1:
        (one,) = layers
        return replace(one, ids=np.arange(len(one)))
    boxes = [one.boxes.copy() for one in layers]
    offset = 0
    for mine, one in zip(boxes, layers, strict=True):
        mine[:, 4] += offset
        offset += one.pool.size
    pools = [one.pool for one in layers] or [np.zeros(0, np.uint64)]
    whole = np.concatenate(boxes) if boxes else np.zeros((0, 5), np.int64)
    return Layers(size, np.arange(len(whole)), np.concatenate(pools), whole)


def count_pairs(a: Layers, b: Layers, pairs: Ints, radius: int) -> Ints:
    """Count what J and F need.

    Args:
        a: Masks of a frame.
        b: Other masks of the frame.
        pairs: (P, 2) rows of a and b; -1 is an empty mask.
        radius: Tolerance of F in pixels.

    Returns:
        (P, 7) by :class:`Count`.
    """
    return kernels.count_pairs(*_outlined(a, radius), *_outlined(b, radius), pairs, radius)


def _outlined(side: Layers, radius: int) -> tuple[Words, Ints, Words, Words, Ints, Ints]:
    outlines = kernels.outlines(side.pool, side.boxes, *side.size, disk_reach(radius))
    return side.pool, side.boxes, *outlines


def region_from(counts: Ints) -> Scores:
    """Return J of (..., 7) counts."""
    both = counts[..., Count.BOTH]
    union = counts[..., Count.A] + counts[..., Count.B] - both
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def boundary_from(counts: Ints) -> Scores:
    """Return F of (..., 7) counts."""
    a, b = counts[..., Count.BOUNDARY_A], counts[..., Count.BOUNDARY_B]
    precision, recall = (
        counts[..., Count.NEAR_A] / np.maximum(a, 1),
        counts[..., Count.NEAR_B] / np.maximum(b, 1),
    )
    total = precision + recall
    # Operations in the official order, so that the last bit is the same.
    harmonic = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return np.where((a > 0) & (b > 0), harmonic, np.where((a > 0) | (b > 0), 0.0, 1.0))


def bound_pixels(height: int, width: int, bound_th: float = BOUND_TH) -> int:
    """Return F's tolerance in pixels."""
    return int(bound_th if bound_th >= 1 else math.ceil(bound_th * math.hypot(height, width)))


@functools.cache
def disk_reach(radius: int) -> Ints:
    """Return (radius + 1,): how far a disk reaches sideways in the rows 0 to radius from its centre."""
    return np.array([math.isqrt(radius**2 - dy**2) for dy in range(radius + 1)], np.int64)


class _Scratch(threading.local):
    """Room for the runs of one frame, kept: asking the system for it anew costs as much as filling it."""

    starts = np.empty(0, np.uint32)
    values = np.empty(0, np.uint8)
    changes = np.zeros(0, np.uint64)

    def sized(self, pixels: int) -> None:
        """Make room for a frame."""
        if len(self.starts) < pixels:
            self.starts, self.values = np.empty(pixels, np.uint32), np.empty(pixels, np.uint8)
            self.changes = np.zeros(pixels // 64 + 2, np.uint64)


_scratch = _Scratch()


def _runs(labels: NDArray[np.uint8]) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Return the runs of an image; they hold until this thread's next call."""
    pixels, eights = _flat(labels)
    _scratch.sized(pixels.size)
    changed = _scratch.changes.view(np.bool_)[: len(eights)]
    changed[:1] = True
    np.not_equal(eights[1:], eights[:-1], out=changed[1:])
    found = flat.label_runs(pixels, eights, _scratch.changes, _scratch.starts, _scratch.values)
    return _fixed(_scratch.starts[:found]), _fixed(_scratch.values[:found])


def _flat(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Words]:
    """Return an image's values one a byte and eight a word."""
    pixels = _fixed(np.ascontiguousarray(image).reshape(-1))
    return pixels, pixels[: pixels.size // 8 * 8].view(np.uint64)


def _fixed(array: A) -> A:
    """Return a read-only view: to kernels, arrays that can and that cannot be written are two types."""
    view = array.view()
    view.flags.writeable = False
    return view
