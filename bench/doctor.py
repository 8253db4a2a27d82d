"""``bench doctor`` as a function: what is installed, what of it works, and how to mend the rest.

Packages are imported in a process of their own, so that one that hangs, crashes or leaves costs a line of the report.
Nothing outside of the standard library is imported here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from refseg.bench.errors import RefsegError

REQUIRED = {
    "numpy": "import numpy",
    "Pillow": "import PIL.Image",
    "opencv-python-headless": "import cv2",
    "pycocotools": "import pycocotools.mask",
    "numba": "import numba",
    "scipy": "import scipy.ndimage",
    "h5py": "import h5py",
    "pandas": "import pandas",
    "matplotlib": "import matplotlib.pyplot",
    "jinja2": "import jinja2",
    "zlib-ng": "import zlib_ng",
    "safetensors": "import safetensors",
    "torch": "import torch",
    "segment-anything": "import refseg.methods.sam.compat",
    "transformers": "from transformers import T5EncoderModel",
}
"""Package -> what must work of it, the small ones first."""

OPTIONAL = {"torchvision": "import torchvision"}
"""Packages that may be absent, but not broken."""

MODULES = {
    "opencv-python-headless": "cv2",
    "Pillow": "PIL",
    "segment-anything": "segment_anything",
    "zlib-ng": "zlib_ng",
}
"""Package -> its module, where that has another name."""

_DIST = "refseg-bench"
_PATIENCE = 900
_PROBE = """
import json, sys
for line in sys.stdin:
    name, code = json.loads(line)
    print(json.dumps([name, None]), flush=True)
    try:
        exec(code, {})
        found = ""
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps([name, found]), flush=True)
"""
_DEVICES = """
import torch
n = torch.cuda.device_count() if torch.cuda.is_available() else 0
names = [torch.cuda.get_device_name(i) for i in range(n)]
raise SystemExit(f"{torch.version.cuda or 'CPU'}|{'|'.join(names)}")
"""
_EXTRA = re.compile(r"""([A-Za-z0-9._-]+).*;\s*extra\s*==\s*["']([A-Za-z0-9._-]+)["']""")


def examine() -> dict[str, Any]:
    """Return what was found; ``"problems"`` holds ``{"what", "mend"}`` of all that keeps a command from working.

    Nothing is raised for a broken environment: what cannot be found out is a problem too.
    """
    problems: list[dict[str, str]] = []
    found: dict[str, Any] = {
        "python": sys.version.split()[0],
        "executable": sys.executable,
        "problems": problems,
    }
    parts: dict[str, Callable[[list[dict[str, str]]], Any]] = {
        "environment": _environment,
        "packages": _packages,
        "folders": _folders,
        "config": _config,
        "extras": _extras,
        "plugins": _plugins,
        "checkpoints": _checkpoints,
    }
    for name, part in parts.items():
        try:
            found[name] = part(problems)
        except Exception as error:
            found[name] = None
            if name != "environment":
                _tell(
                    problems, f"{name} cannot be found out ({_short(error)})", "see the other problems first"
                )
    environment = found.pop("environment") or {}
    return {k: v for k, v in environment.items() if k != "packages"} | found


def probe(statements: Sequence[tuple[str, str]], *, patience: float = _PATIENCE) -> dict[str, str]:
    """Return name -> what went wrong, empty where nothing did, of statements run one after the other elsewhere.

    Args:
        statements: (name, Python code).
        patience: Seconds after which one that still runs is given up.
    """
    found: dict[str, str] = {}
    left = list(statements)
    while left:
        begun, ended = _run(left, patience)
        found |= ended
        for name in begun:
            found.setdefault(name, "the process died or did not come to an end")
        rest = [(n, c) for n, c in left if n not in found]
        if len(rest) == len(left):
            return found | {n: "Python does not start" for n, _ in rest}
        left = rest
    return found


def _run(statements: Sequence[tuple[str, str]], patience: float) -> tuple[list[str], dict[str, str]]:
    """Return the statements that were begun and what those that ended said."""
    lines = "".join(json.dumps(s) + "\n" for s in statements)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            input=lines,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        out = done.stdout
    except subprocess.TimeoutExpired as error:
        out = (
            error.stdout.decode("utf-8", "replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        )
    except OSError:
        out = ""
    begun: list[str] = []
    ended: dict[str, str] = {}
    for name, said in _said(out):
        if said is None:
            begun.append(name)
        else:
            ended[name] = said
    return begun, ended


def _said(out: str) -> Iterator[tuple[str, str | None]]:
    """Yield what the probe says; a package that prints when it is imported is passed over."""
    for line in out.splitlines():
        try:
            name, said = json.loads(line)
        except (ValueError, TypeError):
            continue
        yield str(name), said


def _environment(problems: list[dict[str, str]]) -> dict[str, Any]:
    from refseg.bench import provenance

    return provenance.environment("cpu")


def _packages(problems: list[dict[str, str]]) -> dict[str, Any]:
    """Return package -> version, or what is wrong with it; and the devices that torch sees."""
    optional = {n: c for n, c in OPTIONAL.items() if _version(n) or _has_module(n)}
    said = probe([*REQUIRED.items(), *optional.items(), ("devices", _DEVICES)])
    devices = _devices(said.pop("devices"), problems)
    for name, error in said.items():
        if not error:
            continue
        if name in OPTIONAL:
            mend = "it does not fit this torch and breaks transformers' models too: pip uninstall torchvision"
        elif f"No module named {MODULES.get(name, name)!r}" in error:
            mend = f"pip install {name}"
        elif name == "transformers" and said.get("torchvision"):
            mend = "uninstall the broken torchvision first"
        elif name != "torch" and said.get("torch") and name in ("segment-anything", "transformers"):
            mend = "mend torch first"
        else:
            mend = f"pip install --force-reinstall {name}"
        _tell(problems, f"{name} cannot be imported ({_cut(error)})", mend)
    imports = {n: _cut(error) if error else _version(n) or "there" for n, error in said.items()}
    return {"imports": imports, "devices": devices}


def _devices(said: str, problems: list[dict[str, str]]) -> dict[str, Any]:
    """Return what torch was built for and its CUDA devices."""
    built, *names = said.removeprefix("SystemExit: ").split("|") if "|" in said else ["unknown"]
    names = [n for n in names if n]
    if os.path.exists("/dev/nvidiactl") and built != "unknown" and not names:
        mend = (
            "install a CUDA build of torch"
            if built == "CPU"
            else f"its CUDA is {built}: compare with the driver's in nvidia-smi"
        )
        _tell(problems, "this computer has an NVIDIA GPU that torch cannot use", mend)
    return {"torch_built_for": built, "cuda": names}


def _folders(problems: list[dict[str, str]]) -> dict[str, Any]:
    """Return what is known of the folders that commands write to."""
    from refseg.bench.config import cache_folder
    from refseg.bench.fetch import checkpoint_folders

    named = {"cache": cache_folder(), "runs": Path("runs")}
    named |= {"checkpoints": next(iter(checkpoint_folders()), None), "temporary": _temporary()}
    found: dict[str, Any] = {}
    for name, path in named.items():
        if path is None:
            found[name] = {"path": None, "note": "nothing is kept"}
            continue
        fault = _not_writable(path)
        found[name] = {"path": str(path), "writable": not fault, "free_gib": _free(path)}
        if fault:
            variable = {
                "cache": "$REFSEG_CACHE",
                "checkpoints": "$REFSEG_CHECKPOINTS",
                "temporary": "$TMPDIR",
            }
            mend = f"set {variable[name]} to another folder" if name in variable else "give --out elsewhere"
            _tell(problems, f"the {name} folder {path} cannot be written ({fault})", mend)
    return found


def _config(problems: list[dict[str, str]]) -> dict[str, Any]:
    from refseg.bench.config import config_path, load_config

    found: dict[str, Any] = {"path": str(config_path()), "exists": config_path().exists()}
    try:
        loaded = load_config()
    except RefsegError as error:
        _tell(problems, str(error), "correct or delete the file")
        return found
    for name, one in loaded.get("datasets", {}).items():
        root = one.get("root") if isinstance(one, dict) else None
        if not isinstance(root, str) or not Path(root).is_dir():
            _tell(
                problems,
                f"the folder {root} of the dataset {name} is not there",
                f"bench data set {name} DIR",
            )
    return found | loaded | {"REFSEG_DATA": os.environ.get("REFSEG_DATA", "")}


def _extras(problems: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """Return extra -> package -> version, or empty where it is missing; a missing extra is no problem."""
    found: dict[str, dict[str, str]] = {}
    try:
        requirements = metadata.requires(_DIST) or []
    except metadata.PackageNotFoundError:
        _tell(problems, f"{_DIST} is not installed, only on the path", "pip install -c constraints.txt -e .")
        return {}
    for requirement in requirements:
        match = _EXTRA.match(requirement)
        if match:
            found.setdefault(match[2], {})[match[1]] = _version(match[1]) or ""
    return found


def _plugins(problems: list[dict[str, str]]) -> dict[str, list[str]]:
    from refseg.bench import registry

    found: dict[str, list[str]] = {}
    for kind in ("methods", "datasets", "protocols"):
        for name, entry in registry.table(kind).items():
            if entry.error:
                _tell(problems, entry.error, "rename one, or uninstall a package")
            if entry.provider != registry.BUILT_IN:
                found.setdefault(kind, []).append(f"{name} ({entry.provider})")
    return found


def _checkpoints(problems: list[dict[str, str]]) -> dict[str, str | None]:
    from refseg.bench.fetch import checkpoint_folders
    from refseg.methods.downloads import DOWNLOADS

    def find(file: str) -> str | None:
        return next((str(f / file) for f in checkpoint_folders() if (f / file).exists()), None)

    return {name: find(d.file) for name, d in DOWNLOADS.items()}


def _tell(problems: list[dict[str, str]], what: str, mend: str) -> None:
    problems.append({"what": what, "mend": mend})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except Exception:
        # A half-deleted package has no readable metadata.
        return None


def _has_module(name: str) -> bool:
    return any((Path(p) / n).exists() for p in sys.path for n in (name, f"{name}.py"))


def _temporary() -> Path:
    import tempfile

    try:
        return Path(tempfile.gettempdir())
    except OSError:
        return Path(os.environ.get("TMPDIR", "/tmp"))


def _not_writable(path: Path) -> str:
    """Return why a folder, or the first one above it that is there, cannot be written to."""
    while not path.exists() and path != path.parent:
        path = path.parent
    if not path.is_dir():
        return f"{path} is a file"
    probe_file = path / f".bench-doctor-{os.getpid()}"
    try:
        probe_file.touch()
        probe_file.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _free(path: Path) -> float | None:
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return round(shutil.disk_usage(path).free / 2**30, 1)
    except OSError:
        return None


def _short(error: Exception) -> str:
    return _cut(f"{type(error).__name__}: {error}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"
