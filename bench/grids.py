"""Grids of settings that ``bench ablate`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Setting:
    """One row of a grid.

    Attributes:
        label: What the table calls it.
        method: Registered name.
        options: Its ``--set`` options.
        seeded: True where the method takes ``seed``, so that ``--seeds`` repeats it.
    """

    label: str
    method: str
    options: Mapping[str, str] = field(default_factory=dict)
    seeded: bool = False


@dataclass(frozen=True)
class Grid:
    """Settings that are compared on one dataset.

    Attributes:
        name: Registered name.
        title: Heading of its table.
        dataset: The dataset where none is chosen.
        settings: Its rows.
        attributes: Expression attributes whose break-down becomes columns.
        split: The split where none is chosen; None: the dataset's default.
    """

    name: str
    title: str
    dataset: str
    settings: tuple[Setting, ...]
    attributes: tuple[str, ...] = ()
    split: str | None = None


def controls() -> Grid:
    """Return the controls: known answers, then RefSAM with broken input."""
    method = "refsam_tiny"
    return Grid(
        name="controls",
        title="What the dataset measures",
        dataset="refshapes",
        settings=(
            Setting("truth", "oracle"),
            Setting("empty masks", "empty"),
            Setting("full masks", "full"),
            Setting(method, method),
            Setting(
                f"{method}, another object's sentence", "shuffled_sentences", {"source": method}, seeded=True
            ),
            Setting(f"{method}, frames in random order", "shuffled_frames", {"source": method}, seeded=True),
            Setting(f"{method}, track token cut", method, {"track_token": "false"}),
        ),
        attributes=("needs_time",),
    )
