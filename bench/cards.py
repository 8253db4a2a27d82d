"""Dataset cards: what a dataset is, where it comes from, how its tree must look and what goes wrong with it.

A loader's module offers ``CARDS``, a mapping of registered name to :class:`Card`; a third party's module may too.
The card also answers what every loader asks first: which split, and is the root there.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from refseg.bench import registry
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.types import DatasetInfo, DatasetRequest

Labels = Literal["public", "hidden", "optional"]
"""Whether a split's truth is in the published files; ``optional``: posted apart, and read where it is there."""


@dataclass(frozen=True)
class Split:
    """One split as it is published; None where no count is published or known for certain.

    Attributes:
        videos: Number of videos (or images).
        expressions: Number of sentences that are scored.
        objects: Number of objects that sentences refer to, each counted once a video.
        frames: Number of frames that the metadata lists.
        labels: Whether the truth is public.
        note: What else one must know.
        protocols: How it is scored, where it is not as the card says.
    """

    videos: int | None = None
    expressions: int | None = None
    objects: int | None = None
    frames: int | None = None
    labels: Labels = "public"
    note: str = ""
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Card:
    """A dataset in words and numbers.

    Attributes:
        name: Registered name.
        title: Its name in papers.
        summary: One or two sentences.
        source: Where it is published, addresses first.
        licence: Terms, as the source states them.
        citation: Authors, title, venue, year.
        version: Version of the data; part of every result.
        tree: Drawing of the folder, with ``{root}`` and ``{split}``; empty where it needs no files.
        splits: Name -> counts.
        default_split: The split without ``--split``.
        protocols: How it is scored, the default first.
        traps: What goes wrong with copies and with their use, one sentence each.
        aliases: Other names of splits.
        options: ``--set dataset.KEY=VALUE`` options -> what they do.
        unit: What a video is called here: ``"videos"`` or ``"images"``.
    """

    name: str
    title: str
    summary: str
    source: tuple[str, ...]
    licence: str
    citation: str
    version: str
    tree: str
    splits: Mapping[str, Split]
    default_split: str
    protocols: tuple[str, ...]
    traps: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    unit: str = "videos"

    def split(self, name: str | None) -> str:
        """Return a split's name, the default one for None.

        Raises:
            InputError: It is unknown.
        """
        chosen = self.aliases.get(name or "", name) or self.default_split
        if chosen not in self.splits:
            raise unknown_name(f"split of {self.name}", chosen, [*self.splits, *self.aliases])
        return chosen

    def drawing(self, split: str, root: str | Path = "DIR") -> str:
        """Return how the folder must look for a split."""
        return self.tree.replace("{root}", str(root)).replace("{split}", split)

    def root(self, request: DatasetRequest, split: str) -> Path:
        """Return the folder of a request.

        Raises:
            InputError: It is not set, or is no folder; the expected tree is shown.
        """
        if request.root is None:
            raise InputError(
                f"The folder of {self.name} is not set; give --root DIR, or `bench data set {self.name} DIR` "
                f"once. It is expected as\n{self.drawing(split)}"
            )
        root = Path(request.root)
        if not root.is_dir():
            state = "is a file" if root.exists() else "does not exist"
            raise InputError(
                f"The root {root} of {self.name} {state}; a folder is expected:\n{self.drawing(split, root)}"
            )
        return root

    def info(self, split: str, *, fingerprint: str, version: str | None = None) -> DatasetInfo:
        """Return a split's facts, with the published counts."""
        published = self.splits[split]
        return DatasetInfo(
            name=self.name,
            version=version or self.version,
            split=split,
            protocols=published.protocols or self.protocols,
            expected_videos=published.videos,
            expected_expressions=published.expressions,
            fingerprint=fingerprint,
            expected_objects=published.objects,
            expected_frames=published.frames,
        )


def find_card(name: str) -> Card | None:
    """Return a registered dataset's card, or None where its module offers none.

    Raises:
        InputError: The name is unknown, or its module cannot be imported.
    """
    factory = registry.resolve("datasets", name)
    module = importlib.import_module(
        registry.entry("datasets", name).target.partition(":")[0] or factory.__module__
    )
    card = getattr(module, "CARDS", {}).get(name)
    return card if isinstance(card, Card) else None


def card_text(card: Card, split: str | None = None) -> str:
    """Return a card for the terminal."""
    lines = [f"{card.title} ({card.name})", card.summary, ""]
    for title, values in _facts(card):
        lines.append(f"{title:12}{values[0]}")
        lines += [f"{'':12}{v}" for v in values[1:]]
    if card.tree:
        lines += ["", "layout", *_indented(card.drawing(split or "<split>"))]
    lines += ["", "splits", *_indented(_split_table(card))]
    if card.options:
        lines += ["", "options (--set dataset.KEY=VALUE)"]
        lines += [f"  {name:12}{text}" for name, text in card.options.items()]
    lines += ["", "known traps", *(f"  - {t}" for t in card.traps)]
    return "\n".join(lines)


def card_markdown(card: Card) -> str:
    """Return a card as a section of Markdown."""
    from refseg.bench.tables import markdown_table

    parts = [f"## {card.title} (`{card.name}`)", card.summary]
    parts.append("\n".join(f"- {title}: {'; '.join(values)}" for title, values in _facts(card)))
    header, *rows = _split_rows(card)
    parts.append(markdown_table(header, rows))
    if card.options:
        parts.append("\n".join(f"- `--set dataset.{name}=…`: {text}" for name, text in card.options.items()))
    parts.append("Known traps:\n\n" + "\n".join(f"- {t}" for t in card.traps))
    # In text, <video> is an element of the page and is not shown.
    parts = [part.replace("<", "&lt;") for part in parts]
    if card.tree:
        parts.insert(3, f"```\n{card.drawing('<split>')}\n```")
    return "\n\n".join(parts)


def all_cards_markdown() -> str:
    """Return the cards of all built-in datasets as one page of Markdown."""
    found = (
        find_card(name) for name, e in registry.table("datasets").items() if e.provider == registry.BUILT_IN
    )
    head = (
        "# Datasets\n\nWhat `bench data describe NAME` says of each; this page is made by `bench data cards > "
        "docs/datasets.md`.\n`bench data check NAME --root DIR` verifies a copy against it."
    )
    return "\n\n".join([head, *(card_markdown(card) for card in found if card is not None)])


def card_json(card: Card) -> dict[str, Any]:
    """Return a card as JSON values."""
    from dataclasses import asdict

    return asdict(card)


def _facts(card: Card) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("source", card.source),
        ("licence", (card.licence,)),
        ("citation", (card.citation,)),
        ("version", (card.version,)),
        ("scored by", card.protocols),
    ]


def _split_rows(card: Card) -> list[list[str]]:
    rows = [["split", card.unit, "expressions", "objects", "frames", "labels", "notes"]]
    for name, s in card.splits.items():
        others = [alias for alias, of in card.aliases.items() if of == name]
        marks = ["the default"] if name == card.default_split else []
        marks += [f"also {', '.join(others)}"] if others else []
        marks += [f"scored by {', '.join(s.protocols)}"] if s.protocols else []
        counts = ("–" if n is None else f"{n:,}" for n in (s.videos, s.expressions, s.objects, s.frames))
        rows.append([name, *counts, s.labels, "; ".join([*marks, *([s.note] if s.note else [])])])
    return rows


def _split_table(card: Card) -> str:
    rows = _split_rows(card)
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = []
    for row in rows:
        cells = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:6], widths[1:], strict=True)),
            row[6],
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
