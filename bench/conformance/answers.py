"""What a method answers on a clip, and whether two answers are the same."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from refseg.bench.conformance.report import Breach
from refseg.bench.predict import checked
from refseg.bench.types import Expression, FramePrediction, Method, Video

MASK_SHARE = 1e-3
"""Share of a frame's pixels in which two answers may differ: other batches round otherwise."""

SCORE = 0.01
"""By how much scores may differ."""

PROBABILITY = 0.05
"""By how much probabilities may differ."""


def answers(
    method: Method, video: Video, expressions: Sequence[Expression] | None = None
) -> list[FramePrediction]:
    """Return all of a method's predictions of a clip, each checked and copied."""
    return [
        _kept(p) for p in checked(method, video, video.expressions if expressions is None else expressions)
    ]


def begun(method: Method, video: Video, frames: int) -> None:
    """Let a method answer the first frames of a clip, and break off, as a failing disk or Ctrl-C does."""
    with contextlib.closing(_closable(method.segment(video, video.expressions))) as predictions:
        for _ in islice(predictions, frames):
            pass


def raw_answers(method: Method, video: Video) -> list[object]:
    """Return what a method yields, whatever it is; no more than one frame too many."""
    with contextlib.closing(_closable(method.segment(video, video.expressions))) as predictions:
        return [
            _kept(p) if isinstance(p, FramePrediction) else p for p in islice(predictions, len(video) + 1)
        ]


def compare(
    what: str,
    one: Sequence[FramePrediction],
    other: Sequence[FramePrediction],
    *,
    rows: Sequence[int] | None = None,
) -> None:
    """Raise unless two answers are the same for all frames that both have.

    Args:
        what: How a sentence about the difference begins, e.g. ``"Video a"``.
        one: Answers.
        other: Answers to be held against them.
        rows: Which expression of ``one`` each expression of ``other`` is; None: the same ones.

    Raises:
        Breach: They differ by more than rounding.
    """
    for a, b in zip(one, other, strict=False):
        chosen = list(range(len(a.masks)) if rows is None else rows)
        difference = _difference(a, b, chosen)
        if difference:
            raise Breach(f"{what}, frame {a.frame}: {difference}.")


def _difference(a: FramePrediction, b: FramePrediction, rows: list[int]) -> str:
    pixels = (a.masks[rows] != b.masks).sum(axis=(1, 2))
    k, size = int(pixels.argmax()), a.masks[0].size
    if pixels[k] > max(1, MASK_SHARE * size):
        return f"the mask of expression {k} differs in {pixels[k]} of {size} pixels"
    off = np.abs(a.scores[rows].astype(float) - b.scores.astype(float)).max()
    if off > SCORE:
        return f"the scores differ by {off:.3g}"
    if (a.probabilities is None) != (b.probabilities is None):
        return "there are probabilities in one answer only"
    if a.probabilities is not None and b.probabilities is not None:
        # A few pixels on an edge may differ by more.
        away = (
            np.abs(a.probabilities[rows].astype(np.float32) - b.probabilities.astype(np.float32))
            > PROBABILITY
        )
        if away.mean() > MASK_SHARE:
            return f"the probabilities of {away.mean():.1%} of the pixels differ by more than {PROBABILITY}"
    return ""


def _kept(p: FramePrediction) -> FramePrediction:
    """Return a copy, since a method may yield the same arrays again with other values in them."""
    copies: dict[str, Any] = {
        name: value.copy()
        for name in ("masks", "scores", "probabilities")
        if isinstance(value := getattr(p, name), np.ndarray)
    }
    return replace(p, **copies)


def _closable(predictions: Iterator[FramePrediction]) -> Generator[FramePrediction, None, None]:
    # A generator in any case, so that it can be closed.
    yield from predictions
