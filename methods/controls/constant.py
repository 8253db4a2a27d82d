"""Controls that look at no frame: the truth, nothing, everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.options import parse_options
from refseg.bench.types import (
    BoolArray,
    Dataset,
    Expression,
    FramePrediction,
    Method,
    MethodInfo,
    MethodRequest,
    Video,
)

if TYPE_CHECKING:
    from torch import nn

REVISION = "1"


@dataclass(frozen=True)
class NoOptions:
    """These controls have none."""


class Constant:
    """Gives every pixel of every frame the same answer (``empty``: none, ``full``: all)."""

    def __init__(self, request: MethodRequest, *, value: bool) -> None:
        parse_options(NoOptions, request.options, owner=f"method {request.name}")
        self.info = MethodInfo(request.name, REVISION, threshold=0.5)
        self._value = value

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield the same masks for every frame; no frame is read."""
        masks = np.full((len(expressions), *video.size), self._value)
        for frame in range(len(video)):
            yield certain(frame, masks)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return nothing: there is no network."""
        return {}


@dataclass(frozen=True)
class OracleOptions:
    """Options of ``--set``.

    Attributes:
        frames_late: Answer with the truth of so many frames before: near misses that are the same on every computer.
    """

    frames_late: int = 0


class Oracle:
    """Answers with the ground truth; see :class:`OracleOptions` for ``--set``.

    Raises:
        InputError: ``frames_late`` is negative.
    """

    def __init__(self, request: MethodRequest) -> None:
        options = parse_options(OracleOptions, request.options, owner=f"method {request.name}")
        self._late = options.frames_late
        if self._late < 0:
            raise InputError(f"frames_late={self._late} would know the future; give 0 or more.")
        self.info = MethodInfo(
            request.name,
            REVISION,
            online=False,
            config=asdict(options),
            needs="a split whose labels are public",
            threshold=0.5,
            uses_truth=True,
        )
        self._dataset: Dataset | None = None

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset whose truth is answered with."""
        self._dataset = dataset

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield the truth.

        Raises:
            InputError: The split's labels are hidden.
        """
        assert self._dataset is not None, "bind comes first"
        truths = []
        for expression in expressions:
            truth = self._dataset.ground_truth(video.id, expression.id)
            if truth is None:
                raise InputError(
                    f"The labels of {self._dataset.info.name} {self._dataset.info.split} are hidden, so the "
                    f"oracle has no answer; choose another --split."
                )
            truths.append(truth.masks)
        for frame in range(len(video)):
            shown = max(frame - self._late, 0)
            yield certain(frame, np.stack([t[shown] for t in truths]).astype(bool))

    def modules(self) -> Mapping[str, nn.Module]:
        """Return nothing: there is no network."""
        return {}


def certain(frame: int, masks: BoolArray) -> FramePrediction:
    """Return a prediction that is sure of (K, H, W) masks: probabilities 0 and 1, scores 1."""
    return FramePrediction(frame, masks, np.ones(len(masks), np.float32), masks.astype(np.float16))


def _empty(request: MethodRequest) -> Method:
    return Constant(request, value=False)


def _full(request: MethodRequest) -> Method:
    return Constant(request, value=True)


CONSTANTS: Mapping[str, Callable[[MethodRequest], Method]] = {
    "oracle": Oracle,
    "empty": _empty,
    "full": _full,
}
