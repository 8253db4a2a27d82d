"""SAM 3 through transformers: the text-prompted peer that finds, segments and follows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build ``sam3``.

    Raises:
        InputError: The installed transformers is too old, an option is wrong, or the checkpoint is missing.
    """
    from refseg.methods.sam3.load import require_transformers

    require_transformers()
    from refseg.methods.sam3.method import Sam3

    return Sam3(request)
