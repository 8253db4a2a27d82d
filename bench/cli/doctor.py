"""``bench doctor``: what this installation has, what is wrong with it, and how to mend that."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from refseg.bench.cli.common import Commands, add_json, emit, guarded_stdout

NOT_USABLE = 2


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "doctor",
        help="say what this installation has, what is wrong with it, and what to do",
        description="Say what this installation has, what is wrong with it, and what to do. It reports on a broken "
        "installation too, and exits with 0 unless --check is given.",
    )
    parser.add_argument("--check", action="store_true", help="exit with 2 where there is a problem")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look."""
    from refseg.bench.doctor import examine

    with guarded_stdout(args.json):
        found = examine()
    emit(found, args.json, _text(found))
    return NOT_USABLE if args.check and found["problems"] else 0


def _text(found: Mapping[str, Any]) -> str:
    lines = [f"python       {found['python']} ({found['executable']})"]
    if "hardware" in found:
        hardware = found["hardware"]
        lines.insert(0, f"code         {found['code']['revision']}")
        lines.append(
            f"hardware     {hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB, "
            f"{found['platform']}"
        )
    packages = found["packages"] or {}
    devices = packages.get("devices", {})
    built = devices.get("torch_built_for", "unknown")
    lines.append(
        f"devices      cpu, {', '.join(devices.get('cuda', [])) or 'no CUDA device'} (torch for {built})"
    )
    lines += [f"package      {name} {version}" for name, version in packages.get("imports", {}).items()]
    for name, members in (found["extras"] or {}).items():
        missing = [p for p, version in members.items() if not version]
        lines.append(f"extra        {name}: {_extra(name, missing)}")
    for name, folder in (found["folders"] or {}).items():
        told = folder.get("note") or f"{folder['path']}, {folder['free_gib']} GiB free"
        lines.append(f"folder       {name}: {told}")
    config = found["config"] or {}
    if config:
        lines.append(f"config       {config['path']}{'' if config['exists'] else ' (not there yet)'}")
        lines += [f"dataset      {n}: {d.get('root')}" for n, d in config.get("datasets", {}).items()]
    for name, path in (found["checkpoints"] or {}).items():
        lines.append(f"checkpoint   {name}: {path or f'not there (bench fetch {name})'}")
    lines += [f"plugin       {kind}: {', '.join(names)}" for kind, names in (found["plugins"] or {}).items()]
    lines += [f"problem      {p['what']}: {p['mend']}" for p in found["problems"]]
    return "\n".join(lines if found["problems"] else [*lines, "No problem found."])


def _extra(name: str, missing: list[str]) -> str:
    if not missing:
        return "complete"
    if name == "gpu":
        return f"without {', '.join(missing)}, which is fine; install it beside a CUDA build of torch only"
    return f"missing {', '.join(missing)}: pip install 'refseg-bench[{name}]'"
