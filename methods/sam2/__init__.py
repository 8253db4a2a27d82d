"""Grounding DINO with SAM 2: the peer of ``sam_track_gdino`` that transformers has today."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build ``gdino_sam2``."""
    from refseg.methods.sam2.method import GdinoSam2

    return GdinoSam2(request)
