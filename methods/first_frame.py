"""The first stages of detect-then-follow baselines: boxes of frame 0, and SAM's masks in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from refseg.bench.options import parse_options
from refseg.bench.stages import stage
from refseg.bench.types import BoolArray, Dataset, Expression, MethodRequest, Video
from refseg.methods.boxes import BoxPrompt, masks_in_boxes
from refseg.methods.checkpoints import Wanted, find_wanted, missing
from refseg.methods.grounding_dino.detector import DetectorOptions, GroundingDino
from refseg.methods.grounding_dino.load import detector_wanted, empty_detector, find_detector, load_detector
from refseg.methods.oracle import OracleDetector, Truth
from refseg.methods.sam.fast_encoder import EncoderOptions
from refseg.methods.sam.promptable import SamFeatures, load_promptable
from refseg.methods.sam.weights import SAM_TINY, find_sam, sam_wanted, weights_sha256
from refseg.methods.stages import Detection, Detector


@dataclass(frozen=True)
class FirstFrameOptions(DetectorOptions, EncoderOptions):
    """Options of ``--set`` that detect-then-follow methods share, beside the detector's.

    Attributes:
        detector: Grounding DINO's size, or the box of the truth.
        reference: SAM's mask in that box, or the mask of the truth; then nothing is detected.
        merge: Expressions of one annotator compete for pixels, as the objects of a video do in the releases; or none
            do, since two sentences may mean one object.
        sam: SAM's size; ``tiny`` is shipped.
        sam_checkpoint: SAM's weights.
        detector_checkpoint: The detector's: an official ``.pth`` file, a folder or a hub id.
        tokenizer: Folder of BERT's tokenizer; None: the detector's own.
    """

    detector: Literal["gdino_swint", "gdino_swinb", "gdino_tiny", "oracle"] = "gdino_swint"
    reference: Literal["sam", "oracle"] = "sam"
    merge: Literal["none", "annotator"] = "none"
    sam: Literal["tiny", "vit_b", "vit_l", "vit_h"] = "vit_h"
    sam_checkpoint: str | None = None
    detector_checkpoint: str | None = None
    tokenizer: str | None = None

    @property
    def uses_truth(self) -> bool:
        """True where a stage is an oracle."""
        return "oracle" in (self.detector, self.reference)

    @property
    def detects(self) -> bool:
        """True where a Grounding DINO is needed."""
        return self.detector != "oracle" and self.reference != "oracle"

    def config(self) -> dict[str, Any]:
        """Return the options that change predictions; files have their hashes beside them."""
        files = ("sam_checkpoint", "detector_checkpoint", "tokenizer")
        return {k: v for k, v in asdict(self).items() if k not in files}

    def competing(self, expressions: Sequence[Expression], rows: Sequence[int]) -> list[list[int]]:
        """Return those of the expressions' rows that compete for pixels together, by ``merge``; the others alone."""
        groups: dict[tuple[str, int | None], list[int]] = {}
        for k in rows:
            annotator = expressions[k].annotator
            together = self.merge == "annotator" and annotator is not None
            key = ("annotator", annotator) if together else ("row", k)
            groups.setdefault(key, []).append(k)
        return list(groups.values())


Options = TypeVar("Options", bound=FirstFrameOptions)


def first_frame_options(schema: type[Options], request: MethodRequest) -> Options:
    """Read a method's options; a method whose name ends in ``_tiny`` has the tiny stages.

    Raises:
        InputError: One is unknown, or has a value that it cannot have.
    """
    tiny = {"detector": "gdino_tiny", "sam": "tiny"} if request.name.endswith("_tiny") else {}
    return parse_options(schema, {**tiny, **request.options}, owner=f"method {request.name}")


@dataclass(frozen=True)
class FirstMask:
    """One expression in frame 0.

    Attributes:
        mask: (H, W), empty where nothing was found.
        probability: (H, W) float16.
        score: SAM's predicted IoU, 1 for the truth, 0 where nothing was found.
        detection: The box that SAM was prompted with, or None.
    """

    mask: BoolArray
    probability: NDArray[np.float16]
    score: float
    detection: Detection | None = None

    @property
    def extras(self) -> dict[str, Any]:
        """What is kept of the detection."""
        return {} if self.detection is None else self.detection.extras


