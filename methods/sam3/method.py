"""SAM 3 as a method: the sentence is the concept that it finds, segments and follows in the video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from refseg.bench.options import parse_options
from refseg.bench.stages import stage
from refseg.bench.types import Expression, FramePrediction, MethodInfo, MethodRequest, Video
from refseg.methods.checkpoints import missing
from refseg.methods.sam3 import masks
from refseg.methods.sam3.load import OPTION, empty_sam3, find_sam3, load_sam3, sam3_wanted
from refseg.methods.sam3.video import Merge, follow, merged, share_features, tokens

REVISION = "1"


@dataclass(frozen=True)
class Sam3Options:
    """Options of ``--set``.

    SAM 3 finds every object that a phrase fits, and was trained on short noun phrases; the authors' own agent is told
    that a referring sentence is none of them (``sam3/agent/system_prompts``). What one mask of its objects is, those
    who score it on referring data answer in different ways: the authors let a language model choose among the
    objects; Evol-SAM3 joins all that a text finds, and takes the best that a box finds. ``best`` is the default
    because a sentence of Ref-DAVIS17, Refer-YouTube-VOS and RefCOCO means one object, and because the methods beside
    it answer with one box; MeViS and gRefCOCO, where sentences mean several, ask for ``union``.

    Attributes:
        merge: ``best``: in each frame the one object with the highest score at its detection, among those found so
            far, so that a better one that appears later takes its place; ``union``: all objects.
        hotstart: As published, outputs are held back for 15 frames, in which objects that prove wrong are taken
            back: the method is not online. ``false``: it is, and no object is taken back.
        sam3_checkpoint: A folder in transformers' format, or a hub id.
    """

    merge: Merge = "best"
    hotstart: bool = True
    sam3_checkpoint: str | None = None


class Sam3:
    """``sam3``; see :class:`Sam3Options` for ``--set``.

    Raises:
        InputError: An option is wrong, or the checkpoint is missing.
    """

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = parse_options(Sam3Options, request.options, owner=f"method {request.name}")
        weights: dict[str, str] = {}
        self._tokenizer: Any = None
        if request.device == "meta":
            self._model = empty_sam3()
        else:
            path = find_sam3(options.sam3_checkpoint)
            if path is None:
                raise missing([sam3_wanted(options.sam3_checkpoint)])
            self._model, self._tokenizer, weights = load_sam3(path)
            self._model.to(device=request.device, dtype=getattr(torch, request.dtype))
            masks.install()
            share_features(self._model)
        self._model.eval().requires_grad_(False)
        self.info = MethodInfo(
            request.name,
            REVISION,
            online=not options.hotstart,
            needs="SAM 3's checkpoint, which is gated",
            config={k: v for k, v in asdict(options).items() if k != OPTION},
            weights=weights,
        )

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network, all of it frozen."""
        return {"sam3": self._model}

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield a prediction per frame; a sentence that nothing was found for is empty."""
        longest = self._model.config.detector_config.text_config.max_position_embeddings
        # Sentences of the same words have the same answer.
        texts = list(dict.fromkeys(e.text for e in expressions))
        rows = [texts.index(e.text) for e in expressions]
        with stage("text"):
            prompts = [tokens(self._tokenizer, text, longest) for text in texts]
        outputs = follow(self._model, video, prompts, hotstart=self._options.hotstart)
        for frame, said in enumerate(outputs):
            found = np.zeros((len(texts), *video.size), bool)
            probabilities = np.zeros(found.shape, np.float16)
            scores = np.zeros(len(texts), np.float32)
            for k, (out, removed) in enumerate(said):
                one = merged(out, removed, video.size, self._options.merge)
                if one is not None:
                    logits, scores[k] = one
                    found[k] = (logits > 0).cpu().numpy()
                    probabilities[k] = logits.sigmoid().cpu().numpy()
            yield FramePrediction(frame, found[rows], scores[rows], probabilities[rows])
