"""RefSAM's options and its named variants."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from refseg.bench.errors import unknown_name
from refseg.methods.sam.build import SAM_CONFIGS, SamConfig, sam_config

Activation = Literal["relu", "gelu"]
DenseMode = Literal["none", "da", "hda"]
TrackToken = Literal["none", "iou", "all_masks", "main_mask"]

TEXT_WIDTHS = {
    "t5-small": 512,
    "t5-base": 768,
    "t5-large": 1024,
    "t5-3b": 1024,
    "roberta-base": 768,
    "roberta-large": 1024,
    "clip-large": 768,
    "tiny": 128,
    "tiny-roberta": 128,
    "tiny-clip": 128,
}
"""Width C_e of each text encoder's last hidden state."""


@dataclass(frozen=True)
class RefSamConfig:
    """What can be chosen in RefSAM; the defaults are the paper's model (sections III and IV-C).

    Attributes:
        sam: The numbers of its SAM.
        text: Text encoder, a key of :data:`TEXT_WIDTHS`.
        use_adapter: Adapters in the latter half of the image encoder's blocks.
        adapter_ratio: An adapter's hidden width is the block's width divided by it.
        adapter_activation: ReLU as in the paper, or GELU as in the released code.
        mlp_layers: Hidden layers of the cross-modal MLP (Figure 5); 1 is the paper's, 0 one linear layer.
        mlp_hidden_dim: Its hidden width; None: C_e / 2.
        sparse: Give the words to the mask decoder as sparse prompts.
        dense: No dense attention, on the image embedding alone, or also on the intermediate maps (Table III).
        normalize: L2-normalise words, sentence and the maps that dense attention sees.
        normalize_embedding: Also normalise the image embedding that the decoder gets, as released.
        itm_token: Output token that becomes the track token (Table IV); none: no tracking.
        itm_residual: Skip connection in the ITM (Table IV).
        mask_memory: The decoder also sees where the mask of the frame before was; the paper has none.
        mask_selection: Output the mask of the highest predicted IoU, or always mask 0.
        mask_candidates: Choose among all four masks, or among SAM's three multimask ones.
        text_attention_mask: Mask padded tokens; off, they count as words, as in the released code.
        freeze_text: Keep the text encoder frozen.
        threshold: A pixel is the object's where its probability is above.
    """

    sam: SamConfig = SAM_CONFIGS["vit_h"]
    text: str = "t5-3b"
    use_adapter: bool = True
    adapter_ratio: int = 4
    adapter_activation: Activation = "relu"
    mlp_layers: int = 1
    mlp_hidden_dim: int | None = None
    sparse: bool = True
    dense: DenseMode = "hda"
    normalize: bool = True
    normalize_embedding: bool = False
    itm_token: TrackToken = "main_mask"
    itm_residual: bool = True
    mask_memory: bool = False
    mask_selection: Literal["best_iou", "first"] = "best_iou"
    mask_candidates: Literal["all", "multimask"] = "all"
    text_attention_mask: bool = True
    freeze_text: bool = True
    threshold: float = 0.5

    @property
    def text_width(self) -> int:
        """Width C_e of the text encoder."""
        if self.text not in TEXT_WIDTHS:
            raise unknown_name("text encoder", self.text, TEXT_WIDTHS)
        return TEXT_WIDTHS[self.text]


@dataclass(frozen=True)
class ModelSwitches:
    """Options of ``--set`` that change a variant; None keeps what it has. See :class:`RefSamConfig`.

    Attributes:
        visual_encoder: A key of :data:`~refseg.methods.sam.build.SAM_CONFIGS`, for other sizes of the tiny model.
    """

    visual_encoder: str | None = None
    text: str | None = None
    use_adapter: bool | None = None
    adapter_ratio: int | None = None
    adapter_activation: Activation | None = None
    mlp_layers: int | None = None
    sparse: bool | None = None
    dense: DenseMode | None = None
    normalize: bool | None = None
    normalize_embedding: bool | None = None
    itm_token: TrackToken | None = None
    itm_residual: bool | None = None
    mask_memory: bool | None = None
    mask_selection: Literal["best_iou", "first"] | None = None
    mask_candidates: Literal["all", "multimask"] | None = None
    text_attention_mask: bool | None = None
    threshold: float | None = None


def configured(config: RefSamConfig, options: ModelSwitches) -> RefSamConfig:
    """Return a configuration with what the options choose."""
    names = [f.name for f in fields(ModelSwitches) if f.name != "visual_encoder"]
    chosen: dict[str, Any] = {k: getattr(options, k) for k in names if getattr(options, k) is not None}
    if options.visual_encoder is not None:
        chosen["sam"] = sam_config(options.visual_encoder)
    return replace(config, **chosen)


def variant(method: str) -> str:
    """Return the variant that a method's name stands for: ``refsam`` is the paper's headline."""
    return "refsam_vit_h" if method == "refsam" else method


CONFIGS = {
    "refsam_tiny": RefSamConfig(
        sam=SAM_CONFIGS["tiny"],
        text="tiny",
        mlp_hidden_dim=128,
        normalize=False,
        mask_selection="first",
        freeze_text=False,
        mask_memory=True,
        threshold=0.2,
    ),
    "refsam_vit_b": RefSamConfig(sam=SAM_CONFIGS["vit_b"]),
    "refsam_vit_l": RefSamConfig(sam=SAM_CONFIGS["vit_l"]),
    "refsam_vit_h": RefSamConfig(sam=SAM_CONFIGS["vit_h"]),
}
"""Named variants; ``refsam_vit_h`` is the paper's headline.

The tiny one learns its text encoder with the rest, and does not normalise: at this width the scores of unit vectors
lie within 1/sqrt(128), which leaves the attention over the words all but uniform. Its training is too short to outgrow
the focal loss, which lets a pixel of the object weigh a third of one of the background: masks are too small at 0.5.
"""
