"""COCO's segmentations as masks: polygons, uncompressed and compressed run lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco

from refseg.bench.run_lengths import fill, run_lengths
from refseg.bench.types import BoolArray

_SHORTEST = 6
"""Numbers of the smallest polygon, three points."""

_FARTHEST = 2**16
"""pycocotools keeps a point for every fifth of a pixel of an edge, and overflows on far ones."""


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> BoolArray:
    """Return an annotation's (H, W) mask: the union of its polygons, or its run lengths.

    Polygons of fewer than three points enclose nothing and are left out. They must be left out before pycocotools sees
    them: it takes every entry for a box where the first one has four numbers. REFER sums the polygons' masks, and LAVT
    then keeps where the sum is 1, which loses what two polygons share; a union does not.

    Args:
        segmentation: COCO's ``segmentation``.
        size: (H, W) of the image.

    Raises:
        ValueError: It is of another form, of another size, or no polygon is left; says which.
    """
    height, width = size
    if isinstance(segmentation, list):
        polygons = [p for p in segmentation if _is_polygon(p)]
        if not polygons:
            raise ValueError(f"none of its {len(segmentation)} polygons has three points")
        if any(abs(x) > _FARTHEST for polygon in polygons for x in polygon):
            raise ValueError(f"a polygon reaches farther than {_FARTHEST} pixels")
        rle = coco.merge(coco.frPyObjects(polygons, height, width))
    elif isinstance(segmentation, dict) and {"counts", "size"} <= segmentation.keys():
        rle = _run_lengths(segmentation, size)
    else:
        raise ValueError("it is neither a list of polygons nor run lengths")
    mask: BoolArray = np.asarray(coco.decode(rle)).astype(bool)
    return mask


def _is_polygon(points: Any) -> bool:
    return (
        isinstance(points, list)
        and len(points) >= _SHORTEST
        and len(points) % 2 == 0
        and all(isinstance(x, int | float) and math.isfinite(x) for x in points)
    )


def _run_lengths(rle: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    counts = rle["counts"]
    if rle["size"] != list(size):
        raise ValueError(f"its run lengths are for {rle['size']} (height, width), the image is {list(size)}")
    if not isinstance(counts, str | list):
        raise ValueError("its run lengths are neither numbers nor compressed text")
    if not fill(counts, math.prod(size)):
        raise ValueError(f"its run lengths do not add up to the image's {math.prod(size)} pixels")
    runs = run_lengths(counts) if isinstance(counts, str) else counts
    found: dict[str, Any] = coco.frPyObjects({"size": list(size), "counts": runs}, *size)
    return found
