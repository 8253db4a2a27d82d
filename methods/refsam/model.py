"""RefSAM (paper III): SAM that segments what a sentence refers to, in a video, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.bench.errors import InputError
from refseg.methods.refsam.attention import HierarchicalDenseAttention
from refseg.methods.refsam.config import RefSamConfig
from refseg.methods.refsam.encoder import BlockAdapters, encode, tapped_blocks
from refseg.methods.refsam.text import TextEncoder, TextOutput
from refseg.methods.refsam.tracking import ImplicitTracking, MaskMemory, Track
from refseg.methods.sam.build import build_sam
from refseg.methods.sam.compat import Sam
from refseg.methods.sam.decode import DecoderOutput, decode
from refseg.methods.sam.fast_encoder import EncoderOptions, FastEncoder


@dataclass(frozen=True)
class EncoderOutput:
    """What the image encoder says about B frames.

    Attributes:
        embedding: (B, C, h, w) after the neck.
        intermediates: Outputs of the global-attention blocks except the last, (B, dim, h, w) each.
    """

    embedding: Tensor
    intermediates: tuple[Tensor, ...]


@dataclass(frozen=True)
class ImageFeatures:
    """B frames, encoded once for all expressions.

    Attributes:
        embedding: (B, C, h, w) image embeddings for the mask decoder.
        maps: What dense attention attends from, (B, C, h, w) each; empty without dense attention.
    """

    embedding: Tensor
    maps: tuple[Tensor, ...]

    def split(self, count: int = 1) -> list[ImageFeatures]:
        """Return the frames as batches of ``count``."""
        embeddings, *maps = (torch.split(m, count) for m in (self.embedding, *self.maps))
        return [ImageFeatures(e, tuple(rest)) for e, *rest in zip(embeddings, *maps, strict=True)]


@dataclass(frozen=True)
class TextFeatures:
    """K expressions in the image embedding's space.

    Attributes:
        words: (K, L, C).
        mask: (K, L) bool, False at padding.
        sentence: (K, C).
    """

    words: Tensor
    mask: Tensor
    sentence: Tensor

    @property
    def bank(self) -> Tensor:
        """What dense attention attends to: (K, 1 + L, C), sentence and words."""
        return torch.cat([self.sentence[:, None], self.words], dim=1)

    @property
    def bank_mask(self) -> Tensor:
        """(K, 1 + L) bool, False at padding."""
        return F.pad(self.mask, (1, 0), value=True)

    def rows(self, index: Tensor) -> TextFeatures:
        """Return the expressions at ``index``, in that order and as often as they are named."""
        return TextFeatures(self.words[index], self.mask[index], self.sentence[index])


class RefSam(nn.Module):
    """RefSAM from its parts; :func:`build_refsam` puts them together.

    A row is a pair of a frame and an expression. A frame is encoded once, however many rows are about it, and
    rows of different lengths share a batch without feeling each other's padding.
    """

    def __init__(
        self,
        *,
        config: RefSamConfig,
        sam: Sam,
        adapters: nn.ModuleDict,
        cross_modal_mlp: nn.Module,
        hda: HierarchicalDenseAttention | None,
        itm: ImplicitTracking | None,
        memory: MaskMemory | None = None,
        text_encoder: TextEncoder | None,
    ) -> None:
        """Create it.

        Args:
            config: What it is; the parts must be made for it.
            sam: segment_anything's model, with the names of its checkpoints.
            adapters: Block number as text -> its two adapters.
            cross_modal_mlp: From the text encoder's width to the image embedding's.
            hda: Dense attention, hierarchical or not; None: SAM's "no mask" embedding is the dense prompt.
            itm: Tracking module, or None.
            memory: What the mask of the frame before adds, or None.
            text_encoder: None where sentences come encoded.
        """
        super().__init__()
        self.config = config
        self.sam = sam
        self.adapters = adapters
        self.cross_modal_mlp = cross_modal_mlp
        self.hda = hda
        self.itm = itm
        self.memory = memory
        self.text_encoder = text_encoder
        self._fast: FastEncoder | None = None
        self.recompute = False
        """Activation checkpointing: training keeps less of the image encoder and computes it twice."""

    def speed_up(self, options: EncoderOptions) -> None:
        """Encode images by :class:`FastEncoder` from now on; the weights must not change any more."""
        taps = tapped_blocks(self.config.sam.global_attn_indexes)
        adapters = {i: pair for i, pair in self.adapters.items() if isinstance(pair, BlockAdapters)}
        self._fast = FastEncoder(self.sam.image_encoder, adapters, taps, options)

    def learnable_modules(self) -> dict[str, nn.Module]:
        """Return everything that is trained, by part; parts that the configuration leaves out are missing.

        Parts: ``mask_decoder``, ``cross_modal_mlp``, ``hda`` (the convolutions of dense attention),
        ``reductions``, ``itm``, ``memory``, ``adapters`` and, unless it is frozen, ``text``.
        """
        parts: dict[str, nn.Module | None] = {
            "mask_decoder": self.sam.mask_decoder,
            "cross_modal_mlp": self.cross_modal_mlp,
            "hda": None if self.hda is None else self.hda.attentions,
            "reductions": None if self.hda is None else self.hda.reductions,
            "itm": self.itm,
            "memory": self.memory,
            "adapters": self.adapters,
            "text": None if self.config.freeze_text else self.text_encoder,
        }
        return {k: m for k, m in parts.items() if m is not None and next(m.parameters(), None) is not None}

    def train(self, mode: bool = True) -> RefSam:
        """Set the mode; a frozen text encoder stays in evaluation mode (no dropout)."""
        super().train(mode)
        if self.text_encoder is not None and self.config.freeze_text:
            self.text_encoder.eval()
        return self

    def encode_image(self, images: Tensor, content: tuple[int, int] | None = None) -> ImageFeatures:
        """Encode (B, 3, S, S) images, normalised and padded as SAM wants them; ``content`` as in the next."""
        return self.project_image(self.encode_frames(images, content))

    def encode_frames(self, images: Tensor, content: tuple[int, int] | None = None) -> EncoderOutput:
        """Run the image encoder alone on (B, 3, S, S); without adapters its output can be kept.

        Args:
            images: The images.
            content: (h, w) pixels from the top left that hold all that the images have; None: everything.
        """
        if self._fast is not None:
            embedding, maps = self._fast(images, content)
        else:
            taps = tapped_blocks(self.config.sam.global_attn_indexes)
            encoder = self.sam.image_encoder
            embedding, maps = encode(encoder, self.adapters, taps, images, recompute=self.recompute)
        return EncoderOutput(embedding, tuple(maps))

    def project_image(self, raw: EncoderOutput) -> ImageFeatures:
        """Apply the learnable reductions and the normalisation to the image encoder's output."""
        maps = () if self.hda is None else self.hda.maps(raw.embedding, raw.intermediates)
        embedding = F.normalize(raw.embedding, dim=1) if self.config.normalize_embedding else raw.embedding
        return ImageFeatures(embedding, maps)

    def text(self, texts: Sequence[str]) -> TextOutput:
        """Run the text encoder; where it is frozen, its output can be kept.

        Raises:
            InputError: The model was built without a text encoder.
        """
        if self.text_encoder is None:
            raise InputError("This RefSAM has no text encoder; build it with one to encode sentences.")
        output = self.text_encoder(texts)
        assert isinstance(output, TextOutput)
        return output

    def project_text(self, raw: TextOutput) -> TextFeatures:
        """Apply the cross-modal MLP, the same for words and sentence, and the normalisation."""
        words, sentence = self.cross_modal_mlp(raw.hidden), self.cross_modal_mlp(raw.sentence)
        if self.config.normalize:
            words, sentence = F.normalize(words, dim=-1), F.normalize(sentence, dim=-1)
        return TextFeatures(words, raw.mask, sentence)

    def encode_text(self, texts: Sequence[str]) -> TextFeatures:
        """Encode K sentences."""
        return self.project_text(self.text(texts))

    def decode(
        self,
        image: ImageFeatures,
        text: TextFeatures,
        frame_index: Tensor,
        track: Track | None = None,
        dense: Tensor | None = None,
    ) -> DecoderOutput:
        """Predict the masks of N rows (paper III-F and III-H).

        Args:
            image: B frames.
            text: N expressions, one per row.
            frame_index: (N,) int64, the frame of each row.
            track: From the rows' previous frames; None: this is their first.
            dense: (N, C, h, w) in place of dense attention's output; None: that.

        Returns:
            Logits (N, 4, 4h, 4w) of all mask tokens, predicted IoU (N, 4) and output tokens (N, 5, C).
        """
        words, mask = text.words, text.mask
        seen = self.remembered(image, frame_index, track)
        if dense is None:
            dense = self.dense_prompts(image, text, frame_index, seen)
        if not self.config.sparse:
            words, mask = words[:, :0], mask[:, :0]
        tokens = None if track is None else track.tokens
        embeddings = image.embedding.index_select(0, frame_index)
        if seen is not None:
            embeddings = embeddings + seen
        position = self._position(embeddings)
        return decode(self.sam.mask_decoder, embeddings, position, words, dense, mask, tokens)

    def remembered(self, image: ImageFeatures, frame_index: Tensor, track: Track | None) -> Tensor | None:
        """Return what mask memory adds to the rows' image embeddings (N, C, h, w), or None where there is nothing."""
        if self.memory is None or track is None or track.masks is None:
            return None
        seen: Tensor = self.memory(image.embedding, track.masks, frame_index)
        return seen

    def dense_prompts(
        self,
        image: ImageFeatures,
        text: TextFeatures,
        frame_index: Tensor,
        seen: Tensor | None = None,
        scores: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Return dense attention's output (N, C, h, w), or (1, C, 1, 1) that says nothing where there is none.

        Arguments as in :meth:`decode`; ``seen`` from :meth:`remembered`, ``scores`` as in
        :meth:`HierarchicalDenseAttention.forward`.
        """
        if self.hda is None:
            nothing: Tensor = self.sam.prompt_encoder.no_mask_embed.weight
            return nothing.view(1, -1, 1, 1)
        dense: Tensor = self.hda(image.maps, text.bank, text.bank_mask, frame_index, seen, scores)
        return dense

    def next_track(self, output: DecoderOutput) -> Track | None:
        """Return what the rows' next frames are told, or None where nothing is carried."""
        tokens = None if self.itm is None else self.itm(output.tokens)
        # A frame's loss teaches its own mask, not the one before it.
        masks = None if self.memory is None else self.select(output)[0].detach().sigmoid()
        return None if tokens is None and masks is None else Track(tokens, masks)

    def select(self, output: DecoderOutput) -> tuple[Tensor, Tensor]:
        """Choose one mask a row as ``mask_selection`` and ``mask_candidates`` say.

        Returns:
            Low-resolution logits (N, 4h, 4w) and predicted IoU (N,).
        """
        n = len(output.iou)
        if self.config.mask_selection == "first":
            best = output.iou.new_zeros(n, dtype=torch.long)
        else:
            start = 1 if self.config.mask_candidates == "multimask" else 0
            best = output.iou[:, start:].argmax(dim=1) + start
        rows = torch.arange(n, device=best.device)
        return output.low_res_logits[rows, best], output.iou[rows, best]

    def _position(self, like: Tensor) -> Tensor:
        """Return SAM's positional encoding (1, C, h, w), computed in float32, in the type of ``like``."""
        layer = self.sam.prompt_encoder.pe_layer
        matrix = {"positional_encoding_gaussian_matrix": layer.positional_encoding_gaussian_matrix.float()}
        encoding = torch.func.functional_call(layer, matrix, (self.sam.prompt_encoder.image_embedding_size,))
        return encoding[None].to(like.dtype)  # type: ignore[no-any-return]


def build_cross_modal_mlp(
    text_dim: int, dim: int, *, hidden_dim: int, hidden_layers: int = 1
) -> nn.Sequential:
    """Build Linear(C_e, hidden), ReLU, [Linear(hidden, hidden), ReLU]..., Linear(hidden, C) (paper III-D)."""
    widths = [text_dim, *[hidden_dim] * hidden_layers]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], dim))


