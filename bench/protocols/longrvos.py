"""Long-RVOS: J and F, and how well an object's presence in time is found.

As in ``eval/eval_long_rvos/eval_static.py`` and ``eval_overall.py`` of iSEE-Laboratory/Long_RVOS: all frames, no void,
the mean over all expressions pooled (its three kinds are the break-down by ``type``).
"""

from __future__ import annotations

from refseg.bench.protocols.per_expression import PerExpression
from refseg.bench.scoring.measures import Scores
from refseg.bench.types import BoolArray, GroundTruth


class LongRvos(PerExpression):
    """tIoU: frames where truth and answer both have a pixel, over frames where either has. vIoU: their J over the same.

    Where neither ever has a pixel both are 1.
    """

    metrics = ("J&F", "J", "F", "tIoU", "vIoU")

    def more(self, masks: BoolArray, truth: GroundTruth, j: Scores) -> dict[str, float]:
        """Return tIoU and vIoU of one expression."""
        return presence(masks, truth.masks, j)


def presence(masks: BoolArray, truth: BoolArray, j: Scores) -> dict[str, float]:
    """Return tIoU and vIoU of (T, H, W) masks whose J is (T,)."""
    answered, present = masks.any(axis=(1, 2)), truth.any(axis=(1, 2))
    both, either = answered & present, int((answered | present).sum())
    if not either:
        return {"tIoU": 1.0, "vIoU": 1.0}
    return {"tIoU": float(both.sum() / either), "vIoU": float(j[both].sum() / either)}


def build(name: str) -> LongRvos:
    """Build the protocol."""
    return LongRvos(name, void=False)
