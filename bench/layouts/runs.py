"""Runs as predictions: a run's folder, or its zip that is read in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.errors import InputError
from refseg.bench.layouts.files import Files, open_files
from refseg.bench.store import RECORD, RunFolder
from refseg.bench.types import Dataset, Video


class ZippedRun(RunFolder):
    """A run in a zip; nothing of it is unpacked.

    Raises:
        InputError: It is no run.
    """

    def __init__(self, files: Files) -> None:
        super().__init__(files.path)
        base = run_base(files)
        if base is None:
            raise _no_run(files.path)
        self._files, self._base = files, base

    def content(self, path: Path) -> bytes:
        """Return what stands at a path below the zip, as if it were a folder."""
        name = self._base + path.relative_to(self.path).as_posix()
        if name not in self._files.names:
            raise FileNotFoundError(name)
        return self._files.read(name)


@dataclass(frozen=True)
class RunFacts:
    """What a run's record says that reading its predictions needs.

    Attributes:
        key: The run's key.
        method: Name of the method.
        dataset: ``name``, ``version``, ``split``, ``fingerprint``, ``root``.
        options: Options of the dataset.
        videos: How many of the split's videos it is of, from the first.
        video_ids: Which videos it is of, where it is a shard or several; None: see ``videos``.
        failures: ``{"video", "error"}`` of videos that it could not finish.
    """

    key: str
    method: str
    dataset: Mapping[str, Any]
    options: Mapping[str, str]
    videos: int
    failures: Sequence[Mapping[str, str]]
    video_ids: Sequence[str] | None = None

    def videos_of(self, dataset: Dataset) -> list[Video]:
        """Return the videos of its dataset that it is of."""
        if self.video_ids is None:
            return list(dataset.videos())[: self.videos]
        mine = frozenset(self.video_ids)
        return [v for v in dataset.videos() if v.id in mine]


def open_run_folder(path: Path) -> RunFolder:
    """Return a run's folder, or its zip as one.

    Raises:
        InputError: It is no run, or the zip is refused.
    """
    if path.is_file():
        return ZippedRun(open_files(path))
    folder = RunFolder(path)
    if folder.read_record() is None:
        raise _no_run(path)
    return folder


def run_facts(folder: RunFolder) -> RunFacts:
    """Return what a run's record says.

    Raises:
        InputError: The record is damaged.
    """
    record = folder.read_record()
    try:
        if record is None:
            raise _no_run(folder.path)
        made_on = {k: record["dataset"][k] for k in ("name", "version", "split", "fingerprint", "root")}
        return RunFacts(
            key=str(record["key"]),
            method=str(record["method"]["name"]),
            dataset=made_on,
            options=dict(record["key_parts"]["dataset"]["options"]),
            videos=int(record["counts"]["videos"]),
            failures=[{"video": f["video"], "error": f["error"]} for f in record.get("failures", ())],
            video_ids=record.get("video_ids"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{folder.path / RECORD} is not as `bench run` writes it ({type(error).__name__}: {error}); "
            "give the run as it was written."
        ) from None


def run_base(files: Files) -> str | None:
    """Return what stands before a run's files in a zip, nothing or one folder; None where it is no run's."""
    found = [n for n in files.names if n.count("/") <= 1 and n.rpartition("/")[2] == RECORD]
    return found[0].removesuffix(RECORD) if len(found) == 1 else None


def _no_run(path: Path) -> InputError:
    return InputError(f"{path} is no run: it has no {RECORD}; give what `bench run` wrote.")
