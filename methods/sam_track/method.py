"""SAM-Track with Grounding DINO as a method: sentence -> box -> SAM's mask of frame 0 -> DeAOT through the video.

New objects, which SAM-Track looks for every few frames, are no part of it: a sentence names its object once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from refseg.bench.stages import stage
from refseg.bench.types import Dataset, Expression, FramePrediction, MethodInfo, MethodRequest, Video
from refseg.methods.checkpoints import Wanted
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.deaot.engine import MemorySettings
from refseg.methods.deaot.tracker import DeAotTracker, FrameEncoder
from refseg.methods.deaot.weights import PUBLISHED, load_deaot
from refseg.methods.first_frame import FirstFrame, FirstFrameOptions, FirstMask, first_frame_options
from refseg.methods.sam.fast_encoder import REFERENCE_OPTIONS

REVISION = "2"
OPTION = "tracker_checkpoint"


@dataclass(frozen=True)
class SamTrackOptions(FirstFrameOptions):
    """Options of ``--set``.

    Attributes:
        tracker: Which DeAOT or AOT; ``deaot_tiny`` is shipped.
        tracker_checkpoint: Its weights.
        long_term_gap: Frames between two that enter its long-term memory; as it is, the reference alone is in it.
        long_term_frames: Frames that this memory holds at most.
        short_term_skip: How many frames back its short-term memory lies.
    """

    tracker: Literal[
        "r50_deaotl",
        "swinb_deaotl",
        "deaott",
        "deaots",
        "deaotb",
        "deaotl",
        "r50_aotl",
        "swinb_aotl",
        "deaot_tiny",
    ] = "r50_deaotl"
    tracker_checkpoint: str | None = None
    long_term_gap: int = 9999
    long_term_frames: int = 9999
    short_term_skip: int = 1


def sam_track_options(request: MethodRequest) -> SamTrackOptions:
    """Read the options; a method whose name ends in ``_tiny`` has the stages that are shipped.

    Raises:
        InputError: One is unknown, or has a value that it cannot have.
    """
    shipped = {"tracker": "deaot_tiny"} if request.name.endswith("_tiny") else {}
    return first_frame_options(SamTrackOptions, replace(request, options={**shipped, **request.options}))


class SamTrackGdino:
    """``sam_track_gdino`` and ``sam_track_gdino_tiny``; see :class:`SamTrackOptions` for ``--set``.

    Raises:
        InputError: An option is wrong, or checkpoints are missing.
    """

    reference_options = REFERENCE_OPTIONS
    once_per_video = ("detector", "sam")

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = sam_track_options(request)
        settings = MemorySettings(options.long_term_gap, options.long_term_frames, options.short_term_skip)
        wanted = _wanted(options.tracker, options.tracker_checkpoint)
        self._first = FirstFrame(request, options, box_prompt="twice", also=wanted)
        weights = dict(self._first.weights)
        if request.device == "meta":
            with torch.device("meta"):
                self._model = build_deaot(DEAOT_CONFIGS[options.tracker])
        else:
            self._model, hashes = load_deaot(options.tracker, options.tracker_checkpoint, option=OPTION)
            weights |= hashes
            self._model.to(request.device)
        self._model.eval().requires_grad_(False)
        self._tracker = partial(DeAotTracker, self._model, settings)
        self.info = MethodInfo(
            request.name,
            REVISION,
            needs="" if request.name.endswith("_tiny") else "checkpoints of SAM, Grounding DINO and DeAOT",
            config={k: v for k, v in options.config().items() if k != OPTION},
            weights=weights,
            uses_truth=options.uses_truth,
        )

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset, for the oracle stages."""
        self._first.bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks."""
        return {**self._first.modules(), "tracker": self._model}

    def text_encoder(self) -> nn.Module | None:
        """Return the network that reads sentences, for parameter counts."""
        return self._first.text_encoder()

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield a prediction per frame; an expression without a mask in frame 0 stays empty."""
        # Detector, SAM and trackers read the same frame, so it is kept.
        video = replace(video, read=lru_cache(maxsize=1)(video.read))
        first = self._first.look(video, expressions)
        found = [k for k, f in enumerate(first) if f.mask.any()]
        masks = np.stack([f.mask for f in first])
        probabilities = np.stack([f.probability for f in first])
        tracked, encode = [], FrameEncoder(self._model)
        for rows in self._options.competing(expressions, found):
            labels = label_map([first[k] for k in rows])
            for i, k in enumerate(rows):
                # What overlapped in frame 0 belongs to one of them, as the tracker sees it.
                masks[k] = labels == i + 1
                probabilities[k] = np.where(masks[k] | ~first[k].mask, probabilities[k], 0)
            # One that is covered by others wholly is none of the tracker's objects.
            rows = [k for k in rows if masks[k].any()]
            tracker = self._tracker(encode)
            with stage("decoder/tracker"):
                tracker.add_reference(video.read(0), label_map([first[k] for k in rows]))
            tracked.append((rows, tracker))
        scores = np.array([f.score for f in first], np.float32)
        yield FramePrediction(0, masks, scores, probabilities, [f.extras for f in first])
        for frame in range(1, len(video)):
            yield self._next(frame, video, tracked, masks.shape)

    def _next(
        self,
        frame: int,
        video: Video,
        tracked: Sequence[tuple[list[int], DeAotTracker]],
        shape: tuple[int, ...],
    ) -> FramePrediction:
        masks, probabilities = np.zeros(shape, bool), np.zeros(shape, np.float16)
        scores = np.zeros(shape[0], np.float32)
        for rows, tracker in tracked:
            image = video.read(frame)
            with stage("decoder/tracker"):
                soft = tracker.propagate(image).softmax(0).cpu().numpy()
                labels = soft.argmax(0).astype(np.uint8)
                tracker.update(labels)
            for i, k in enumerate(rows, 1):
                masks[k], probabilities[k] = labels == i, soft[i]
                scores[k] = soft[i][masks[k]].mean() if masks[k].any() else 0
        return FramePrediction(frame, masks, scores, probabilities)


def label_map(first: Sequence[FirstMask]) -> NDArray[np.uint8]:
    """Return (H, W) labels 1, 2, … of masks; where they overlap, the one of the highest probability has the pixel."""
    claims = np.stack([np.where(f.mask, f.probability, np.float16(0)) for f in first])
    labels: NDArray[np.uint8] = np.where(claims.max(0) > 0, claims.argmax(0) + 1, 0).astype(np.uint8)
    return labels


def _wanted(tracker: str, given: str | None) -> list[Wanted]:
    """Return the published checkpoint of a tracker; none for the one that is shipped."""
    if tracker not in PUBLISHED:
        return []
    published = PUBLISHED[tracker]
    return [
        Wanted(
            tracker,
            OPTION,
            given,
            published.file,
            f"https://drive.google.com/file/d/{published.drive_id}",
            f"SHA-256 {published.sha256}" if published.sha256 else "whose SHA-256 is not published",
            (f"{tracker}.safetensors", f"{tracker}.pth"),
        )
    ]
