"""RefSAM (paper III): referring video object segmentation with SAM."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build RefSAM in the size that the request names, with its weights."""
    # The network's modules take seconds to import, and the registry's table must not wait for them.
    from refseg.methods.refsam.method import build_method

    return build_method(request)
