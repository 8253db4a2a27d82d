"""Masks from elsewhere as a method (``folder``), and any masks made finer by SAM (``refine``, ``ftvr_sam``)."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build_folder(request: MethodRequest) -> Method:
    """Build the method that answers with masks on disk."""
    from refseg.methods.refine.folder import FolderMethod

    return FolderMethod(request)


def build(request: MethodRequest) -> Method:
    """Build ``refine``, ``refine_tiny`` (with the tiny SAM) or ``ftvr_sam`` (of FTVR's masks)."""
    from refseg.methods.refine.method import Refine

    return Refine(request)
