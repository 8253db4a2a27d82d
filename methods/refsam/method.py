"""RefSAM as a method under test: online, every frame encoded once for all expressions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.bench.options import parse_options
from refseg.bench.stages import stage
from refseg.bench.types import (
    Dataset,
    Expression,
    FramePrediction,
    ImageArray,
    MethodInfo,
    MethodRequest,
    Video,
)
from refseg.methods.checkpoints import Wanted, find_checkpoint, find_wanted, missing
from refseg.methods.refsam.config import CONFIGS, ModelSwitches, RefSamConfig, configured, variant
from refseg.methods.refsam.model import ImageFeatures, RefSam, TextFeatures, build_refsam
from refseg.methods.refsam.text import TextOutput, build_text_encoder, empty_text_encoder, text_source
from refseg.methods.refsam.text_store import TextStore
from refseg.methods.refsam.tracking import Track
from refseg.methods.refsam.weights import load_weights
from refseg.methods.sam.fast_encoder import REFERENCE_OPTIONS, EncoderOptions
from refseg.methods.sam.flops import encoder_flops
from refseg.methods.sam.transforms import Geometry, preprocess, resize_image, upsample_logits
from refseg.methods.sam.weights import SAM_TINY, load_into, load_tensors, sam_wanted, weights_sha256

REVISION = "2"
REFSAM_TINY = Path(__file__).parent / "assets" / "refsam_tiny.safetensors"
"""The tiny RefSAM that is shipped; ``bench train --recipe refsam_refshapes`` makes it."""

ROWS_AT_ONCE = 32
"""Expressions that go through the decoder together; bounds its memory."""

SHORT_SIDE, LONG_SIDE = 360, 640
"""The published protocol's frame size: the shorter side 360, the longer at most 640."""


@dataclass(frozen=True)
class RefSamOptions(ModelSwitches, EncoderOptions):
    """Options of ``--set``, beside the network's own.

    Attributes:
        checkpoint: RefSAM's learnable weights.
        sam_checkpoint: SAM's weights.
        text_checkpoint: Folder of the text encoder; None: transformers' cache or the hub.
        track_token: Hand the track token on from frame to frame; off, every frame stands alone.
        frame_size: ``360p`` shrinks frames first, as published; ``full`` leaves them.
        frames_at_once: Frames of a video that are encoded together; the first masks then wait for as many.
        offload_text: Encode the dataset's sentences before the first video and let the text encoder leave memory.
    """

    checkpoint: str | None = None
    sam_checkpoint: str | None = None
    text_checkpoint: str | None = None
    track_token: bool = True
    frame_size: Literal["360p", "full"] = "360p"
    frames_at_once: int = 1
    offload_text: bool = False


