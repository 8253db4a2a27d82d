"""Checkpoints of the Hugging Face hub: fetched once, by revision where one is pinned, never as a pickle."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = "model.safetensors"


def is_hub_id(given: str | None) -> bool:
    """Return whether it reads as ``OWNER/NAME`` and not as a path."""
    if given is None or given.count("/") != 1 or Path(given).suffix in (".pth", ".pt", ".safetensors"):
        return False
    return given[0] not in "./~" and not Path(given).exists()


def snapshot(hub: str, revision: str | None, *, offline: bool = False, weights: bool = True) -> Path | None:
    """Return the folder of a hub repository's files; None where it cannot be had. Pickles are never fetched.

    Args:
        hub: ``OWNER/NAME``.
        revision: Commit; None: the newest.
        offline: Look into the cache only.
        weights: Whether the weights are wanted too, or configuration and vocabulary alone.
    """
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "vocab.txt", *([WEIGHTS] if weights else [])]
    try:
        folder = Path(
            snapshot_download(hub, revision=revision, allow_patterns=patterns, local_files_only=offline)
        )
    except (OSError, ValueError):
        return None
    return folder if not weights or (folder / WEIGHTS).is_file() else None
