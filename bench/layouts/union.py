"""The shards of a run (``bench run --shard I/N``) read as the one run that they are together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refseg.bench.atomic import safe_name
from refseg.bench.errors import InputError
from refseg.bench.layouts.runs import open_run_folder, run_facts
from refseg.bench.shards import parse_shard
from refseg.bench.store import RunFolder


class UnionRun(RunFolder):
    """All shards of one run, each a folder or a zip; nothing is copied.

    Raises:
        InputError: One is no shard or not finished, they are not of one run, or not all of them are given.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__(paths[0])
        self._parts = [open_run_folder(path) for path in paths]
        self._records = [_shard_record(part) for part in self._parts]
        first = self._records[0]
        for part, record in zip(self._parts, self._records, strict=True):
            if record["key"] != first["key"] or _of(record) != _of(first):
                raise InputError(
                    f"{part.path} and {self.path} are shards of different runs; give the {_of(first)} folders of one."
                )
        given = {parse_shard(record["shard"]).number for record in self._records}
        missing = [str(n) for n in range(1, _of(first) + 1) if n not in given]
        if missing:
            raise InputError(
                f"Of {_of(first)} shards, number {', '.join(missing[:10])} {'is' if len(missing) == 1 else 'are'} not "
                "among the folders; give all of them."
            )
        self._owner = {
            safe_name(video): part
            for part, record in zip(self._parts, self._records, strict=True)
            for video in record["video_ids"]
        }

    def content(self, path: Path) -> bytes:
        """Return what stands at a path of the first shard's folder, from the shard that holds its video."""
        inner = path.relative_to(self.path)
        part = self._owner[inner.parts[1]] if inner.parts[0] == "predictions" else self._parts[0]
        return part.content(part.path / inner)

    def read_record(self) -> dict[str, Any]:
        """Return the record of the whole run."""
        ids = [video for record in self._records for video in record["video_ids"]]
        return self._records[0] | {
            "shard": None,
            "video_ids": list(dict.fromkeys(ids)),
            "failures": [failure for record in self._records for failure in record.get("failures", ())],
        }


def open_runs(paths: Sequence[Path]) -> RunFolder:
    """Return a run, or its shards as one.

    Raises:
        InputError: See :class:`UnionRun`; or one path of none or only some shards.
    """
    folder = open_run_folder(paths[0]) if len(paths) == 1 else UnionRun(paths)
    if len(paths) == 1 and (folder.read_record() or {}).get("shard") not in (None, "1/1"):
        return UnionRun(paths)
    return folder


def _shard_record(part: RunFolder) -> dict[str, Any]:
    run_facts(part)
    record = part.read_record() or {}
    if not isinstance(record.get("shard"), str) or not isinstance(record.get("video_ids"), list):
        raise InputError(
            f"{part.path} is a run and no shard of one (`bench run --shard I/N`); score it by itself."
        )
    if record.get("status") == "predicting":
        raise InputError(f"Shard {record['shard']} in {part.path} is not finished; run its command again.")
    return record


def _of(record: dict[str, Any]) -> int:
    return parse_shard(record["shard"]).of
