"""Long-RVOS: J and F, and how well an object's presence in time is found.

As in ``eval/eval_long_rvos/eval_static.py`` and ``eval_overall.py`` of iSEE-Laboratory/Long_RVOS: all frames, no void,
the mean over all expressions pooled (its three kinds are the break-down by ``type``).
"""

from __future__ import annotations

from refseg.bench.protocols.per_expression import PerExpression
from refseg.bench.scoring.expressions import ExpressionCounts


class LongRvos(PerExpression):
    """tIoU: frames where truth and answer both have a pixel, over frames where either has. vIoU: their J over the same.

    Where neither ever has a pixel both are 1.
    """

    metrics = ("J&F", "J", "F", "tIoU", "vIoU")

    def more(self, counted: ExpressionCounts) -> dict[str, float]:
        """Return tIoU and vIoU of one expression."""
        answered, present = counted.predicted > 0, counted.true > 0
        both, either = answered & present, int((answered | present).sum())
        if not either:
            return {"tIoU": 1.0, "vIoU": 1.0}
        return {"tIoU": float(both.sum() / either), "vIoU": float(counted.j[both].sum() / either)}


def build(name: str) -> LongRvos:
    """Build the protocol."""
    return LongRvos(name, void=False)
