"""A zipped run folder, read in place."""

from __future__ import annotations

import tempfile
from pathlib import Path

from refseg.bench.errors import InputError
from refseg.bench.layouts.files import Files, ZipFiles
from refseg.bench.store import RunFolder, StoredPrediction

RECORD = "run.json"


class ZippedRun(RunFolder):
    """A run in a zip: its record lies in a temporary folder, and one prediction at a time while it is read.

    Raises:
        InputError: It is no run, or the zip is refused.
    """

    def __init__(self, path: Path) -> None:
        files: Files = ZipFiles(path)
        base = run_base(files)
        if base is None:
            raise no_run(path)
        self._files, self._base = files, base
        # It is deleted with this object.
        self._held = tempfile.TemporaryDirectory(prefix="refseg-run-")
        super().__init__(Path(self._held.name))
        (self.path / RECORD).write_bytes(files.read(base + RECORD))

    def read(self, video_id: str, expression_id: str) -> StoredPrediction | None:
        """Return a stored prediction, or None where there is none; see :meth:`RunFolder.read`."""
        path = self.prediction_path(video_id, expression_id)
        name = self._base + path.relative_to(self.path).as_posix()
        if name not in self._files.names:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._files.read(name))
        try:
            return super().read(video_id, expression_id)
        finally:
            path.unlink()


def run_base(files: Files) -> str | None:
    """Return what stands before a run's files in a zip, nothing or one folder; None where it is no run's."""
    found = [n for n in files.names if n.rpartition("/")[2] == RECORD and n.count("/") <= 1]
    return found[0].removesuffix(RECORD) if len(found) == 1 else None


def no_run(path: Path) -> InputError:
    """Return the error for what is no run."""
    return InputError(f"{path} is no run: it has no {RECORD}; give what `bench run` wrote.")
