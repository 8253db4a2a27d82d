"""The gallery of a run: which sentences are shown, chosen by a rule and not by hand, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_bytes
from refseg.bench.errors import InputError
from refseg.bench.results import each_protocol
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import Dataset, Expression, Video
from refseg.reports.overlays import Box, Clip, animation, colour, png_bytes, reduced, spread, strip

EACH = 4
"""How many of the best, of the median and of the worst are shown."""

FOLDER = "pictures"
_PAGE_FRAMES = 16
_STRIP_COLOURS = 224
_FACTS = ("video", "expression", "frames")

Pair = tuple[Video, Expression]


@dataclass(frozen=True)
class Choice:
    """One sentence of the gallery: why it is there (``best``, ``median``, ``worst`` or ``sample``), and its scores."""

    rank: str
    video: Video
    expression: Expression
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Picture:
    """A choice with its animation as GIF; where it could not be drawn, ``trouble`` says why."""

    number: int
    choice: Choice
    gif: bytes | None
    trouble: str = ""


@dataclass(frozen=True)
class Selection:
    """What the gallery shows: by which metric of which protocol, or a sample where nothing ranks the sentences."""

    choices: tuple[Choice, ...]
    protocol: str = ""
    metric: str = ""


def score_names(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of an item's scores: numbers that stand before ``frames``, where facts begin."""
    names = []
    for name, value in items[0].items() if items else ():
        if name == "frames":
            break
        if name not in _FACTS and isinstance(value, int | float) and not isinstance(value, bool):
            names.append(name)
    return names


def ranked(items: Sequence[Mapping[str, Any]], metric: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the best, the median and the worst items, each from high to low; equals in the dataset's order.

    Args:
        items: A result's items.
        metric: The score that ranks them.

    Returns:
        (``best`` | ``median`` | ``worst``, item); no item twice, all of them where there are few.
    """
    order = sorted(items, key=lambda item: -float(item[metric]))
    count = len(order)
    if count <= 3 * EACH:
        first, last = -(-count // 3), count - count // 3
        low, high = first, last
    else:
        first, last = EACH, count - EACH
        low = (count - EACH) // 2
        high = low + EACH
    parts = (("best", order[:first]), ("median", order[low:high]), ("worst", order[last:]))
    return [(rank, item) for rank, part in parts for item in part]


def select(dataset: Dataset, result: Mapping[str, Any], folder: RunFolder) -> Selection:
    """Choose what the gallery shows.

    Sentences are ranked by the first protocol whose items are all sentences of the dataset; without one, as
    where labels are hidden, the predictions are sampled evenly in the dataset's order.
    """
    pairs = {(v.id, e.id): (v, e) for v in dataset.videos() for e in v.expressions}
    for one in each_protocol(result):
        items, names = one["items"], score_names(one["items"])
        if names and all((i["video"], i["expression"]) in pairs for i in items):
            metric = next((m for m in one["metrics"] if m in names), names[0])
            chosen = (
                (rank, item, pairs[item["video"], item["expression"]]) for rank, item in ranked(items, metric)
            )
            choices = tuple(Choice(rank, *pair, {n: item[n] for n in names}) for rank, item, pair in chosen)
            return Selection(choices, one["protocol"], metric)
    stored = [pair for key, pair in pairs.items() if folder.prediction_path(*key).is_file()]
    sample = [stored[i] for i in spread(len(stored), 3 * EACH)]
    return Selection(tuple(Choice("sample", v, e, {}) for v, e in sample))


def draw(dataset: Dataset, choices: Sequence[Choice], folder: RunFolder, key: str) -> Iterator[Picture]:
    """Draw the choices one after the other, and write each as ``pictures/NN.gif`` and ``NN.png`` of the run folder."""
    target = folder.path / FOLDER
    # Numbers and not ids name the files: nothing that a dataset says can lead out of the folder.
    for old in [*target.glob("[0-9][0-9].gif"), *target.glob("[0-9][0-9].png")]:
        old.unlink()
    for number, choice in enumerate(choices, 1):
        try:
            clip = _clip(dataset, choice, SavedRun(folder, key))
            gif = animation(clip, frames=_PAGE_FRAMES, caption=False)
            _write(target, number, clip)
        except (InputError, OSError, ValueError) as error:
            yield Picture(number, choice, None, str(error))
        else:
            yield Picture(number, choice, gif)


def _clip(dataset: Dataset, choice: Choice, predictions: SavedRun) -> Clip:
    video, expression = choice.video, choice.expression
    masks = predictions.masks(video, expression)
    if masks is None:
        raise InputError("The run folder holds no prediction of this sentence.")
    truth = dataset.ground_truth(video.id, expression.id)
    index = video.expressions.index(expression)
    found = predictions.extras(video, expression)
    boxes = {t: _box(found[f]["box"]) for t, f in enumerate(video.frame_ids) if "box" in found.get(f, {})}
    return Clip(video, expression.text, masks, truth.masks if truth else None, colour(index), boxes)


def _box(value: Any) -> Box:
    if not (isinstance(value, list) and len(value) == 4):
        raise InputError(f"The prediction's box {value!r} is not x0, y0, x1, y1.")
    x0, y0, x1, y1 = map(float, value)
    return x0, y0, x1, y1


def _write(target: Path, number: int, clip: Clip) -> None:
    write_bytes(target / f"{number:02}.gif", animation(clip))
    write_bytes(
        target / f"{number:02}.png", png_bytes(*reduced([strip(clip)], [clip.colour], _STRIP_COLOURS))
    )
