"""Where checkpoints lie: given by hand, configured, or in one folder of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refseg.bench.config import config_path, load_config
from refseg.bench.errors import InputError
from refseg.bench.fetch import checkpoint_folders
from refseg.methods.downloads import DOWNLOADS


@dataclass(frozen=True)
class Wanted:
    """A published checkpoint that a method needs.

    Attributes:
        name: Its key in the configuration's ``"checkpoints"``, e.g. ``"sam_vit_h"``.
        option: The ``--set`` option that names it.
        given: The option's value, or None.
        file: Its published file name, looked for in ``$REFSEG_CHECKPOINTS`` and where `bench fetch` puts it.
        source: Where it is published.
        expected: ``"SHA-256 …"`` or ``"revision …"`` of what is published.
        aliases: Other file names that are looked for after it.
    """

    name: str
    option: str
    given: str | None
    file: str
    source: str
    expected: str
    aliases: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.file} ({self.source}, {self.expected}; --set {self.option}=PATH)"


def find_wanted(wanted: Wanted) -> Path | None:
    """Return where a published checkpoint lies; None where it is nowhere.

    Raises:
        InputError: The path that is given or configured does not exist.
    """
    return _find(wanted.name, wanted.given, wanted.option, [wanted.file, *wanted.aliases])


def missing(wanted: Sequence[Wanted], also: str = "") -> InputError:
    """Return the error for checkpoints that are nowhere; it names all of them, and ends with ``also``."""
    one = len(wanted) == 1
    folder = os.environ.get("REFSEG_CHECKPOINTS")
    where = f"$REFSEG_CHECKPOINTS={folder}" if folder else "the folder that $REFSEG_CHECKPOINTS names"
    known = [w.name for w in wanted if w.name in DOWNLOADS]
    fetched = f" `bench fetch {' '.join(known)}`, or" if known else ""
    return InputError(
        f"{'A checkpoint is' if one else f'{len(wanted)} checkpoints are'} missing: "
        f"{' and '.join(map(str, wanted))};{fetched} put {'it' if one else 'them'} into {where} or give "
        f"{'its path' if one else 'their paths'}{also}."
    )


def find_checkpoint(
    name: str, given: str | None, *, option: str, files: Sequence[str], source: str = ""
) -> Path:
    """Return a checkpoint's path.

    Args:
        name: Its key in the configuration's ``"checkpoints"``, e.g. ``"sam_vit_h"``.
        given: The path from ``--set``, or None.
        option: The option's name, for messages.
        files: File names looked for in ``$REFSEG_CHECKPOINTS``, the best first.
        source: Where the published file is, for the message, e.g. a link and its SHA-256.

    Raises:
        InputError: It is nowhere; says where it was looked for.
    """
    found = _find(name, given, option, files)
    if found is not None:
        return found
    folder = os.environ.get("REFSEG_CHECKPOINTS")
    looked = (
        f"none of {', '.join(files)} is in $REFSEG_CHECKPOINTS={folder}"
        if folder
        else "$REFSEG_CHECKPOINTS is not set"
    )
    fetched = f" `bench fetch {name}` fetches it." if name in DOWNLOADS else ""
    raise InputError(
        f"The checkpoint {name} is not set: give --set {option}=PATH, or name it under "
        f'"checkpoints" in {config_path()}; {looked}.'
        + (f" Its source: {source}." if source else "")
        + fetched
    )


def _find(name: str, given: str | None, option: str, files: Sequence[str]) -> Path | None:
    configured = load_config().get("checkpoints", {})
    if not isinstance(configured, dict):
        raise InputError(f'"checkpoints" in {config_path()} must be {{NAME: PATH}}; mend the file.')
    for path, origin in (
        (given, f"--set {option}"),
        (configured.get(name), f"the configuration {config_path()}"),
    ):
        if path and not isinstance(path, str | Path):
            raise InputError(f"The checkpoint {name} ({origin}) is {path!r}; the name of a file is expected.")
        if path:
            if not Path(path).exists():
                raise InputError(
                    f"The checkpoint {path} of {name} ({origin}) does not exist; give its right path."
                )
            return Path(path)
    places = (folder / file for folder in checkpoint_folders() for file in files)
    return next((path for path in places if path.exists()), None)
