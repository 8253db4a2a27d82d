"""A program as a method: it reads a folder of frames and sentences and writes masks.

For a method that lives in another environment or another language: nothing of it is imported, it is run once a video
(:mod:`refseg.methods.command.exchange` describes the folder) and timed from outside.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from refseg.bench.atomic import safe_name
from refseg.bench.errors import InputError
from refseg.bench.options import parse_options
from refseg.bench.types import Expression, FramePrediction, MethodInfo, MethodRequest, Video
from refseg.methods.command.exchange import read_masks, read_scores, write_request
from refseg.methods.command.program import files_of, hashes_of, run_program

if TYPE_CHECKING:
    from torch import nn

REVISION = "1"
WORK = "{work}"
"""Stands for the folder in the program's arguments."""


@dataclass(frozen=True)
class CommandOptions:
    """Options of ``--set``.

    Attributes:
        run: The program with its arguments, split as a shell splits words; no shell runs it. ``{work}`` stands for the
            folder, which else comes last.
        time_limit: Seconds that it may take for one video.
        revision: What changes whenever its predictions may change; scripts and weights that are arguments need none,
            since their content is part of every result's key.
        keep: A folder that every video's exchange is left in, to look at; None: they are deleted.
    """

    run: str | None = None
    time_limit: float = 3600.0
    revision: str = "1"
    keep: str | None = None


class Command:
    """``command``; see :class:`CommandOptions` for ``--set``.

    ``extras`` of a video's first frame hold ``program_seconds``, the wall clock of the program for this video: its
    start and the loading of its weights included, the writing of frames and the reading of masks not.

    Raises:
        InputError: No program is given, or it is not there.
    """

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = parse_options(
            CommandOptions, request.options, owner=f"method {request.name}"
        )
        self._arguments = _arguments(request.name, options.run)
        if not options.time_limit > 0:
            raise InputError(
                f"time_limit={options.time_limit:g} of method {request.name} must be more than 0 seconds."
            )
        self._device, self._dtype = request.device, request.dtype
        files = files_of(self._arguments)
        self.info = MethodInfo(
            request.name,
            f"{REVISION}/{options.revision}",
            # The program is given the whole video.
            online=False,
            needs="a program (--set run=…)",
            config={"run": shlex.join(_without_folder(a) for a in self._arguments)},
            weights=hashes_of(files),
        )

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Run the program and yield the masks that it left.

        Raises:
            ProgramError: It fails, takes too long, or leaves masks out.
            MaskFault: What it left is no mask of this video.
        """
        with tempfile.TemporaryDirectory(prefix="refseg-command-") as folder:
            work = Path(folder)
            write_request(work, video, expressions, device=self._device, dtype=self._dtype)
            try:
                seconds = run_program(self._with(work), limit=self._options.time_limit)
            finally:
                self._keep(work, video)
            scores = read_scores(work, len(expressions), len(video))
            for i in range(len(video)):
                masks = read_masks(work, video, len(expressions), i)
                told = [{"program_seconds": round(seconds, 3)}] * len(expressions) if i == 0 else None
                yield FramePrediction(i, masks, scores[i], masks.astype(np.float16), told)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return nothing: the networks are in another process."""
        return {}

    def _with(self, work: Path) -> list[str]:
        if any(WORK in a for a in self._arguments):
            return [a.replace(WORK, str(work)) for a in self._arguments]
        return [*self._arguments, str(work)]

    def _keep(self, work: Path, video: Video) -> None:
        if self._options.keep is not None:
            shutil.copytree(work, Path(self._options.keep) / safe_name(video.id), dirs_exist_ok=True)


def _without_folder(argument: str) -> str:
    """Return an argument, or ``--option=value``, with a path's last part only: a record names no folder."""
    option, sep, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    return f"{option}{sep}{Path(value).name if Path(value).is_absolute() else value}"


def _arguments(name: str, text: str | None) -> list[str]:
    if text is None:
        raise InputError(
            f"Method {name} runs a program: give it by --set run='PROGRAM ARGUMENTS'; it gets a folder of frames and "
            "sentences, and writes masks there (docs/own_method.md)."
        )
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"--set run={text!r} cannot be split into words ({error}); mend its quotes."
        ) from None
    if not arguments:
        raise InputError("--set run= names no program.")
    if shutil.which(arguments[0]) is None:
        raise InputError(
            f"The program {arguments[0]} of --set run=… is not there or cannot be run; give its whole path."
        )
    return arguments
