"""Where checkpoints lie: given by hand, configured, or in one folder of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from refseg.bench.config import config_path, load_config
from refseg.bench.errors import InputError


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
    configured = load_config().get("checkpoints", {})
    if not isinstance(configured, dict):
        raise InputError(f'"checkpoints" in {config_path()} must be {{NAME: PATH}}; mend the file.')
    for path, origin in (
        (given, f"--set {option}"),
        (configured.get(name), f"the configuration {config_path()}"),
    ):
        if path:
            if not Path(path).exists():
                raise InputError(
                    f"The checkpoint {path} of {name} ({origin}) does not exist; give its right path."
                )
            return Path(path)
    folder = os.environ.get("REFSEG_CHECKPOINTS")
    for file in files if folder else ():
        path = Path(str(folder)) / file
        if path.exists():
            return path
    looked = (
        f"none of {', '.join(files)} is in $REFSEG_CHECKPOINTS={folder}"
        if folder
        else "$REFSEG_CHECKPOINTS is not set"
    )
    raise InputError(
        f"The checkpoint {name} is not set: give --set {option}=PATH, or name it under "
        f'"checkpoints" in {config_path()}; {looked}.' + (f" Its source: {source}." if source else "")
    )
