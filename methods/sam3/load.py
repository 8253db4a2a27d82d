"""Where SAM 3's weights come from: a folder in transformers' format, or the hub, whose repository is gated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.bench.predict import one_line
from refseg.methods.checkpoints import Wanted, find_wanted
from refseg.methods.hub import WEIGHTS, is_hub_id, snapshot

OPTION = "sam3_checkpoint"
HUB = "facebook/sam3"
"""The authors' repository on the Hugging Face hub."""
HUB_REVISION = "3c879f39826c281e95690f02c7821c4de09afae7"
"""Its commit."""

_CONFIG, _TOKENIZER = "config.json", "tokenizer.json"


def require_transformers() -> None:
    """Refuse a transformers that has no SAM 3 for videos.

    Raises:
        InputError: It is older than 5.
    """
    import transformers

    try:
        from transformers import Sam3VideoModel  # noqa: F401
    except ImportError:
        raise InputError(
            f"transformers {transformers.__version__} has no SAM 3 for videos; install 5.0 or newer: "
            'pip install "transformers>=5".'
        ) from None


def sam3_wanted(given: str | None) -> Wanted:
    """Return the published checkpoint; ``given``: --set sam3_checkpoint."""
    return Wanted(
        "sam3",
        OPTION,
        given,
        "sam3",
        f"https://huggingface.co/{HUB}",
        f"revision {HUB_REVISION}, a gated repository: accept its licence there and log in by `hf auth login`, "
        f"then it is fetched, or download {_CONFIG}, {_TOKENIZER} and {WEIGHTS} into a folder",
    )


def find_sam3(given: str | None) -> Path | None:
    """Return SAM 3's folder, fetched from the hub once; None where it cannot be had.

    Args:
        given: A folder or a hub id ``OWNER/NAME``; None: what is configured, ``$REFSEG_CHECKPOINTS`` or the hub.

    Raises:
        InputError: The path that is given or configured does not exist.
    """
    named = is_hub_id(given)
    found = None if named else find_wanted(sam3_wanted(given))
    hub, revision = (str(given), None) if named and given != HUB else (HUB, HUB_REVISION)
    return found or snapshot(hub, revision, offline=True) or snapshot(hub, revision)


def load_sam3(path: Path) -> tuple[Any, Any, dict[str, str]]:
    """Return transformers' ``Sam3VideoModel`` and its tokenizer from a folder, and the files' SHA-256 by name.

    Raises:
        InputError: They are not SAM 3's.
    """
    from transformers import CLIPTokenizer, Sam3VideoModel

    for name in (_CONFIG, WEIGHTS, _TOKENIZER):
        if not (path / name).is_file():
            raise InputError(
                f"{path} holds no {name}; give a folder with {_CONFIG}, {_TOKENIZER} and {WEIGHTS}, as {HUB} on "
                f"the Hugging Face hub has them, by --set {OPTION}=FOLDER."
            )
    kind = _model_type(path / _CONFIG)
    if kind != "sam3_video":
        raise InputError(
            f"{path / _CONFIG} is of the model type {kind!r}, not 'sam3_video'; give the folder of {HUB} by "
            f"--set {OPTION}=FOLDER."
        )
    model: Any
    told: Mapping[str, Any]
    loader: Any = Sam3VideoModel.from_pretrained
    try:
        model, told = loader(path, use_safetensors=True, output_loading_info=True)
        tokenizer: Any = CLIPTokenizer.from_pretrained(path)
    except Exception as error:
        raise InputError(
            f"{path} is no SAM 3 that transformers can load ({one_line(error)}); give a folder of transformers' "
            f"Sam3VideoModel by --set {OPTION}=FOLDER."
        ) from None
    if told["missing_keys"]:
        raise InputError(
            f"The weights in {path} are not SAM 3's for videos: {len(told['missing_keys'])} tensors are missing, "
            f"first {min(told['missing_keys'])}. Give the folder of {HUB} by --set {OPTION}=FOLDER."
        )
    return (
        model,
        tokenizer,
        {f"{path.name}/{name}": file_sha256(path / name) for name in (WEIGHTS, _TOKENIZER)},
    )


def _model_type(config: Path) -> Any:
    """Return what a configuration says it is of, before transformers builds the default model for another."""
    try:
        told = json.loads(config.read_text("utf-8"))
    except ValueError:
        return None
    return told.get("model_type") if isinstance(told, dict) else None


def empty_sam3() -> Any:
    """Build a SAM 3 without weights or memory, for parameter counts; transformers' defaults are its sizes."""
    from transformers import Sam3VideoConfig, Sam3VideoModel

    with torch.device("meta"):
        return Sam3VideoModel(Sam3VideoConfig())