def build_refsam(config: RefSamConfig, text_encoder: TextEncoder | None = None) -> RefSam:
    """Build RefSAM with random weights; all but its ``learnable_modules()`` is frozen.

    Args:
        config: What to build.
        text_encoder: As ``build_text_encoder(config.text)`` gives it; None where sentences come encoded.

    Raises:
        InputError: The text encoder's width is not the configuration's.
    """
    if text_encoder is not None and text_encoder.width != config.text_width:
        raise InputError(
            f"The text encoder's width is {text_encoder.width}, but {config.text} has {config.text_width}; "
            f"give the weights of {config.text}, or set text=... to what they are."
        )
    sam = config.sam
    dim = sam.prompt_dim
    adapted = range(sam.depth // 2, sam.depth) if config.use_adapter else range(0)
    ratio, activation = config.adapter_ratio, config.adapter_activation
    hda = None
    if config.dense != "none":
        maps = len(tapped_blocks(sam.global_attn_indexes)) if config.dense == "hda" else 0
        hda = HierarchicalDenseAttention(dim, map_dims=[sam.embed_dim] * maps, normalize=config.normalize)
    itm = None
    if config.itm_token != "none":
        itm = ImplicitTracking(dim, token=config.itm_token, residual=config.itm_residual)
    memory = MaskMemory(dim, hidden=dim // 2) if config.mask_memory else None
    model = RefSam(
        config=config,
        sam=build_sam(sam),
        adapters=nn.ModuleDict(
            {str(i): BlockAdapters(sam.embed_dim, ratio=ratio, activation=activation) for i in adapted}
        ),
        cross_modal_mlp=build_cross_modal_mlp(
            config.text_width,
            dim,
            hidden_dim=config.mlp_hidden_dim or config.text_width // 2,
            hidden_layers=config.mlp_layers,
        ),
        hda=hda,
        itm=itm,
        memory=memory,
        text_encoder=text_encoder,
    )
    model.requires_grad_(False)
    for module in model.learnable_modules().values():
        module.requires_grad_(True)
    return model.eval()
