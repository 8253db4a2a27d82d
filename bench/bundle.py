"""``bench bundle`` as a function: a finished run as one file that somebody else can verify.

    bundle.json                                   what the other members are: their bytes and SHA-256
    run.json, result.json                         configuration, fingerprints, code, hardware; scores
    predictions/<video>/<expression>.json         the masks

It holds no path of the computer that made the run. The same run gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refseg.bench.errors import InputError
from refseg.bench.layouts import RunFacts, open_run_folder, run_facts
from refseg.bench.layouts.export import new_target, refuse_taken
from refseg.bench.parsing import parse_json
from refseg.bench.runner import open_dataset
from refseg.bench.scorer import refuse_other_dataset
from refseg.bench.store import RECORD, RunFolder, missing_expressions
from refseg.bench.types import Dataset, Video

FORMAT = "refseg-bundle-1"
MANIFEST = "bundle.json"
RESULT = "result.json"

# Folders of an absolute path, which error messages may name; the file's own name stays.
_FOLDERS = re.compile(r"(?<![\w.~:/-])/(?:[^\s/'\"]+/)+")


def bundle_run(run: str, out: str | None = None, *, root: str | None = None) -> Path:
    """Pack a finished run.

    Args:
        run: A run folder, or its zip.
        out: A new ``.zip``; None: the run's name with ``.bundle.zip``, beside it.
        root: Folder of the dataset; None: where the run found it, or configured.

    Returns:
        The zip.

    Raises:
        InputError: It is no finished run, a prediction is missing or another run's, the dataset is not there or
            another, or the zip is there already.
    """
    folder = open_run_folder(Path(run))
    target = Path(out) if out is not None else folder.path.with_name(f"{folder.path.stem}.bundle.zip")
    if target.suffix.lower() != ".zip":
        raise InputError(f"--out {target} does not end in .zip; a bundle is a zip.")
    refuse_taken(target)
    members = dict(_members(folder, root))
    manifest = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in members.items()}
    with new_target(target) as sink:
        sink.write(MANIFEST, _json({"format": FORMAT, "members": manifest}))
        for name, data in members.items():
            sink.write(name, data)
    return target


def sha256(data: bytes) -> str:
    """Return a member's hash."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Made:
    """A run beside the dataset that it was made on.

    Attributes:
        facts: What its record says.
        dataset: The split.
        videos: The run's videos, those that failed among them.
    """

    facts: RunFacts
    dataset: Dataset
    videos: Sequence[Video]

    @property
    def finished(self) -> list[Video]:
        """The videos that did not fail."""
        failed = {f["video"] for f in self.facts.failures}
        return [v for v in self.videos if v.id not in failed]


def made_on(folder: RunFolder, facts: RunFacts, root: str | None) -> Made:
    """Open the dataset of a run.

    Raises:
        InputError: It is not there, or another than the run's.
    """
    dataset = open_dataset(facts.dataset["name"], facts.dataset["split"], root, facts.options)
    refuse_other_dataset(facts, dataset, folder.path)
    return Made(facts, dataset, list(dataset.videos())[: facts.videos])


def _members(folder: RunFolder, root: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield the members but the manifest, by name and content."""
    record = folder.read_record() or {}
    if record.get("status") != "done":
        raise InputError(f"{folder.path} is not finished; the `bench run` that made it goes on from there.")
    try:
        result = parse_json(folder.content(folder.path / RESULT))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(
            f"{folder.path / RESULT} is missing or damaged ({error}); score the run again."
        ) from None
    facts = run_facts(folder)
    made = made_on(folder, facts, root or facts.dataset["root"])
    yield RECORD, _json(_without_paths(record | {"dataset": record["dataset"] | {"root": None}}))
    yield RESULT, _json(_without_paths(result))
    for video in sorted(made.finished, key=lambda v: v.id):
        missing, notes = missing_expressions(folder, facts.key, video)
        if missing:
            why = f" ({notes[0]})" if notes else ""
            raise InputError(
                f"{len(missing)} predictions of video {video.id} are missing in {folder.path}{why}; the `bench run` "
                "that made it makes them."
            )
        for expression in sorted(video.expressions, key=lambda e: e.id):
            path = folder.prediction_path(video.id, expression.id)
            yield path.relative_to(folder.path).as_posix(), folder.content(path)


def _without_paths(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record or result whose error messages name no folder of the computer."""
    failures = [f | {"error": _FOLDERS.sub("", f["error"])} for f in content.get("failures", ())]
    also = [_without_paths(one) for one in content.get("also", ())]
    return {
        **content,
        **({"failures": failures} if "failures" in content else {}),
        **({"also": also} if "also" in content else {}),
    }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode("ascii")
