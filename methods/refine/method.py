"""Finer masks by SAM: the tight box of each mask prompts it (the paper's post-processing of FTVR, "FTVR + SAM")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from torch import nn

from refseg.bench import registry
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.options import parse_options, split_prefix
from refseg.bench.types import Dataset, Expression, FramePrediction, Method, MethodInfo, MethodRequest, Video
from refseg.methods.boxes import BoxPrompt, masks_in_boxes, tight_box
from refseg.methods.checkpoints import missing
from refseg.methods.sam.fast_encoder import REFERENCE_OPTIONS, EncoderOptions
from refseg.methods.sam.promptable import SamPromptable, load_promptable
from refseg.methods.sam.weights import SAM_TINY, find_sam, sam_wanted, weights_sha256

REVISION = "2"
FTVR = (
    'FTVR ("Fine-grained text-video fusion for referring video object segmentation", 2024) '
    "has no public code or masks"
)


@dataclass(frozen=True)
class RefineOptions(EncoderOptions):
    """Options of ``--set``; ``source.KEY=VALUE`` goes to the source.

    Attributes:
        source: Where the masks come from: a registered method's name, a folder, a zip, or a run. None: must be
            given, but for ``refine_tiny``, which refines ``refsam_tiny``.
        sam: SAM's size; None: ``vit_h``, or ``tiny`` for ``refine_tiny``.
        sam_checkpoint: SAM's weights.
        multimask: Ask SAM for three masks and take the one of the highest score, not for one.
    """

    source: str | None = None
    sam: Literal["tiny", "vit_b", "vit_l", "vit_h"] | None = None
    sam_checkpoint: str | None = None
    multimask: bool = False


class Refine:
    """``refine``, ``refine_tiny`` and ``ftvr_sam``; see :class:`RefineOptions` for ``--set``.

    Every frame and expression is refined alone, before anything is merged; an empty mask stays empty.

    Raises:
        InputError: The source is missing or unknown, or SAM's checkpoint is missing.
    """

    reference_options = REFERENCE_OPTIONS

    def __init__(self, request: MethodRequest) -> None:
        mine, theirs = split_prefix(request.options, "source.")
        self._options = options = parse_options(RefineOptions, mine, owner=f"method {request.name}")
        self.source = _source(request, options.source, theirs)
        size = options.sam or ("tiny" if request.name == "refine_tiny" else "vit_h")
        self._sam, weights = _sam(request, size, options)
        inner = self.source.info
        self.info = MethodInfo(
            request.name,
            f"{REVISION}/{inner.name}/{inner.revision}",
            online=inner.online,
            needs="masks to refine, and SAM's checkpoint",
            config={
                "source": inner.name,
                "sam": size,
                "multimask": options.multimask,
                "source_config": dict(inner.config),
            }
            | options.encoder_facts(),
            weights={**inner.weights, **weights},
            threshold=0.5,
            uses_truth=inner.uses_truth,
        )

    def bind(self, dataset: Dataset) -> None:
        """Hand the dataset on to the source."""
        bind = getattr(self.source, "bind", None)
        if bind is not None:
            bind(dataset)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return SAM, and the source's networks under ``source.NAME``."""
        theirs = {f"source.{name}": module for name, module in self.source.modules().items()}
        return {"sam": self._sam.sam} | theirs

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield the refined masks; a frame is encoded once, and not at all where every mask is empty."""
        # The source has just read the frame that is refined, so it is not decoded twice.
        video = replace(video, read=lru_cache(maxsize=1)(video.read))
        for coarse in self.source.segment(video, expressions):
            yield self._refined(video, coarse)

    def _refined(self, video: Video, coarse: FramePrediction) -> FramePrediction:
        boxes = {k: box for k, mask in enumerate(coarse.masks) if (box := tight_box(mask)) is not None}
        masks, scores = np.zeros_like(coarse.masks), coarse.scores.astype(np.float32)
        probabilities = np.zeros(masks.shape, np.float16)
        if boxes:
            features, rows = self._sam.encode(video.read(coarse.frame)), list(boxes)
            prompt: BoxPrompt = "best" if self._options.multimask else "single"
            inside = masks_in_boxes(self._sam, features, np.stack(list(boxes.values())), prompt)
            masks[rows], probabilities[rows], scores[rows] = inside.masks, inside.probabilities, inside.scores
        return replace(coarse, masks=masks, scores=scores, probabilities=probabilities)


def _source(request: MethodRequest, source: str | None, options: Mapping[str, str]) -> Method:
    """Build what the masks come from.

    A registered name comes before a path of the same name; ``./NAME`` is always a path.
    """
    if source is None and request.name == "refine_tiny":
        source = "refsam_tiny"
    if source is None:
        what = (
            f"{FTVR}: give a folder or zip of its predictions"
            if request.name == "ftvr_sam"
            else f"Method {request.name} refines masks: give a method's name, a folder or a zip of masks"
        )
        raise InputError(f"{what} by --set source=PATH.")
    methods = registry.table("methods")
    if source in methods and request.name != "ftvr_sam":
        return registry.build_method(replace(request, name=source, options=dict(options)))
    if Path(source).exists():
        return registry.build_method(replace(request, name="folder", options={"path": source, **options}))
    if request.name == "ftvr_sam":
        raise InputError(f"FTVR's masks {source} do not exist; give a folder or zip by --set source=PATH.")
    raise unknown_name(
        "source",
        source,
        [n for n, e in methods.items() if not e.error],
        hint="or a folder or zip that exists",
    )


def _sam(request: MethodRequest, size: str, options: RefineOptions) -> tuple[SamPromptable, dict[str, str]]:
    given = options.sam_checkpoint
    path = SAM_TINY if request.device == "meta" else find_sam(size, given)
    if path is None:
        raise missing([sam_wanted(size, given)])
    sam = load_promptable(size, path, device=request.device, dtype=request.dtype, options=options)
    return sam, {} if request.device == "meta" else {path.name: weights_sha256(path)}
