"""Where SAM 2's weights come from: a folder in transformers' format, or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.bench.predict import one_line
from refseg.methods.checkpoints import Wanted, find_wanted
from refseg.methods.hub import WEIGHTS, is_hub_id, snapshot

OPTION = "sam2_checkpoint"
HUB: Mapping[str, str] = {
    "tiny": "facebook/sam2.1-hiera-tiny",
    "small": "facebook/sam2.1-hiera-small",
    "base_plus": "facebook/sam2.1-hiera-base-plus",
    "large": "facebook/sam2.1-hiera-large",
}
"""Ids of the authors' conversions on the Hugging Face hub; a run's record holds the hash of what it used."""

_HIERA: Mapping[str, tuple[int, int, tuple[int, ...], tuple[int, ...], int, tuple[int, ...]]] = {
    "tiny": (96, 1, (1, 2, 7, 2), (5, 7, 9), 7, (8, 4, 14, 7)),
    "small": (96, 1, (1, 2, 11, 2), (7, 10, 13), 7, (8, 4, 14, 7)),
    "base_plus": (112, 2, (2, 3, 16, 3), (12, 16, 20), 14, (8, 4, 14, 7)),
    "large": (144, 2, (2, 6, 36, 4), (23, 33, 43), 7, (8, 4, 16, 8)),
}
"""Width, heads, blocks a stage, blocks that attend globally, side of the background embedding, sides of windows."""


def sam2_wanted(size: str, given: str | None) -> Wanted:
    """Return the published checkpoint of a size; ``given``: --set sam2_checkpoint."""
    hub = HUB[size]
    return Wanted(
        f"sam2_{size}",
        OPTION,
        given,
        hub.partition("/")[2],
        f"https://huggingface.co/{hub}",
        "a folder with config.json and model.safetensors, whose revision is not pinned",
    )


def find_sam2(size: str, given: str | None) -> Path | None:
    """Return the folder of a SAM 2, fetched from the hub once; None where it cannot be had.

    Args:
        size: A key of :data:`HUB`.
        given: A folder or a hub id ``OWNER/NAME``; None: what is configured, ``$REFSEG_CHECKPOINTS`` or the hub.

    Raises:
        InputError: The path that is given or configured does not exist.
    """
    named = is_hub_id(given)
    found = None if named else find_wanted(sam2_wanted(size, given))
    hub = str(given) if named else HUB[size]
    return found or snapshot(hub, None, offline=True) or snapshot(hub, None)


def load_sam2(path: Path) -> tuple[Any, dict[str, str]]:
    """Return transformers' ``Sam2VideoModel`` from a folder, and its weights' SHA-256 by name.

    Raises:
        InputError: They are not SAM 2's.
    """
    from transformers import Sam2VideoModel

    if not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path} holds no {WEIGHTS}; give a folder as transformers' save_pretrained writes it by --set {OPTION}=…"
        )
    model: Any
    told: Mapping[str, Any]
    loader: Any = Sam2VideoModel.from_pretrained
    try:
        model, told = loader(path, use_safetensors=True, output_loading_info=True)
    except Exception as error:
        raise InputError(
            f"{path} is no SAM 2 that transformers can load ({one_line(error)}); give a folder of transformers' "
            f"Sam2VideoModel by --set {OPTION}=FOLDER."
        ) from None
    if told["missing_keys"]:
        raise InputError(
            f"The weights in {path} are not SAM 2's for videos: {len(told['missing_keys'])} tensors are missing, first "
            f"{min(told['missing_keys'])}. Give the folder of one of {', '.join(HUB.values())}."
        )
    return model, {f"{path.name}/{WEIGHTS}": file_sha256(path / WEIGHTS)}


def configuration(size: str) -> Any:
    """Return transformers' configuration of a size (facebookresearch/sam2, ``sam2/configs/sam2.1``)."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    width, heads, blocks, attend_all, background, windows = _HIERA[size]
    backbone = Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=list(blocks),
        embed_dim_per_stage=[width << i for i in range(4)],
        num_attention_heads_per_stage=[heads << i for i in range(4)],
        window_positional_embedding_background_size=[background, background],
        window_size_per_stage=list(windows),
        global_attention_blocks=list(attend_all),
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[width << i for i in reversed(range(4))]
    )
    return Sam2VideoConfig(vision_config=vision)


def empty_sam2(size: str) -> Any:
    """Build a SAM 2 without weights or memory, for parameter counts."""
    from transformers import Sam2VideoModel

    with torch.device("meta"):
        return Sam2VideoModel(configuration(size))
