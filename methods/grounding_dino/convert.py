"""Official Grounding DINO checkpoints (``.pth``) in the names of transformers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from refseg.bench.errors import InputError

_SWIN = "model.backbone.conv_encoder.model."
_BLOCK = rf"{_SWIN}encoder.layers.\1.blocks.\2."
_DEEP = r"model.encoder.layers.\1.deformable_layer."
_TEXT = r"model.encoder.layers.\1.text_enhancer_layer."
_FUSE = r"model.encoder.layers.\1.fusion_layer."
_DECODE = r"model.decoder.layers.\1."

_RULES: tuple[tuple[str, str], ...] = (
    (r"backbone\.0\.patch_embed\.proj\.", rf"{_SWIN}embeddings.patch_embeddings.projection."),
    (r"backbone\.0\.patch_embed\.norm\.", rf"{_SWIN}embeddings.norm."),
    (r"backbone\.0\.layers\.(\d+)\.downsample\.", rf"{_SWIN}encoder.layers.\1.downsample."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.norm1\.", rf"{_BLOCK}layernorm_before."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.norm2\.", rf"{_BLOCK}layernorm_after."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.attn\.proj\.", rf"{_BLOCK}attention.output.dense."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.attn\.", rf"{_BLOCK}attention.self."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.", rf"{_BLOCK}intermediate.dense."),
    (r"backbone\.0\.layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.", rf"{_BLOCK}output.dense."),
    (r"backbone\.0\.norm1\.", rf"{_SWIN}hidden_states_norms.stage2."),
    (r"backbone\.0\.norm2\.", rf"{_SWIN}hidden_states_norms.stage3."),
    (r"backbone\.0\.norm3\.", rf"{_SWIN}hidden_states_norms.stage4."),
    (r"bert\.", "model.text_backbone."),
    (r"feat_map\.", "model.text_projection."),
    (r"input_proj\.", "model.input_proj_vision."),
    (r"transformer\.level_embed$", "model.level_embed"),
    (r"transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"transformer\.enc_output", "model.enc_output"),
    (r"transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (r"transformer\.encoder\.layers\.(\d+)\.norm1\.", rf"{_DEEP}self_attn_layer_norm."),
    (r"transformer\.encoder\.layers\.(\d+)\.norm2\.", rf"{_DEEP}final_layer_norm."),
    (r"transformer\.encoder\.layers\.(\d+)\.linear([12])\.", rf"{_DEEP}fc\2."),
    (r"transformer\.encoder\.layers\.(\d+)\.", _DEEP),
    (r"transformer\.encoder\.text_layers\.(\d+)\.norm1\.", rf"{_TEXT}layer_norm_before."),
    (r"transformer\.encoder\.text_layers\.(\d+)\.norm2\.", rf"{_TEXT}layer_norm_after."),
    (r"transformer\.encoder\.text_layers\.(\d+)\.linear([12])\.", rf"{_TEXT}fc\2."),
    (r"transformer\.encoder\.text_layers\.(\d+)\.", _TEXT),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.gamma_v$", rf"{_FUSE}vision_param"),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.gamma_l$", rf"{_FUSE}text_param"),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.layer_norm_v\.", rf"{_FUSE}layer_norm_vision."),
    (r"transformer\.encoder\.fusion_layers\.(\d+)\.layer_norm_l\.", rf"{_FUSE}layer_norm_text."),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.attn\.((?:values_|out_)?)v_proj\.",
        rf"{_FUSE}attn.\2vision_proj.",
    ),
    (
        r"transformer\.encoder\.fusion_layers\.(\d+)\.attn\.((?:values_|out_)?)l_proj\.",
        rf"{_FUSE}attn.\2text_proj.",
    ),
    (r"transformer\.decoder\.layers\.(\d+)\.norm1\.", rf"{_DECODE}encoder_attn_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.norm2\.", rf"{_DECODE}self_attn_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.norm3\.", rf"{_DECODE}final_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.catext_norm\.", rf"{_DECODE}encoder_attn_text_layer_norm."),
    (r"transformer\.decoder\.layers\.(\d+)\.ca_text\.", rf"{_DECODE}encoder_attn_text."),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\.", rf"{_DECODE}encoder_attn."),
    (r"transformer\.decoder\.layers\.(\d+)\.linear([12])\.", rf"{_DECODE}fc\2."),
    (r"transformer\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"transformer\.decoder\.ref_point_head\.", "model.decoder.reference_points_head."),
    (r"transformer\.decoder\.", "model.decoder."),
)
"""What the beginning of a name becomes; the first that fits counts, and names that none fits stay."""

_WIDTHS = {96: "swint", 128: "swinb"}
_LEFT_OUT = re.compile(
    r"bert\.pooler\.|label_enc\.weight$|bert\.embeddings\.position_ids$|.*\.relative_position_index$"
)
_STACKED = re.compile(r"(.*\.)(?:qkv\.|in_proj_)(weight|bias)$")


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors under transformers' names; stacked query, key and value come apart.

    Args:
        state: The official state dict (``module.`` before names is dropped).
    """
    return dict(_converted(state))


def _converted(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for official, tensor in state.items():
        name = official.removeprefix("module.")
        if _LEFT_OUT.match(name):
            continue
        name = _renamed(name)
        stacked = _STACKED.match(name)
        if stacked is None:
            yield name, tensor
            continue
        for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            yield f"{stacked[1]}{part}.{stacked[2]}", third.clone()


def _renamed(name: str) -> str:
    for pattern, replacement in _RULES:
        new, count = re.subn(f"^{pattern}", replacement, name)
        if count:
            return new
    return name


def official_size(state: Mapping[str, Tensor], path: Path) -> str:
    """Return ``swint`` or ``swinb``, which a converted state is by its width.

    Raises:
        InputError: It is neither.
    """
    first = state.get(f"{_SWIN}embeddings.patch_embeddings.projection.weight")
    if first is None or first.shape[0] not in _WIDTHS:
        found = "missing" if first is None else f"{first.shape[0]} wide"
        raise InputError(
            f"{path} is no official Grounding DINO: its image encoder is {found}; give "
            "groundingdino_swint_ogc.pth or groundingdino_swinb_cogcoor.pth."
        )
    return _WIDTHS[first.shape[0]]


def configuration(size: str, queries: int = 900) -> Any:
    """Return transformers' configuration of ``swint`` (its defaults) or ``swinb``."""
    from transformers import GroundingDinoConfig, SwinConfig

    if size == "swint":
        return GroundingDinoConfig(num_queries=queries)
    numbers: dict[str, Any] = {"embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32]}
    swin = SwinConfig(**numbers, window_size=12, out_indices=[2, 3, 4])  # type: ignore[call-arg]
    return GroundingDinoConfig(backbone_config=swin, num_queries=queries)
