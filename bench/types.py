"""The harness's types, in the field's words.

A method is one generator: it receives all expressions of a video at once and yields frame by frame, so that a
frame is encoded once for all expressions, memory does not grow with the video, and an online method cannot see
the future. An image is a video of one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from refseg.bench.errors import DataError, Fault

if TYPE_CHECKING:
    from torch import nn

OnMissing = Literal["error", "empty"]
"""What an expression without a prediction is when it is scored."""

BoolArray = NDArray[np.bool_]
ImageArray = NDArray[np.uint8]


@dataclass(frozen=True)
class Expression:
    """One referring expression of a video.

    Attributes:
        id: Identifier, unique in its video. It is not an object id.
        text: The sentence as the dataset gives it.
        object_ids: Objects that it refers to: none (no target), one or several. Empty where labels are hidden too.
        annotator: Index of the annotator, where expressions of several annotators are scored apart (Ref-DAVIS17).
        attributes: Facts about the sentence for break-downs, e.g. ``{"type": "motion"}``. JSON values.
    """

    id: str
    text: str
    object_ids: tuple[str, ...] = ()
    annotator: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Video:
    """A video (or an image: one frame) with its expressions; frames are decoded on demand.

    Attributes:
        id: Identifier, unique in its dataset and split.
        frame_ids: Names of the frames in temporal order (file stems).
        size: (H, W) in pixels.
        expressions: All expressions, in the dataset's order.
        read: ``read(i)`` returns frame ``i`` as (H, W, 3) RGB uint8.
        fingerprint: Hash of the frames' files where there are such; part of its predictions' keys, so that mending
            one video costs no other its predictions.
    """

    id: str
    frame_ids: tuple[str, ...]
    size: tuple[int, int]
    expressions: tuple[Expression, ...]
    read: Callable[[int], ImageArray] = field(repr=False, compare=False)
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.frame_ids)


@dataclass(frozen=True)
class GroundTruth:
    """The truth of one expression.

    Attributes:
        masks: (T, H, W) bool.
        void: (T, H, W) bool, pixels that do not count, or None (no void pixels).
        layers: (T, H, W) uint8, how many of the expression's annotations hold a pixel, where a protocol counts
            those that overlap (ReVOS); None: as the masks say.
        foreground: (T, H, W) uint8, how many of all annotated objects of the video hold a pixel (ReVOS), or None.
    """

    masks: BoolArray
    void: BoolArray | None = None
    layers: NDArray[np.uint8] | None = None
    foreground: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class FramePrediction:
    """What a method says about one frame for the K expressions it was given, in their order.

    Attributes:
        frame: Index of the frame in the video.
        masks: (K, H, W) bool at the video's size.
        scores: (K,) float32, the method's own confidence.
        probabilities: (K, H, W) float16 or None; needed where objects are merged by argmax (Ref-DAVIS17).
        extras: What else it found in this frame, K objects of JSON values, or None; kept with the masks. A
            ``"box"``, a list of x0, y0, x1, y1 in pixels, is drawn in overlays.
    """

    frame: int
    masks: BoolArray
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float16] | None = None
    extras: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class MethodInfo:
    """What a method is.

    Attributes:
        name: Registry name.
        revision: Changes whenever its predictions may change; part of every result's key.
        online: True where frame t's masks depend on frames up to t only.
        needs: What must be there, in words (checkpoints, another run), for messages.
        config: All options in force, JSON values; part of every result's key.
        weights: File name -> SHA-256 of the weights in use.
        threshold: Cut on the probability at which masks are made; None where the method has none.
        uses_truth: True for controls that look at the ground truth.
    """

    name: str
    revision: str
    online: bool = True
    needs: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None
    uses_truth: bool = False


class Method(Protocol):
    """A method under test. Built by a factory ``build(request: MethodRequest) -> Method``.

    Optional hooks: ``bind(dataset)`` is called once before the first video (controls read the truth there);
    ``segment_images(videos)`` may take several one-frame videos at once and yields, per video in order, one
    FramePrediction for all of its expressions.
    """

    info: MethodInfo

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield one prediction per frame, in order, for all expressions at once."""
        ...

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks by name, for parameter counts; empty where there is none."""
        ...


@dataclass(frozen=True)
class MethodRequest:
    """What a method's factory gets.

    Attributes:
        name: The registered name that was asked for (variants of a method share a factory).
        options: ``--set KEY=VALUE`` pairs as strings; read them with :func:`refseg.bench.options.parse_options`.
        device: torch device string, e.g. ``"cpu"``.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    """

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset split is.

    Attributes:
        name: Registry name.
        version: Version of the data; part of every result.
        split: The split in use.
        protocols: Names of the protocols it is scored with, the default one first.
        expected_videos: Published number of videos of the split, or None.
        expected_expressions: Published number of expressions of the split, or None.
        fingerprint: Hash of what was read (metadata); part of every result's key.
        expected_objects: Published number of objects of the split (those of one video count once), or None.
        expected_frames: Published number of frames of the split, or None.
    """

    name: str
    version: str
    split: str
    protocols: tuple[str, ...]
    expected_videos: int | None = None
    expected_expressions: int | None = None
    fingerprint: str = ""
    expected_objects: int | None = None
    expected_frames: int | None = None


