"""Writes predictions as servers and official tools read them: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from refseg.bench.atomic import TEMPORARY, write_error
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.layouts.names import safe_id
from refseg.bench.layouts.png import MOST_IDS, encode_labels, encode_mask
from refseg.bench.types import Dataset, Predictions, Video

EXPORTS = ("ytvos", "davis", "mevis")
"""Layouts that can be written."""

_ABOVE = {"ytvos": "Annotations/", "mevis": ""}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def export(predictions: Predictions, dataset: Dataset, layout: str, out: Path | str) -> Path:
    """Write the masks of every expression and frame of a dataset; return where.

    ``ytvos`` writes ``Annotations/<video>/<expression>/<frame>.png`` (8-bit, 0 and 255) as Refer-YouTube-VOS's
    server took them; ``mevis`` the same without the folder above, as MeViS's README asks for its server;
    ``davis`` writes ``anno_<k>/<video>/<frame>.png`` (palette, the objects of an annotator merged), each
    ``anno_<k>`` a results folder of davis2017-evaluation. Equal predictions give equal bytes, zipped or not.

    Args:
        predictions: What is written.
        dataset: What was predicted; a view of it (:func:`refseg.bench.subset.subset`) where it is a part.
        layout: One of ``EXPORTS``.
        out: A folder that is not there or empty, or a new ``.zip``.

    Raises:
        InputError: The target holds something, a prediction is missing, an id cannot name a folder, the
            layout does not suit the dataset, or the disk is full. Nothing is left behind then.
    """
    if layout not in EXPORTS:
        raise unknown_name("export layout", layout, EXPORTS)
    out = Path(out)
    refuse_taken(out)
    files = (
        _davis(predictions, dataset) if layout == "davis" else _masks(predictions, dataset, _ABOVE[layout])
    )
    with new_target(out) as sink:
        for name, data in files:
            sink.write(name, data)
    return out


class Sink(Protocol):
    """Takes files one by one."""

    def write(self, name: str, data: bytes) -> None:
        """Take a file."""
        ...


class _FolderSink:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True)

    def write(self, name: str, data: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class _ZipSink:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def write(self, name: str, data: bytes) -> None:
        # A fixed date, system and mode make equal files equal bytes; PNGs are compressed already.
        info = zipfile.ZipInfo(name, _ZIP_DATE)
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._file.writestr(info, data, zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def new_target(out: Path) -> Iterator[Sink]:
    """Give a sink beside ``out`` that takes its place at the end, or is deleted where that is not reached.

    Raises:
        InputError: Something took the place meanwhile, or it cannot be written.
    """
    temporary = out.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".zip":
            with open(temporary, "xb") as raw:
                with zipfile.ZipFile(raw, "w") as file:
                    yield _ZipSink(file)
                raw.flush()
                os.fsync(raw.fileno())
        else:
            yield _FolderSink(temporary)
        refuse_taken(out)
        # An empty folder may be replaced by a folder; anything else was refused above.
        os.replace(temporary, out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def refuse_taken(out: Path) -> None:
    """Refuse a target that holds something.

    Raises:
        InputError: It does.
    """
    if out.suffix.lower() == ".zip" or out.is_file():
        if out.exists():
            raise InputError(f"{out} is there already; give another --out or delete it.")
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(f"The folder {out} is not empty; give another --out or empty it.")


def _masks(predictions: Predictions, dataset: Dataset, above: str) -> Iterator[tuple[str, bytes]]:
    where = _name(dataset)
    for video in dataset.videos():
        _refuse_unsafe(video.id, where)
        for expression in video.expressions:
            safe_id(expression.id, what="expression id", where=where)
            masks = predictions.masks(video, expression)
            if masks is None:
                raise _missing(f"expression {expression.id}", video)
            for frame_id, mask in zip(video.frame_ids, masks, strict=True):
                safe_id(frame_id, what="frame name", where=where)
                yield f"{above}{video.id}/{expression.id}/{frame_id}.png", encode_mask(mask)


def _davis(predictions: Predictions, dataset: Dataset) -> Iterator[tuple[str, bytes]]:
    where = _name(dataset)
    for video in dataset.videos():
        _refuse_unsafe(video.id, where)
        annotators = sorted({e.annotator for e in video.expressions if e.annotator is not None})
        if not annotators:
            raise InputError(
                "Layout davis needs sentences by annotators, each of one numbered object, and "
                f"{where} has none for video {video.id}; export it as ytvos."
            )
        for annotator in annotators:
            labels = predictions.label_maps(video, annotator)
            if labels is None:
                raise _missing(f"annotator {annotator} (one of its objects)", video)
            if labels.max(initial=0) > MOST_IDS:
                raise InputError(
                    f"Video {video.id} has the object id {labels.max()}; the official evaluator reads ids up "
                    f"to {MOST_IDS}."
                )
            for frame_id, frame in zip(video.frame_ids, labels, strict=True):
                safe_id(frame_id, what="frame name", where=where)
                yield f"anno_{annotator}/{video.id}/{frame_id}.png", encode_labels(frame)


def _refuse_unsafe(video_id: str, where: str) -> None:
    # ReVOS names its videos by paths (UVO/all/…), and official tools make folders of them.
    for part in video_id.split("/"):
        safe_id(part, what="video id", where=where)


def _missing(what: str, video: Video) -> InputError:
    return InputError(
        f"The prediction of {what} of video {video.id} is missing, so nothing was exported; finish the run "
        "first."
    )


def _name(dataset: Dataset) -> str:
    return f"{dataset.info.name} {dataset.info.split}"
