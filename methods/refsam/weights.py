"""RefSAM's weights: SAM's file, and a file of all that differs from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json
from refseg.methods.refsam.model import RefSam
from refseg.methods.sam.weights import load_tensors, read_metadata, refuse_unusable, save_safetensors

_NOT_IN_WEIGHTS = ("mask_selection", "mask_candidates", "threshold")
"""Options that change what is made of the network's output, not the network."""


def learnable_parameters(model: RefSam) -> dict[str, list[nn.Parameter]]:
    """Return the learnable parameters by part, the parts of ``model.learnable_modules()``."""
    return {name: list(module.parameters()) for name, module in model.learnable_modules().items()}


def learnable_tensors(model: RefSam) -> dict[str, nn.Parameter]:
    """Return the learnable parameters by their names in the model, shared ones once."""
    chosen = {id(p) for parameters in learnable_parameters(model).values() for p in parameters}
    return {name: p for name, p in model.named_parameters() if id(p) in chosen}


def save_weights(
    model: RefSam, path: Path, metadata: Mapping[str, str] | None = None, *, dtype: torch.dtype | None = None
) -> None:
    """Write the learnable tensors; the rest is in SAM's file and the text encoder's.

    Args:
        model: The model.
        path: A ``.safetensors`` file.
        metadata: Facts to keep with it, e.g. the hash of SAM's file.
        dtype: Type to store in; None: as they are.
    """
    state = {k: p.detach().to(dtype or p.dtype) for k, p in learnable_tensors(model).items()}
    facts = {"format": "refsam/1", "config": json.dumps(asdict(model.config), sort_keys=True)}
    save_safetensors(state, path, {**(metadata or {}), **facts})


def load_weights(model: RefSam, path: Path) -> dict[str, str]:
    """Load what :func:`save_weights` wrote, beside SAM's weights; returns the file's metadata.

    Raises:
        InputError: The file cannot be read, was made with other options, or does not fit.
    """
    state = load_tensors(path)
    metadata = read_metadata(path)
    if "config" in metadata:
        _check_options(_options(metadata["config"], path), model, path)
    own = learnable_tensors(model)
    missing = [k for k in own if k not in state]
    unknown = [k for k in state if k not in own]
    shapes = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or unknown or shapes:
        raise InputError(
            f"The weights {path} do not fit this RefSAM: {len(missing)} tensors are missing, {len(unknown)} "
            f"unknown, {len(shapes)} of another shape, first {(missing or unknown or shapes)[0]}. "
            f"Give the matching file."
        )
    refuse_unusable(own, state, path)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
    return metadata


def load_start(model: RefSam, path: Path) -> dict[str, str]:
    """Load weights to begin a training with, all parts but perhaps tracking; returns the file's metadata.

    A model that was trained on single images knows no tracking; it then starts at random.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    state = load_tensors(path)
    own = learnable_tensors(model)
    missing = [k for k in own if k not in state and not k.startswith(("itm.", "memory."))]
    unknown = [k for k in state if k not in own and not k.startswith(("itm.", "memory."))]
    shapes = [k for k in own if k in state and state[k].shape != own[k].shape]
    if missing or unknown or shapes:
        raise InputError(
            f"A training cannot start at {path}: {len(missing)} tensors are missing, {len(unknown)} unknown, "
            f"{len(shapes)} of another shape, first {(missing or unknown or shapes)[0]}; give weights of the same "
            "model and options."
        )
    with torch.no_grad():
        for name in (k for k in own if k in state):
            own[name].copy_(state[name])
    return read_metadata(path)


def _options(text: str, path: Path) -> Mapping[str, Any]:
    try:
        made = parse_json(text)
    except ValueError as error:
        made = error
    if not isinstance(made, dict):
        raise InputError(
            f"The weights {path} hold no readable options ({made}); give the file as it was written."
        )
    return made


def _check_options(made: Mapping[str, Any], model: RefSam, path: Path) -> None:
    own = json.loads(json.dumps(asdict(model.config)))
    other = [k for k in own if k in made and made[k] != own[k] and k not in _NOT_IN_WEIGHTS]
    if other:
        differences = ", ".join(f"{k}={made[k]} (here {own[k]})" for k in other)
        raise InputError(f"The weights {path} were made with {differences}; set the same options.")
