"""Table X of the paper: frames a second as published."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "not stated"


@dataclass(frozen=True)
class PublishedSpeed:
    """One row; the paper says neither on which data nor what is timed.

    Attributes:
        name: Registered name of the method here; empty where it has none.
        label: Name as published.
        backbone: Backbone as published.
        fps: Frames a second.
        hardware: What it ran on, as published.
    """

    name: str
    label: str
    backbone: str
    fps: float
    hardware: str = UNKNOWN


_ROWS = (
    ("", "OnlineRefer", "Swin-L", 8.4),
    ("", "ReferFormer", "Swin-L", 9.1),
    ("", "SgMg", "Swin-L", 13.6),
    ("sam_track_gdino", "SAM-Track + Ground DINO", "ViT-H", 1.5),
    ("persam_gdino", "PerSAM + Ground DINO", "ViT-H", 4.0),
    ("refsam_vit_h", "RefSAM", "ViT-H", 4.8),
    ("refsam_vit_l", "RefSAM", "ViT-L", 6.5),
    ("refsam_vit_b", "RefSAM", "ViT-B", 9.5),
)


def published_speeds() -> list[PublishedSpeed]:
    """Return the rows in the paper's order."""
    return [PublishedSpeed(*row) for row in _ROWS]