class Dataset(Protocol):
    """A split of a dataset. Built by a factory ``build(request: DatasetRequest) -> Dataset``; opening is lazy."""

    info: DatasetInfo

    def videos(self) -> Sequence[Video]:
        """Return the videos in the dataset's order; no frame is read."""
        ...

    def ground_truth(self, video_id: str, expression_id: str) -> GroundTruth | None:
        """Return the truth of one expression, or None where labels are hidden."""
        ...


@runtime_checkable
class LabelledDataset(Protocol):
    """A dataset whose truth is one label map a frame (DAVIS): what evaluators of merged objects read."""

    def label_maps(self, video_id: str) -> NDArray[np.uint8]:
        """Return (T, H, W) uint8 object ids of all frames, 0 background, 255 void."""
        ...


@runtime_checkable
class CheckableDataset(Protocol):
    """A dataset that can say what is wrong with the files of one video, for ``bench data check``.

    Without this the check reads frames and truth through :class:`Dataset` and stops at a video's first fault.
    """

    def video_faults(self, video_id: str, *, quick: bool) -> Iterator[Fault]:
        """Yield every fault of a video's files; ``quick`` looks at names, sizes and headers and decodes nothing."""
        ...


@runtime_checkable
class FramewiseDataset(Protocol):
    """A dataset whose truth is one label map a frame, which can be read alone and kept from run to run.

    Optional: scoring then holds no whole video, and reads the label maps once for all later runs.
    """

    def label_map(self, video_id: str, frame: int) -> NDArray[np.uint8]:
        """Return (H, W) uint8 object ids of one frame, 0 background, 255 void."""
        ...

    def label_ids(self, video_id: str, expression_id: str) -> tuple[int, ...]:
        """Return the ids of the label maps that are an expression's truth together."""
        ...

    def truth_fingerprint(self, video_id: str) -> str:
        """Return what changes whenever a label map of the video does."""
        ...


def framewise(dataset: Dataset) -> FramewiseDataset | None:
    """Return the dataset's truth frame by frame; None where it has none.

    A view of a dataset, or one whose labels may be hidden, says by an attribute ``framewise`` which it is, or None.
    """
    behind = getattr(dataset, "framewise", dataset)
    return behind if isinstance(behind, FramewiseDataset) else None


@dataclass(frozen=True)
class DatasetRequest:
    """What a dataset's factory gets.

    Attributes:
        name: The registered name that was asked for (several may share a factory).
        split: None: the default one.
        root: Its folder; None: not set.
        options: ``--set dataset.KEY=VALUE`` pairs as strings.
        on_fault: Takes faults of the metadata when a copy is checked, and what is wrong is left out; None: the
            first one is raised. Report through :meth:`fault`.
    """

    name: str
    split: str | None = None
    root: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    on_fault: Callable[[Fault], None] | None = None

    def fault(self, fault: Fault) -> None:
        """Raise a fault as DataError, or hand it on where faults are collected."""
        if self.on_fault is None:
            raise DataError(fault)
        self.on_fault(fault)


class Predictions(Protocol):
    """Saved predictions of one run or folder, as protocols read them.

    Optional hook: ``scores(video, expression)`` returns the method's own (T,) confidence, or None where the
    expression is missing; average precision needs it, and files of masks do not have it.
    """

    def masks(self, video: Video, expression: Expression) -> BoolArray | None:
        """Return the (T, H, W) masks of one expression, each thresholded alone; None where it is missing."""
        ...

    def label_maps(self, video: Video, annotator: int) -> NDArray[np.uint8] | None:
        """Return (T, H, W) uint8 with the objects of one annotator merged; None where they are missing."""
        ...


@dataclass(frozen=True)
class ScoredItem:
    """Scores of one item (an expression, or an object for merged protocols), 0..1; NaN is never a score."""

    video: str
    expression: str
    scores: Mapping[str, float]
    frames: int
    extra: Mapping[str, Any] = field(default_factory=dict)


Estimator = Callable[[NDArray[np.float64]], Mapping[str, NDArray[np.float64]]]
"""Metrics of weighted items: (R, n) weights, one row a weighting of the n items, to (R,) percent of each metric;
NaN where a metric does not exist under a weighting."""


class ScoringProtocol(Protocol):
    """Turns predictions and truth into scores. Its name is part of every result.

    Optional hook: ``estimator(items) -> Estimator`` gives ``aggregate`` for many weightings at once, which makes
    intervals quick; without it they cost many calls of ``aggregate``, but where its metrics are plain means.
    Optional attribute: ``needs``, what it looks at beside each expression's own masks: ``"label_maps"`` (objects
    merged), ``"scores"`` (the method's confidence); a layout that does not hold it is told.
    """

    name: str
    metrics: tuple[str, ...]

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score one video; the predictions of its expressions are complete here (the caller applies --on-missing)."""
        ...

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the metrics in percent, the headline first."""
        ...


@dataclass(frozen=True)
class TrainRequest:
    """What a training recipe gets from ``bench train``.

    Attributes:
        method: Registered name of the method to train, e.g. ``"refsam_tiny"``.
        recipe: Registered name of the recipe.
        options: ``--set KEY=VALUE`` pairs as strings.
        out: Folder for checkpoint, log, curve and weights.
        resume: Go on from the checkpoint in ``out``.
        device: torch device string.
    """

    method: str
    recipe: str
    options: Mapping[str, str] = field(default_factory=dict)
    out: str = "trainings"
    resume: bool = False
    device: str = "cpu"