class RefSamMethod:
    """RefSAM in one of its sizes; :func:`build_method` builds it with weights."""

    reference_options = REFERENCE_OPTIONS
    once_per_video = ("text",)

    def __init__(
        self,
        name: str,
        model: RefSam,
        options: RefSamOptions,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        """Put a network to the test.

        Args:
            name: What results call it.
            model: The network, where it is to run.
            options: Settings of the test; those of the network are the network's own.
            device: Where it runs.
            dtype: What its parameters are.
            weights: File name -> SHA-256.

        Raises:
            InputError: The threshold is no probability, or the text encoder cannot leave memory.
        """
        threshold = model.config.threshold
        if not 0 <= threshold < 1:
            raise InputError(f"threshold={threshold} is no probability; give one from 0 up to 1.")
        if options.frames_at_once < 1:
            raise InputError(f"frames_at_once={options.frames_at_once} encodes nothing; give 1 or more.")
        if options.offload_text and not model.config.text_attention_mask:
            raise InputError(
                "offload_text=true encodes sentences one by one, but text_attention_mask=false lets the padding of "
                "a video's sentences count; give one of the two."
            )
        self._options, self._model = options, model
        self._device, self._dtype = device, dtype
        self._store: TextStore | None = None
        facts = {k: v for k, v in asdict(model.config).items() if k != "sam"}
        facts |= {"track_token": options.track_token}
        facts |= {"frame_size": options.frame_size, "frames_at_once": options.frames_at_once}
        facts |= options.encoder_facts()
        self.info = MethodInfo(
            name,
            REVISION,
            needs="" if name == "refsam_tiny" else "checkpoints of SAM, RefSAM and the text encoder",
            config=facts,
            weights=dict(weights or {}),
            threshold=threshold,
        )

    def bind(self, dataset: Dataset) -> None:
        """Encode all sentences of a dataset and drop the text encoder, with ``offload_text``."""
        if not self._options.offload_text:
            return
        with torch.inference_mode():
            texts = (e.text for video in dataset.videos() for e in video.expressions)
            self._store = TextStore(self._model.text, texts)
        self._model.text_encoder = None

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the learnable parts, and the frozen ones."""
        frozen = {
            "image_encoder": self._model.sam.image_encoder,
            "prompt_encoder": self._model.sam.prompt_encoder,
        }
        text = self._model.text_encoder
        if text is not None and self._model.config.freeze_text:
            frozen["text"] = text
        return self._model.learnable_modules() | frozen

    def text_encoder(self) -> nn.Module | None:
        """Return the network that reads sentences, for parameter counts."""
        return self._model.text_encoder

    def flops_formula(self) -> Mapping[str, int]:
        """Return the operations of SAM's image encoder by formula, without adapters; a multiply-add is two."""
        return {"segment_anything's image encoder": encoder_flops(self._model.config.sam)}

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield a prediction per frame; memory does not grow with the video's length."""
        with torch.inference_mode(), stage("text"):
            text = self._encode_text([e.text for e in expressions])
        rows = torch.arange(len(expressions), device=self._device)
        parts = torch.split(rows, ROWS_AT_ONCE)
        texts = [text.rows(part) for part in parts]
        tracks: list[Track | None] = [None] * len(parts)
        at_once = self._options.frames_at_once
        for start in range(0, len(video), at_once):
            # The context is left before each yield, so that it does not leak into the caller.
            with torch.inference_mode():
                images = [video.read(f) for f in range(start, min(start + at_once, len(video)))]
                encoded, geometries = self._encoded(images)
                features = encoded.split()
            for i, (feature, geometry) in enumerate(zip(features, geometries, strict=True)):
                with torch.inference_mode():
                    prediction = self._frame(start + i, feature, geometry, texts, tracks)
                yield prediction

    def segment_images(self, videos: Sequence[Video]) -> Iterator[FramePrediction]:
        """Yield a prediction per one-frame video, in order; the images are encoded together.

        Equal to one by one but for the rounding of larger batches.
        """
        # What frozen padding keeps depends on an image's size, and so on the others of a batch.
        batches = [[v] for v in videos] if self._options.padding == "frozen" else [videos]
        for batch in batches:
            with torch.inference_mode():
                predictions = self._images(batch)
            yield from predictions

    def _images(self, videos: Sequence[Video]) -> list[FramePrediction]:
        features, geometries = self._encoded([video.read(0) for video in videos])
        low, iou = self._decode_images(features, [[e.text for e in v.expressions] for v in videos])
        return [
            self._prediction(0, _probabilities(logits, geometry), scores.float().cpu())
            for geometry, logits, scores in zip(geometries, low, iou, strict=True)
        ]

    def _encoded(self, images: Sequence[ImageArray]) -> tuple[ImageFeatures, list[Geometry]]:
        """Return the features of images and how each lies in its square."""
        with stage("preprocess"):
            inputs = [self._input(image) for image in images]
            pixels = torch.cat([p for p, _ in inputs]).to(self._device, self._dtype)
            geometries = [g for _, g in inputs]
        with stage("visual encoder"):
            height, width = (max(g.resized[i] for g in geometries) for i in (0, 1))
            return self._model.encode_image(pixels, (height, width)), geometries

    def _decode_images(
        self, features: ImageFeatures, texts: Sequence[Sequence[str]]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return low-resolution logits (K, s, s) and predicted IoU (K,) of each image's K sentences."""
        model = self._model
        counts = [len(t) for t in texts]
        images = torch.arange(len(texts), device=self._device).repeat_interleave(
            torch.tensor(counts, device=self._device)
        )
        if model.config.text_attention_mask:
            groups = [(self._encode_text([t for told in texts for t in told]), images)]
        else:
            # Padding counts as words then, so a sentence may share its padding with those of its image only.
            groups = list(zip(map(self._encode_text, texts), torch.split(images, counts), strict=True))
        low: list[Tensor] = []
        iou: list[Tensor] = []
        for text, index in groups:
            for rows in torch.split(torch.arange(len(index), device=self._device), ROWS_AT_ONCE):
                best, scores = model.select(model.decode(features, text.rows(rows), index[rows]))
                low.append(best)
                iou.append(scores)
        return torch.split(torch.cat(low), counts), torch.split(torch.cat(iou), counts)

    def _encode_text(self, texts: Sequence[str]) -> TextFeatures:
        raw: TextOutput = self._model.text(texts) if self._store is None else self._store(texts)
        return self._model.project_text(raw)

    def _frame(
        self,
        frame: int,
        features: ImageFeatures,
        geometry: Geometry,
        texts: Sequence[TextFeatures],
        tracks: list[Track | None],
    ) -> FramePrediction:
        """Predict one frame for all expressions; ``tracks`` is brought up to date."""
        model = self._model
        probabilities, scores = [], []
        for part, text in enumerate(texts):
            index = torch.zeros(len(text.sentence), dtype=torch.long, device=self._device)
            with stage("decoder/tracker"):
                output = model.decode(features, text, index, tracks[part])
                low, iou = model.select(output)
                scores.append(iou.float().cpu())
                if self._options.track_token:
                    tracks[part] = model.next_track(output)
            probabilities.append(_probabilities(low, geometry))
        return self._prediction(frame, torch.cat(probabilities), torch.cat(scores))

    def _prediction(self, frame: int, probabilities: Tensor, scores: Tensor) -> FramePrediction:
        with stage("upsample"):
            soft = probabilities.numpy()
            masks = soft > self._model.config.threshold
            # torch rounds to halves ten times faster than numpy.
            return FramePrediction(frame, masks, scores.numpy(), probabilities.half().numpy())

    def _input(self, image: ImageArray) -> tuple[Tensor, Geometry]:
        size = self._model.config.sam.image_size
        shrunk = image if self._options.frame_size == "full" else shrink_to_360p(image)
        pixels, geometry = preprocess(shrunk, size)
        return pixels, replace(geometry, original=image.shape[:2])


def _probabilities(low: Tensor, geometry: Geometry) -> Tensor:
    """Return (K, H, W) probabilities at the image's size, on the CPU, from low-resolution logits (K, s, s)."""
    with stage("upsample"):
        return upsample_logits(low[:, None].float(), geometry)[:, 0].sigmoid().cpu()


def shrink_to_360p(image: ImageArray) -> ImageArray:
    """Shrink an image so that its shorter side is 360 and its longer at most 640; smaller ones stay."""
    height, width = image.shape[:2]
    scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
    return image if scale >= 1 else resize_image(image, (round(height * scale), round(width * scale)))


def build_method(request: MethodRequest) -> RefSamMethod:
    """Build the method that a request names, with its weights.

    Raises:
        InputError: An option is wrong, or weights are missing or do not fit.
    """
    name, config, options = _parse(request)
    device, dtype = torch.device(request.device), getattr(torch, request.dtype)
    if request.device == "meta":
        with device:
            return RefSamMethod(
                request.name, build_refsam(config, empty_text_encoder(config.text)), options, device=device
            )
    model, weights = _load(name, config, options)
    model.to(device, dtype).eval().requires_grad_(False)
    if options.encoder == "fast":
        model.speed_up(options)
    return RefSamMethod(request.name, model, options, device=device, dtype=dtype, weights=weights)


def require_files(request: MethodRequest) -> None:
    """Check that SAM's weights and RefSAM's are there.

    Raises:
        InputError: They are not, or an option is wrong; names all that is missing, and where it comes from.
    """
    _find_weights(*_parse(request))


def find_sam_weights(name: str, given: str | None) -> Path:
    """Return SAM's weights for a variant: what is given, the published file where checkpoints lie, or the tiny ones.

    Raises:
        InputError: They are missing.
    """
    if name == "refsam_tiny" and given is None:
        return SAM_TINY
    if name == "refsam_tiny":
        return find_checkpoint("sam_tiny", given, option="sam_checkpoint", files=[])
    wanted = sam_wanted(name.removeprefix("refsam_"), given)
    found = find_wanted(wanted)
    if found is None:
        raise missing([wanted])
    return found


def load_base(config: RefSamConfig, sam_path: Path, text_checkpoint: str | None) -> RefSam:
    """Build RefSAM on SAM's weights and the text encoder's, all else random.

    Args:
        config: What to build.
        sam_path: SAM's weights.
        text_checkpoint: Folder of the text encoder; None: transformers' cache or the hub.

    Raises:
        InputError: A file is missing or does not fit.
    """
    text = build_text_encoder(
        config.text, path=text_checkpoint, use_attention_mask=config.text_attention_mask
    )
    model = build_refsam(config, text)
    load_into(model.sam, load_tensors(sam_path), sam_path)
    return model


def load_learnt(model: RefSam, path: Path, sam_path: Path) -> str:
    """Load what training wrote beside the SAM that it was trained on; returns SAM's SHA-256.

    Raises:
        InputError: The file does not fit, or was trained on another SAM.
    """
    return check_sam(load_weights(model, path), str(path), sam_path)


def check_sam(metadata: Mapping[str, str], path: str, sam_path: Path) -> str:
    """Return the SHA-256 of SAM's weights, which must be those that the weights at ``path`` were trained on.

    Raises:
        InputError: They are others.
    """
    sam_hash = weights_sha256(sam_path)
    made_on = metadata.get("sam_sha256", sam_hash)
    if made_on != sam_hash:
        raise InputError(
            f"The weights {path} were trained on another SAM than {sam_path} (SHA-256 {made_on[:12]}… and "
            f"{sam_hash[:12]}…); give the SAM that they were trained on by --set sam_checkpoint=PATH."
        )
    return sam_hash


def _parse(request: MethodRequest) -> tuple[str, RefSamConfig, RefSamOptions]:
    options = parse_options(RefSamOptions, request.options, owner=f"method {request.name}")
    name = variant(request.name)
    return name, configured(CONFIGS[name], options), options


def _find_weights(name: str, config: RefSamConfig, options: RefSamOptions) -> tuple[Path, Path]:
    """Return where SAM's weights and RefSAM's lie; what is missing is named in one error."""
    trained = Wanted(
        name,
        "checkpoint",
        options.checkpoint,
        f"{name}.safetensors",
        f"`bench train --method {name} --recipe refytvos_finetune` writes it",
        "none is published",
        (f"{name}.pth",),
    )
    if name == "refsam_tiny":
        own = find_wanted(trained) if options.checkpoint else REFSAM_TINY
        assert own is not None
        return find_sam_weights(name, options.sam_checkpoint), own
    sam = sam_wanted(name.removeprefix("refsam_"), options.sam_checkpoint)
    sam_path, own_path = find_wanted(sam), find_wanted(trained)
    if sam_path is None or own_path is None:
        lacking = [w for w, path in ((sam, sam_path), (trained, own_path)) if path is None]
        text = "" if options.text_checkpoint else text_source(config.text)
        raise missing(lacking, f"{text}; `refsam_tiny` needs no file")
    return sam_path, own_path


def _load(name: str, config: RefSamConfig, options: RefSamOptions) -> tuple[RefSam, dict[str, str]]:
    """Build the model with its weights; returns it with the weights' hashes by file name."""
    sam_path, own_path = _find_weights(name, config, options)
    model = load_base(config, sam_path, options.text_checkpoint)
    sam_hash = load_learnt(model, own_path, sam_path)
    return model, {sam_path.name: sam_hash, own_path.name: file_sha256(own_path)}


__all__ = ["REFSAM_TINY", "RefSamMethod", "RefSamOptions", "build_method", "shrink_to_360p"]
