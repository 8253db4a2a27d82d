"""Grounding DINO with SAM 2 as a method: sentence -> box in frame 0 -> SAM 2 through the video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from refseg.bench.options import parse_options
from refseg.bench.stages import stage
from refseg.bench.types import Dataset, Expression, FramePrediction, MethodInfo, MethodRequest, Video
from refseg.methods.checkpoints import missing
from refseg.methods.grounding_dino.detector import DetectorOptions, GroundingDino
from refseg.methods.grounding_dino.load import detector_wanted, empty_detector, find_detector, load_detector
from refseg.methods.oracle import OracleDetector, Truth
from refseg.methods.sam2.load import empty_sam2, find_sam2, load_sam2, sam2_wanted
from refseg.methods.sam2.video import Sam2Video
from refseg.methods.stages import Detector

REVISION = "1"


@dataclass(frozen=True)
class GdinoSam2Options(DetectorOptions):
    """Options of ``--set``, beside the detector's.

    Attributes:
        detector: Grounding DINO's size, or the box of the truth.
        reference: SAM 2 is prompted with the box, or with the mask of the truth; then nothing is detected.
        sam2: SAM 2.1's size.
        sam2_checkpoint: A folder in transformers' format, or a hub id.
        detector_checkpoint: The detector's: an official ``.pth`` file, a folder or a hub id.
        tokenizer: Folder of BERT's tokenizer; None: the detector's own.
    """

    detector: Literal["gdino_swint", "gdino_swinb", "oracle"] = "gdino_swint"
    reference: Literal["box", "oracle"] = "box"
    sam2: Literal["tiny", "small", "base_plus", "large"] = "large"
    sam2_checkpoint: str | None = None
    detector_checkpoint: str | None = None
    tokenizer: str | None = None

    @property
    def detects(self) -> bool:
        """True where a Grounding DINO is needed."""
        return self.detector != "oracle" and self.reference != "oracle"


class GdinoSam2:
    """``gdino_sam2``; see :class:`GdinoSam2Options` for ``--set``.

    Raises:
        InputError: An option is wrong, or checkpoints are missing (all are named).
    """

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = parse_options(
            GdinoSam2Options, request.options, owner=f"method {request.name}"
        )
        self._truth = Truth(request.name)
        weights: dict[str, str] = {}
        self._detector: Detector | None = None
        if request.device == "meta":
            self._model = empty_sam2(options.sam2)
        else:
            self._model, weights = load_sam2(self._found())
            self._model.to(device=request.device, dtype=getattr(torch, request.dtype))
        self._model.eval().requires_grad_(False)
        size = options.detector.removeprefix("gdino_")
        if options.detects and request.device == "meta":
            self._detector = empty_detector(size, options)
        elif options.detects:
            self._detector, hashes = load_detector(
                size, options.detector_checkpoint, options.tokenizer, options, device=request.device
            )
            weights |= hashes
        elif options.detector == "oracle":
            self._detector = OracleDetector(self._truth)
        files = ("sam2_checkpoint", "detector_checkpoint", "tokenizer")
        self.info = MethodInfo(
            request.name,
            REVISION,
            needs="checkpoints of SAM 2 and Grounding DINO",
            config={k: v for k, v in asdict(options).items() if k not in files},
            weights=weights,
            uses_truth=not options.detects,
        )

    def _found(self) -> Path:
        """Return SAM 2's folder; where it is nowhere, what else is missing is named in the same error."""
        options = self._options
        path = find_sam2(options.sam2, options.sam2_checkpoint)
        if path is not None:
            return path
        lacking = [sam2_wanted(options.sam2, options.sam2_checkpoint)]
        size = options.detector.removeprefix("gdino_")
        if options.detects and find_detector(size, options.detector_checkpoint) is None:
            lacking.append(detector_wanted(size, options.detector_checkpoint))
        raise missing(lacking)

    def bind(self, dataset: Dataset) -> None:
        """Take the dataset, for the oracle stages."""
        self._truth.bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks, all of them frozen."""
        found: dict[str, nn.Module] = {"sam2": self._model}
        if isinstance(self._detector, GroundingDino):
            found["detector"] = self._detector.model
        return found

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield a prediction per frame; an expression without a box in frame 0 stays empty."""
        # Detector and SAM 2 read the same frame, so it is kept.
        video = replace(video, read=lru_cache(maxsize=1)(video.read))
        count = len(expressions)
        found, prompts, extras = self._prompts(video, expressions)
        followed = Sam2Video(self._model, video.read(0), prompts) if found else None
        for frame in range(len(video)):
            masks = np.zeros((count, *video.size), bool)
            probabilities = np.zeros(masks.shape, np.float16)
            scores = np.zeros(count, np.float32)
            if followed is not None:
                logits, seen = followed.step(video.read(frame))
                masks[found] = (logits > 0).cpu().numpy()
                probabilities[found] = logits.sigmoid().cpu().numpy()
                scores[found] = seen.cpu().numpy()
            yield FramePrediction(frame, masks, scores, probabilities, extras if frame == 0 else None)

    def _prompts(
        self, video: Video, expressions: Sequence[Expression]
    ) -> tuple[list[int], list[Any], list[dict[str, Any]]]:
        """Return the rows that something was found for, their prompts, and every row's extras."""
        if self._detector is None or self._options.reference == "oracle":
            masks = [self._truth.mask(video, 0, e) for e in expressions]
            rows = [k for k, m in enumerate(masks) if m.any()]
            return rows, [masks[k] for k in rows], [{} for _ in expressions]
        with stage("detector"):
            detections = self._detector.detect(video, 0, expressions)
        rows = [k for k, d in enumerate(detections) if d is not None]
        return (
            rows,
            [d.box for d in detections if d is not None],
            [{} if d is None else d.extras for d in detections],
        )
