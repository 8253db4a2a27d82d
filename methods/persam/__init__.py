"""PerSAM and PerSAM-F: SAM told by one mask what to segment (Zhang et al., "Personalize Segment Anything Model").

Behaviour follows the official repository ZrrSkywalker/Personalize-SAM; differences are named where they are.
"""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build PerSAM with Grounding DINO: ``persam_gdino``, ``persam_gdino_tiny``, or ``persam_f_gdino`` (PerSAM-F)."""
    from refseg.methods.persam.method import PerSamGdino

    return PerSamGdino(request)
