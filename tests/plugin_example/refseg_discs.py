"""A dataset and a method of a third party: bright and dark discs, told apart by a threshold on the grey value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import unknown_name
from refseg.bench.options import parse_options
from refseg.bench.types import (
    DatasetInfo,
    DatasetRequest,
    Expression,
    FramePrediction,
    GroundTruth,
    MethodInfo,
    MethodRequest,
    Video,
)

SIZE = (40, 60)
FRAMES = 4
GREY = {"bright": 230, "dark": 20}


def disc(video: int, word: str, frame: int) -> NDArray[np.bool_]:
    """Return one disc's pixels; it moves by two columns a frame."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    row, column = (12, 10 + video) if word == "bright" else (28, 40 - video)
    return (rows - row) ** 2 + (columns - column - 2 * frame) ** 2 < 36


class Discs:
    """Three videos with a bright and a dark disc each."""

    def __init__(self, split: str) -> None:
        self.info = DatasetInfo(
            "discs", "1", split, ("refshapes/per_expression",), 3, 6, fingerprint="discs-1"
        )

    def videos(self) -> Sequence[Video]:
        """Return the videos."""
        return [self._video(i) for i in range(3)]

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth:
        """Return a disc's pixels."""
        return GroundTruth(np.stack([disc(int(video_id), expression_id, t) for t in range(FRAMES)]))

    def _video(self, index: int) -> Video:
        def read(i: int) -> NDArray[np.uint8]:
            frame = np.full((*SIZE, 3), 128, np.uint8)
            for word, grey in GREY.items():
                frame[disc(index, word, i)] = grey
            return frame

        said = tuple(Expression(word, f"the {word} disc", (word,)) for word in GREY)
        return Video(str(index), tuple(f"{t:05d}" for t in range(FRAMES)), SIZE, said, read)


@dataclass(frozen=True)
class Options:
    """Options of the method.

    Attributes:
        margin: How far from mid-grey a pixel must be.
    """

    margin: int = 50


class Threshold:
    """Marks the pixels that are much brighter, or much darker, than mid-grey."""

    def __init__(self, request: MethodRequest) -> None:
        self._options = parse_options(Options, request.options, owner=f"method {request.name}")
        self.info = MethodInfo(request.name, "1", config=asdict(self._options))

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield the masks frame by frame."""
        for i in range(len(video)):
            grey = video.read(i).mean(axis=2) - 128
            signs = [1 if "bright" in e.text else -1 for e in expressions]
            masks = np.stack([sign * grey > self._options.margin for sign in signs])
            yield FramePrediction(i, masks, np.ones(len(masks), np.float32))

    def modules(self) -> Mapping[str, object]:
        """Return nothing: there is no network."""
        return {}


def build_dataset(request: DatasetRequest) -> Discs:
    """Open the only split."""
    if request.split not in (None, "val"):
        raise unknown_name("split of discs", str(request.split), ["val"])
    return Discs("val")


def build_method(request: MethodRequest) -> Threshold:
    """Build the method."""
    return Threshold(request)
