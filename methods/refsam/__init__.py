"""RefSAM (paper III): referring video object segmentation with SAM."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build RefSAM in the size that the request names, with its weights."""
    # The network's modules take seconds to import, and the registry's table must not wait for them.
    from refseg.methods.refsam.method import build_method

    return build_method(request)


def require_files(request: MethodRequest) -> None:
    """Check that the files of the size that the request names are there.

    Raises:
        InputError: They are not; names all of them, and where they come from.
    """
    from refseg.methods.refsam.method import require_files as require

    require(request)
