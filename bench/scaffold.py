"""``bench new`` as a function: a package of one's own, with one file, its registration and a test."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template
from typing import Literal

from refseg.bench import registry
from refseg.bench.atomic import write_bytes, write_error
from refseg.bench.errors import InputError

New = Literal["method", "dataset"]


def write_package(kind: New, name: str, out: str | Path | None = None) -> list[Path]:
    """Write a package that registers a method or a dataset, and works as it is.

    Args:
        kind: What it registers.
        name: The registered name, which is also the module's after ``refseg_``.
        out: The new folder; None: ``refseg-NAME``.

    Returns:
        The files: pyproject, module, test.

    Raises:
        InputError: The name cannot be one or is taken, or the folder exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot name a {kind}: write small letters, digits and _, a letter first, e.g. my_{kind}."
        )
    known = registry.table("methods" if kind == "method" else "datasets")
    if name in known:
        raise InputError(f"The {kind} name {name!r} is taken by {known[name].provider}; choose another.")
    dashed = name.replace("_", "-")
    folder = Path(out or f"refseg-{dashed}")
    if os.path.lexists(folder):
        raise InputError(f"{folder} is there already; give another --out, or delete it.")
    files = {
        "pyproject.toml": f"{kind}_pyproject.toml.txt",
        f"refseg_{name}.py": f"{kind}.py.txt",
        f"test_{name}.py": f"{kind}_test.py.txt",
    }
    templates = resources.files("refseg.bench") / "templates"
    texts = {
        file: Template((templates / source).read_text("utf-8")).substitute(name=name, dashed=dashed)
        for file, source in files.items()
    }
    _write(folder, texts)
    return [folder / file for file in texts]


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write the files into a folder beside the new one, which is then moved: all of them are there, or none."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        for file, text in texts.items():
            write_bytes(half / file, text.encode())
        half.chmod(0o755)
        half.rename(folder)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
