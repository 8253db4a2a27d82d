"""Controls: known answers and broken input, which show what a dataset and a score measure."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build the control that a request names; its class says what it does and which options it takes."""
    from refseg.methods.controls.constant import CONSTANTS
    from refseg.methods.controls.shuffled import SHUFFLED

    if request.name in CONSTANTS:
        return CONSTANTS[request.name](request)
    return SHUFFLED[request.name](request)


__all__ = ["build"]
