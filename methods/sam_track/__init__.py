"""SAM-Track with Grounding DINO: a detected box, SAM's mask in it, DeAOT through the video."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build ``sam_track_gdino``, or ``sam_track_gdino_tiny``, whose parts are all shipped."""
    from refseg.methods.sam_track.method import SamTrackGdino

    return SamTrackGdino(request)
