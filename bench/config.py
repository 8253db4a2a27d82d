"""The user's configuration: where datasets lie on this computer.

One JSON file, ``$REFSEG_CONFIG`` or ``$XDG_CONFIG_HOME/refseg/config.json``:
``{"datasets": {"refdavis17": {"root": "/data/ref-davis"}}}``. Indices and receipts that can be made again lie in
:func:`cache_folder`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from refseg.bench.atomic import write_json
from refseg.bench.errors import InputError
from refseg.bench.parsing import parse_json


def config_path() -> Path:
    """Return the file's place; it need not exist."""
    if chosen := os.environ.get("REFSEG_CONFIG"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "refseg" / "config.json"


def cache_folder() -> Path | None:
    """Return where things are kept that can be made again: ``$REFSEG_CACHE`` or ``$XDG_CACHE_HOME/refseg``.

    None where the user wants nothing kept (``REFSEG_CACHE=``).
    """
    chosen = os.environ.get("REFSEG_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refseg"


def load_config() -> dict[str, Any]:
    """Return the configuration; empty where there is no file.

    Raises:
        InputError: The file is not a JSON object.
    """
    path = config_path()
    try:
        config = parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"The configuration {path} cannot be read ({error}); mend or delete it.") from None
    if not isinstance(config, dict) or not isinstance(config.get("datasets", {}), dict):
        raise InputError(f'The configuration {path} must hold {{"datasets": {{NAME: {{"root": DIR}}}}}}.')
    return config


def set_root(dataset: str, root: str) -> Path:
    """Remember a dataset's folder; returns the configuration's path."""
    if not Path(root).is_dir():
        raise InputError(f"{root} is not a folder; give the folder that holds {dataset}.")
    config = load_config()
    config.setdefault("datasets", {}).setdefault(dataset, {})["root"] = str(Path(root).resolve())
    write_json(config_path(), config, indent=2)
    return config_path()


def find_root(dataset: str, given: str | None) -> str | None:
    """Return a dataset's folder: the one given, the configured one, or ``$REFSEG_DATA/<dataset>``.

    Raises:
        InputError: The folder that is named does not exist.
    """
    configured = load_config().get("datasets", {}).get(dataset, {})
    shared = os.environ.get("REFSEG_DATA")
    for root, source in (
        (given, "--root"),
        (
            configured.get("root") if isinstance(configured, dict) else None,
            f"the configuration {config_path()}",
        ),
    ):
        if root == "":
            raise InputError(f"The root of {dataset} ({source}) is empty; give the folder that holds it.")
        if root is not None and not isinstance(root, str | Path):
            raise InputError(
                f"The root of {dataset} ({source}) is {root!r}; the name of a folder is expected."
            )
        if root is not None:
            if not Path(root).exists():
                raise InputError(
                    f"The root {root} of {dataset} ({source}) does not exist; give --root DIR or set it by "
                    f"`bench data set {dataset} DIR`."
                )
            return str(root)
    if shared and (Path(shared) / dataset).is_dir():
        return str(Path(shared) / dataset)
    return None
