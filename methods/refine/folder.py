"""Masks that lie on disk, as a method: whatever made them can be shown, compared and refined like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.layouts.files import open_files
from refseg.bench.layouts.opening import open_masks, open_source
from refseg.bench.layouts.runs import run_facts
from refseg.bench.options import parse_options
from refseg.bench.scorer import refuse_other_dataset
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.types import (
    Dataset,
    Expression,
    FramePrediction,
    MethodInfo,
    MethodRequest,
    Predictions,
    Video,
)

if TYPE_CHECKING:
    from torch import nn

REVISION = "1"


@dataclass(frozen=True)
class FolderOptions:
    """Options of ``--set``.

    Attributes:
        path: A folder or zip of masks, or a run of ``bench run``.
        layout: How it is laid out; None: found out.
        on_missing: What an expression or frame without masks is: an error, or empty.
    """

    path: str | None = None
    layout: str | None = None
    on_missing: Literal["error", "empty"] = "error"


class FolderMethod:
    """Answers with saved masks; see :class:`FolderOptions` for ``--set``.

    Raises:
        InputError: No path is given, or it is not there.
    """

    def __init__(self, request: MethodRequest) -> None:
        self._options = options = parse_options(
            FolderOptions, request.options, owner=f"method {request.name}"
        )
        if options.path is None:
            raise InputError(
                f"Method {request.name} answers with masks on disk: give their folder or zip by --set path=PATH."
            )
        self._path = Path(options.path)
        self.info = MethodInfo(
            request.name,
            REVISION,
            online=False,
            needs="a folder or zip of masks",
            config={
                "path": self._path.name,
                "content_sha256": content_sha256(self._path),
                "layout": options.layout,
                "on_missing": options.on_missing,
            },
        )
        self._predictions: Predictions | None = None

    def bind(self, dataset: Dataset) -> None:
        """Find the dataset's videos among the masks.

        Raises:
            InputError: None is there, or a run was made on another dataset.
        """
        layout, on_missing = self._options.layout, self._options.on_missing
        source = open_source(self._path, layout)
        if isinstance(source, RunFolder):
            facts = run_facts(source)
            refuse_other_dataset(facts, dataset, self._path)
            self._predictions = SavedRun(source, facts.key)
        else:
            self._predictions = open_masks(source, dataset, layout, on_missing=on_missing)

    def segment(self, video: Video, expressions: Sequence[Expression]) -> Iterator[FramePrediction]:
        """Yield the saved masks; no frame is read.

        Raises:
            InputError: Masks of an expression are missing, and that is an error.
        """
        assert self._predictions is not None, "bind comes first"
        found = []
        for expression in expressions:
            masks = self._predictions.masks(video, expression)
            if masks is None and self._options.on_missing == "error":
                raise InputError(
                    f"{self._path} holds no masks of {video.id}/{expression.id}; add them, or give "
                    "--set on_missing=empty."
                )
            found.append(np.zeros((len(video), *video.size), bool) if masks is None else masks)
        for frame in range(len(video)):
            masks = np.stack([m[frame] for m in found])
            yield FramePrediction(frame, masks, np.ones(len(masks), np.float32), masks.astype(np.float16))

    def modules(self) -> Mapping[str, nn.Module]:
        """Return nothing: there is no network."""
        return {}


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a folder's or zip's files with their names.

    Raises:
        InputError: It does not exist or cannot be read.
    """
    files = open_files(path)
    digest = hashlib.sha256()
    for name in sorted(files.names):
        content = files.read(name)
        digest.update(f"{name}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