class FirstFrame:
    """Detector and SAM, or oracles in their place, with the weights that they need.

    Args:
        request: The method's.
        options: Its options.
        box_prompt: How SAM is asked for the mask in a box.
        also: Checkpoints of later stages; they are only looked for here, so that one error names all that is missing.

    Raises:
        InputError: Checkpoints are missing (all are named) or do not fit.
    """

    def __init__(
        self,
        request: MethodRequest,
        options: FirstFrameOptions,
        *,
        box_prompt: BoxPrompt,
        also: Sequence[Wanted] = (),
    ) -> None:
        self._options, self._box_prompt = options, box_prompt
        self._truth = Truth(request.name)
        self.detector: Detector | None = None
        self.weights: dict[str, str] = {}
        empty = request.device == "meta"
        path = SAM_TINY
        if not empty:
            path = self._found(also)
            self.weights[path.name] = weights_sha256(path)
        self.sam = load_promptable(
            options.sam, path, device=request.device, dtype=request.dtype, options=options
        )
        if options.detects:
            size = options.detector.removeprefix("gdino_")
            if empty:
                self.detector = empty_detector(size, options)
            else:
                self.detector, hashes = load_detector(
                    size, options.detector_checkpoint, options.tokenizer, options, device=request.device
                )
                self.weights |= hashes
        elif options.detector == "oracle":
            self.detector = OracleDetector(self._truth)

    def _found(self, also: Sequence[Wanted]) -> Path:
        """Return SAM's weights; where they or other stages' are nowhere, all are named in one error."""
        options = self._options
        lacking = [wanted for wanted in also if find_wanted(wanted) is None]
        path = find_sam(options.sam, options.sam_checkpoint)
        if path is not None and not lacking:
            return path
        if path is None:
            lacking = [sam_wanted(options.sam, options.sam_checkpoint), *lacking]
        size = options.detector.removeprefix("gdino_")
        if options.detects and find_detector(size, options.detector_checkpoint) is None:
            lacking.append(detector_wanted(size, options.detector_checkpoint))
        raise missing(lacking)

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset, for the oracles."""
        self._truth.bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks, all of them frozen."""
        found: dict[str, nn.Module] = {"sam": self.sam.sam}
        if isinstance(self.detector, GroundingDino):
            found["detector"] = self.detector.model
        return found

    def text_encoder(self) -> nn.Module | None:
        """Return the detector's BERT, or None without a detector."""
        if not isinstance(self.detector, GroundingDino):
            return None
        text = self.detector.model.get_submodule("model.text_backbone")
        assert isinstance(text, nn.Module)
        return text

    def look(
        self, video: Video, expressions: Sequence[Expression], features: SamFeatures | None = None
    ) -> list[FirstMask]:
        """Return a mask of frame 0 per expression.

        Args:
            video: The video.
            expressions: K expressions.
            features: Frame 0's; None: it is encoded where a box was found.
        """
        if self.detector is None or self._options.reference == "oracle":
            masks = [self._truth.mask(video, 0, e) for e in expressions]
            return [FirstMask(m, m.astype(np.float16), float(m.any())) for m in masks]
        nothing = np.zeros(video.size, bool)
        first = [FirstMask(nothing, nothing.astype(np.float16), 0.0) for _ in expressions]
        with stage("detector"):
            detections = self.detector.detect(video, 0, expressions)
        found = {k: d for k, d in enumerate(detections) if d is not None}
        if found:
            features = features or self.sam.encode(video.read(0))
            boxes = np.stack([d.box for d in found.values()])
            inside = masks_in_boxes(self.sam, features, boxes, self._box_prompt)
            for i, (k, detection) in enumerate(found.items()):
                score = float(inside.scores[i])
                first[k] = FirstMask(inside.masks[i], inside.probabilities[i], score, detection)
        return first
