"""Reading and writing weights; nothing that can run code is ever loaded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.bench.fetch import file_sha256
from refseg.methods.checkpoints import Wanted, find_wanted
from refseg.methods.downloads import DOWNLOADS, require_published

SAM_TINY = Path(__file__).parent / "assets" / "sam_tiny.safetensors"
"""The tiny SAM that is shipped; ``bench train --recipe sam_refshapes`` makes it."""


def sam_wanted(size: str, given: str | None) -> Wanted:
    """Return SAM's published checkpoint of ``vit_b``, ``vit_l`` or ``vit_h``; ``given``: --set sam_checkpoint."""
    name = f"sam_{size}"
    published = DOWNLOADS[name]
    expected = f"SHA-256 {published.sha256}"
    return Wanted(name, "sam_checkpoint", given, published.file, published.url, expected)


def find_sam(size: str, given: str | None) -> Path | None:
    """Return where SAM's weights of a size lie: what is given, the published file, or the shipped ``tiny``; or None."""
    if size == "tiny":
        return Path(given) if given else SAM_TINY
    return find_wanted(sam_wanted(size, given))


def weights_sha256(path: Path) -> str:
    """Return the SHA-256 of a file of weights, in hex.

    Raises:
        InputError: It has the name of a published checkpoint and is another file.
    """
    sha256 = file_sha256(path)
    require_published(path.name, sha256)
    return sha256


def save_safetensors(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors and text facts about them to a .safetensors file, atomically."""
    from safetensors.torch import save_file

    part = path.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in state.items()}, str(part), dict(metadata))
    os.replace(part, path)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a .safetensors file or of a .pth checkpoint, plain or under a key that is usual.

    Raises:
        InputError: The file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"The weights {path} do not exist; give the file's path.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message says how to load it all the same, which runs what it holds.
        raise InputError(
            f"The weights {path} are no pickle of tensors alone: they are damaged, or hold objects that run code when "
            "they are loaded, and are refused; give a state dict or a .safetensors file."
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"The weights {path} cannot be read as tensors ({reason}); fetch the file again."
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(
            f"The weights {path} hold something other than a table of tensors; give a state dict."
        )
    return state


def load_into(
    module: torch.nn.Module, state: Mapping[str, Tensor], path: Path, *, strict: bool = True
) -> None:
    """Copy tensors into a module.

    Raises:
        InputError: Names or shapes do not fit (the first of each is named), or a tensor is not finite.
    """
    own = module.state_dict()
    missing = [k for k in own if k not in state] if strict else []
    unknown = [k for k in state if k not in own]
    shapes = [k for k in state if k in own and own[k].shape != state[k].shape]
    if missing or unknown or shapes:
        facts = []
        if missing:
            facts.append(f"{len(missing)} tensors are missing, first {missing[0]}")
        if unknown:
            facts.append(f"{len(unknown)} are not the model's, first {unknown[0]}")
        if shapes:
            k = shapes[0]
            facts.append(f"{k} is {tuple(state[k].shape)} and should be {tuple(own[k].shape)}")
        raise InputError(
            f"The weights {path} do not fit this model: {'; '.join(facts)}. Give the matching file."
        )
    refuse_unusable(own, state, path)
    module.load_state_dict(state, strict=strict)


def refuse_unusable(own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that fit by name and shape and hold no weights: of another kind of number, NaN or infinite.

    Args:
        own: The model's tensors.
        state: The file's.
        path: The file, for messages.

    Raises:
        InputError: One of them is so; it is named.
    """
    for name in own.keys() & state.keys():
        wanted, found = own[name], state[name]
        kinds = [(t.is_floating_point(), t.is_complex()) for t in (wanted, found)]
        if kinds[0] != kinds[1]:
            raise InputError(
                f"The weights {path} hold {name} as {found.dtype}, and {wanted.dtype} is expected; give the matching "
                "file."
            )
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise InputError(
                f"The weights {path} hold numbers in {name} that are not finite; the training that made them diverged, "
                "or the file is damaged."
            )


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text facts of a .safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})
