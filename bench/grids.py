"""Grids of settings that ``bench ablate`` runs: what is varied, how it is trained, which table it answers.

On RefShapes a grid trains the tiny model for minutes; on another dataset it trains what the paper trained, by the
paper's recipe. Published values stand with the claims, never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Training:
    """One training of a setting, an ordinary ``bench train``.

    Attributes:
        name: How later trainings and the run call its weights: ``{name}`` in an option's value.
        recipe: Registered name.
        options: Its ``--set`` options, beside the setting's.
        method: Registered name; empty: the setting's.
        takes: The setting's switches and training options that it takes; None: all.
        quick: Options under ``--quick``.
    """

    name: str
    recipe: str
    options: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    takes: tuple[str, ...] | None = None
    quick: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """One row of a grid.

    Attributes:
        label: What the table calls it.
        method: Registered name.
        options: ``--set`` options of its run.
        seeded: True where the method takes ``seed``, so that ``--seeds`` repeats it.
        switches: ``--set`` options of both its trainings and its run.
        training: Options of its trainings alone.
        published: The setting's name among the claims of the grid's table.
    """

    label: str
    method: str
    options: Mapping[str, str] = field(default_factory=dict)
    seeded: bool = False
    switches: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)
    published: str = ""


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
        trainings: How each setting is trained, in order; empty: not at all.
        table: The paper's table (``"III"``) or figure (``"fig4"``) that it answers.
        base: Label of the row that the others are compared with.
        curve: Figure of the trainings' logs that is drawn over the steps.
        note: What one must know to read it.
        full_size: The same for any other dataset, at the paper's size; None: there is none.
    """

    name: str
    title: str
    dataset: str
    settings: tuple[Setting, ...]
    attributes: tuple[str, ...] = ()
    split: str | None = None
    trainings: tuple[Training, ...] = ()
    table: str = ""
    base: str = ""
    curve: str = ""
    note: str = ""
    full_size: Grid | None = None


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
