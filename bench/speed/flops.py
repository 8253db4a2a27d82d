"""Floating-point operations of one frame, counted as they are run; a multiply-add is two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from refseg.bench.speed.clock import OTHER
from refseg.bench.stages import listening
from refseg.bench.types import Expression, Method, Video

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

UNIT = "floating-point operations (a multiply-add is two) of matrix products, convolutions and attention"


class _Counter:
    """Adds up operations by stage."""

    def __init__(self, mode: FlopCounterMode) -> None:
        self._mode, self._open, self._before = mode, [OTHER], 0
        self.counts: dict[str, int] = {}

    def enter(self, name: str) -> None:
        self.settle()
        self._open.append(name)

    def leave(self) -> None:
        self.settle()
        self._open.pop()

    def settle(self) -> None:
        total = self._mode.get_total_flops()
        name = self._open[-1]
        self.counts[name] = self.counts.get(name, 0) + total - self._before
        self._before = total


def counted(method: Method, video: Video, expressions: Sequence[Expression]) -> dict[str, int]:
    """Return the operations of each stage of a video's first frame; stages without any are left out.

    What torch does not name, such as element-wise work, counts nothing, and compiled code is not seen.
    """
    from torch.utils.flop_counter import FlopCounterMode

    mode = FlopCounterMode(display=False, custom_mapping=_more())
    counter = _Counter(mode)
    with mode, listening(counter):
        next(iter(method.segment(video, expressions)))
        counter.settle()
    return {name: count for name, count in counter.counts.items() if count}


def _more() -> dict[Any, Any]:
    """Return counts of what torch's own counter leaves out: fused attention on CPUs."""
    import torch
    from torch.utils.flop_counter import sdpa_flop_count

    def attention(q: Any, k: Any, v: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
        return int(sdpa_flop_count(q, k, v))  # type: ignore[no-untyped-call]

    found = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    return {} if found is None else {found: attention}
