"""``bench doctor``: what this installation has, and what is wrong with it."""

from __future__ import annotations

import argparse
import importlib
import os
from typing import Any

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser("doctor", help="say what this installation has and what is wrong with it")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look; exit 2 where a run would fail."""
    from refseg.bench import provenance
    from refseg.bench.config import config_path, load_config

    with guarded_stdout(args.json):
        problems = [p for p in (_import_problem("torch"), _torchvision_problem()) if p]
        found: dict[str, Any] = provenance.environment(_device())
        found["config"] = {"path": str(config_path()), "exists": config_path().exists(), **load_config()}
        found["data"] = os.environ.get("REFSEG_DATA", "")
    hardware = found["hardware"]
    lines = [
        f"code        {found['code']['revision']}",
        f"python      {found['python']} on {found['platform']}",
        f"hardware    {hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB",
        f"device      {hardware['device']} {hardware['device_name']}".rstrip(),
        f"packages    {', '.join(f'{n} {v}' for n, v in found['packages'].items())}",
        f"config      {found['config']['path']}{'' if found['config']['exists'] else ' (not there yet)'}",
        *(f"problem     {p}" for p in problems),
    ]
    emit(found | {"problems": problems}, args.json, "\n".join(lines))
    return 2 if problems else 0


def _device() -> str:
    from refseg.bench.cli.common import chosen_device

    try:
        return chosen_device("auto")
    except ImportError:
        return "cpu"


def _import_problem(name: str) -> str:
    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{name} cannot be imported ({type(error).__name__}: {error}); install it again."
    return ""


def _torchvision_problem() -> str:
    """Return what is wrong with torchvision; that it is absent is not."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return ""
    except Exception as error:
        # A CUDA torchvision beside a CPU torch also breaks every transformers model.
        return (
            f"torchvision is there but cannot be imported ({type(error).__name__}); it does not fit this "
            f"torch: pip uninstall torchvision."
        )
    return ""
