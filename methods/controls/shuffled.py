"""Controls that break a method's input: another object's sentence, or the frames in random order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.options import parse_options, split_prefix
from refseg.bench.types import (
    BoolArray,
    Dataset,
    Expression,
    FramePrediction,
    ImageArray,
    Method,
    MethodInfo,
    MethodRequest,
    Video,
)

if TYPE_CHECKING:
    from torch import nn

REVISION = "1"
MOST_BYTES = 4 * 2**30
"""What ``shuffled_frames`` may hold of one video's predictions."""


@dataclass(frozen=True)
class ShuffleOptions:
    """Options of both controls; ``source.KEY=VALUE`` goes to the source.

    Attributes:
        source: Registered name of the method whose input is broken.
        seed: Another seed gives another order.
    """

    source: str = "refsam_tiny"
    seed: int = 0


class _Wrapped:
    """Builds the source and tells of it as its own."""

    def __init__(self, request: MethodRequest, *, online: bool) -> None:
        mine, theirs = split_prefix(request.options, "source.")
        self.options = parse_options(ShuffleOptions, mine, owner=f"method {request.name}")
        self.source = registry.build_method(replace(request, name=self.options.source, options=theirs))
        inner = self.source.info
        if inner.uses_truth:
            raise InputError(
                f"{inner.name} answers with the truth whatever it is shown; give {request.name} another "
                "source."
            )
        self.info = MethodInfo(
            request.name,
            f"{REVISION}/{inner.name}/{inner.revision}",
            online=online and inner.online,
            needs=inner.needs,
            config={**asdict(self.options), "source_config": dict(inner.config)},
            weights=dict(inner.weights),
            threshold=inner.threshold,
        )

    def bind(self, dataset: Dataset) -> None:
        """Hand the dataset on to the source."""
        bind = getattr(self.source, "bind", None)
        if bind is not None:
            bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the source's networks."""
        return self.source.modules()


class ShuffledSentences(_Wrapped):
    """A method that is told, for every expression, a sentence about another object of the same video.

    Sentences are handed round between the objects of a video so that each expression gets the text of one
    that refers to a different set of objects. Where a video has no such expression (all name the same
    objects, or labels are hidden), the text comes from the next video of the dataset that has a text of its
    own.
    """

    def __init__(self, request: MethodRequest) -> None:
        super().__init__(request, online=True)
        self._dataset: Dataset | None = None

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset, for texts of other videos."""
        super().bind(dataset)
        self._dataset = dataset

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield what the source says to the wrong sentences."""
        # All of the video's expressions take part, so that a resumed run hands out the same texts.
        texts = self._texts(video)
        yield from self.source.segment(video, [replace(e, text=texts[e.id]) for e in expressions])

    def _texts(self, video: Video) -> dict[str, str]:
        random = _generator(self.options.seed, video.id)
        texts = handed_round(video.expressions, random)
        for expression in video.expressions:
            if expression.id not in texts:
                texts[expression.id] = self._text_from_elsewhere(video, random)
        return texts

    def _text_from_elsewhere(self, video: Video, random: np.random.Generator) -> str:
        assert self._dataset is not None, "bind comes first"
        own = {e.text for e in video.expressions}
        videos = self._dataset.videos()
        here = next(i for i, v in enumerate(videos) if v.id == video.id)
        for step in range(1, len(videos)):
            other = videos[(here + step) % len(videos)]
            texts = [e.text for e in other.expressions if e.text not in own]
            if texts:
                return texts[int(random.integers(len(texts)))]
        raise InputError(f"No sentence of {self._dataset.info.name} differs from those of video {video.id}.")


class ShuffledFrames(_Wrapped):
    """A method that sees the frames of every video in a random order; its masks are put back in their places.

    The source's predictions of a video are held in memory until its last frame: a bit a pixel and, where it
    gives probabilities, two bytes, for every frame and expression. Videos that need more than ``MOST_BYTES``
    are refused.
    """

    def __init__(self, request: MethodRequest) -> None:
        super().__init__(request, online=False)

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield, in the video's own order, what the source said of each frame."""
        _check_memory(video, len(expressions))
        order = _generator(self.options.seed, video.id).permutation(len(video))

        def read(i: int) -> ImageArray:
            return video.read(int(order[i]))

        shown = replace(video, frame_ids=tuple(video.frame_ids[i] for i in order), read=read)
        held: dict[int, tuple[NDArray[np.uint8], FramePrediction]] = {}
        shape = (len(expressions), *video.size)
        for prediction in self.source.segment(shown, expressions):
            bits = np.packbits(prediction.masks)
            held[int(order[prediction.frame])] = (bits, replace(prediction, masks=_NOTHING))
        for frame in range(len(video)):
            bits, prediction = held.pop(frame)
            masks = np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)
            yield replace(prediction, frame=frame, masks=masks)


def handed_round(expressions: Sequence[Expression], random: np.random.Generator) -> dict[str, str]:
    """Return a text for each expression, taken from one that refers to other objects.

    Expressions are put in a circle, those of the same objects side by side, and every text moves on by the
    size of the largest group; where that group is over half, the rest is drawn. Expressions that nothing fits
    are left out.
    """
    groups: dict[frozenset[str], list[Expression]] = {}
    for i in random.permutation(len(expressions)):
        groups.setdefault(frozenset(expressions[i].object_ids), []).append(expressions[i])
    circle = [e for group in groups.values() for e in group]
    step = max(map(len, groups.values()), default=0)
    texts: dict[str, str] = {}
    for i, expression in enumerate(circle):
        others = [e for e in circle if set(e.object_ids) != set(expression.object_ids)]
        giver = circle[(i + step) % len(circle)]
        if others and giver not in others:
            giver = others[int(random.integers(len(others)))]
        if others:
            texts[expression.id] = giver.text
    return texts


_NOTHING: BoolArray = np.zeros((0, 0, 0), bool)


def _generator(seed: int, video_id: str) -> np.random.Generator:
    """Return random numbers that depend on the seed and the video only, not on the order of work."""
    digest = hashlib.sha256(f"{seed}/{video_id}".encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _check_memory(video: Video, expressions: int) -> None:
    need = len(video) * expressions * video.size[0] * video.size[1] * 17 // 8
    if need > MOST_BYTES:
        raise InputError(
            f"Video {video.id} needs {need / 2**30:.1f} GiB for its frames to be put back in order; at most "
            f"{MOST_BYTES / 2**30:.0f} GiB are held."
        )


SHUFFLED: Mapping[str, Callable[[MethodRequest], Method]] = {
    "shuffled_sentences": ShuffledSentences,
    "shuffled_frames": ShuffledFrames,
}
