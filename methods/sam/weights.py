"""Reading and writing weights; nothing that can run code is ever loaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from refseg.bench.errors import InputError
from refseg.methods.checkpoints import Wanted, find_wanted

SAM_SHA256 = {
    "sam_vit_b_01ec64.pth": "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    "sam_vit_l_0b3195.pth": "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    "sam_vit_h_4b8939.pth": "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
}
"""SAM's published checkpoints; the names begin with ``sam_`` and the size."""

SAM_SOURCE = "https://dl.fbaipublicfiles.com/segment_anything/"

SAM_TINY = Path(__file__).parent / "assets" / "sam_tiny.safetensors"
"""The tiny SAM that is shipped; ``bench train --recipe sam_refshapes`` makes it."""


def sam_wanted(size: str, given: str | None) -> Wanted:
    """Return SAM's published checkpoint of ``vit_b``, ``vit_l`` or ``vit_h``; ``given``: --set sam_checkpoint."""
    name = f"sam_{size}"
    file = next(f for f in SAM_SHA256 if f.startswith(name))
    return Wanted(name, "sam_checkpoint", given, file, SAM_SOURCE + file, f"SHA-256 {SAM_SHA256[file]}")


def find_sam(size: str, given: str | None) -> Path | None:
    """Return where SAM's weights of a size lie: what is given, the published file, or the shipped ``tiny``; or None."""
    if size == "tiny":
        return Path(given) if given else SAM_TINY
    return find_wanted(sam_wanted(size, given))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        InputError: Names or shapes do not fit; the first of each is named.
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
    module.load_state_dict(state, strict=strict)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text facts of a .safetensors file; empty for other files."""
    if path.suffix != ".safetensors":
        return {}
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})
