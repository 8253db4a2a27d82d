"""What made a run: its record (run.json) and its key.

The key hashes everything that predictions depend on: the method's name, revision, options and weights, the
dataset's version, fingerprint and split, the number type and device kind, and the source code in use.
Nothing is reused under another key. The record holds nothing of the user's computer but its hardware and the
dataset's root.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.types import DatasetInfo, MethodInfo

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "pillow", "pycocotools", "safetensors", "scipy")
_NETWORK_PACKAGES = ("segment-anything", "transformers", "tokenizers")
_DIST = "refseg-bench"
_PREDICTING = ("types.py", "options.py", "predict.py", "reading.py", "merge.py", "store.py")
_TRAINING = (
    "train.py",
    "training.py",
    "training_log.py",
    "team.py",
    "accelerated.py",
    "curve.py",
    "losses.py",
)
_NOT_PREDICTING = ("cards", "training")
"""Folders of words about datasets, and of trainings."""


def key_parts(
    method: MethodInfo, dataset: DatasetInfo, *, device: str, dtype: str, dataset_options: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the key hashes, as JSON values."""
    return {
        "method": {
            "name": method.name,
            "provider": _provider("methods", method.name),
            "revision": method.revision,
            "config": _without_folders(method.config, method.weights),
            "weights": dict(method.weights),
        },
        "dataset": {
            "name": dataset.name,
            "provider": _provider("datasets", dataset.name),
            "version": dataset.version,
            "split": dataset.split,
            "fingerprint": dataset.fingerprint,
            "options": _without_folders(dict(dataset_options), {}),
        },
        "device": device.partition(":")[0],
        "dtype": dtype,
        "code": source_digest(),
    }


def run_key(parts: Mapping[str, Any]) -> str:
    """Return the hash of key parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Say where two key parts differ, e.g. ``["method.config.threshold: 0.5 there, 0.6 now"]``."""
    out = []
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            out += differences(a, b, f"{prefix}{name}.")
        elif a != b:
            out.append(f"{prefix}{name}: {_short(a)} there, {_short(b)} now")
    return out


def environment(device: str) -> dict[str, Any]:
    """Return code revision, package versions and hardware."""
    return {
        "code": {"revision": code_revision(), "sources_sha256": source_digest()},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": package_versions(),
        "hardware": hardware(device),
    }


@functools.cache
def source_digest() -> str:
    """Return the SHA-256 of the sources that predictions depend on: how they are made and kept, methods, datasets.

    Unlike a commit it is exact for uncommitted changes and for installed packages, and scoring, tables,
    trainings and the command line may change without making a stored prediction another one.
    """
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def code_revision() -> str:
    """Return ``git describe`` with a ``-dirty`` mark in a checkout, else the installed version."""
    root = _package_root().resolve().parent
    if (root / "pyproject.toml").is_file():
        try:
            done = subprocess.run(
                ["git", "-C", str(root), "describe", "--always", "--dirty", "--tags"],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
            return done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    return f"{_DIST} {_version(_DIST) or 'of unknown version'}"


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that results may depend on, those that are installed."""
    found = {name: _version(name) for name in (_DIST, *_PACKAGES, *_NETWORK_PACKAGES)}
    return {name: version for name, version in found.items() if version}


def hardware(device: str) -> dict[str, Any]:
    """Return CPU name, usable cores, memory in GiB and the torch device's name."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        memory = 0.0
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "device": device,
        "device_name": _device_name(device),
    }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _package_root() -> Path:
    """Return the folder ``bench`` as the import system found it; its siblings are the other three."""
    return Path(__file__).parent


def _sources() -> Iterator[Path]:
    bench = _package_root()
    yield from (bench / name for name in _PREDICTING)
    for sibling in ("methods", "datasets"):
        # A symlink in a source checkout, a plain folder in an installation.
        paths = sorted((bench.parent / sibling).resolve().rglob("*.py"))
        yield from (p for p in paths if p.name not in _TRAINING and p.parent.name not in _NOT_PREDICTING)


def _provider(kind: registry.Kind, name: str) -> str:
    known = registry.table(kind).get(name)
    return known.provider if known is not None else "caller"


def _without_folders(values: Mapping[str, Any], weights: Mapping[str, str]) -> dict[str, Any]:
    """Return options with absolute paths reduced to file names; a hash keeps different folders apart."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            out[name] = _without_folders(value, weights)
        elif isinstance(value, str | Path) and os.path.isabs(str(value)):
            file = Path(value).name
            # Weights have their own SHA-256 in the key, so their folder does not matter.
            out[name] = (
                file if file in weights else f"{file}#{hashlib.sha256(str(value).encode()).hexdigest()[:8]}"
            )
        else:
            out[name] = value
    return out


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _device_name(device: str) -> str:
    if device.startswith("cuda") and "torch" in sys.modules:
        import torch

        return str(torch.cuda.get_device_name(device))
    return ""


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else f"{text[:12]}…"
