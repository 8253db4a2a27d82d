"""``bench verify`` as a function: whether every number of a bundle's report follows from its masks.

It reads the zip in place, opens the dataset, scores the masks anew and compares every figure of the result: metrics,
items, intervals, break-downs, coverage. No method is built and nothing is downloaded. What it cannot tell is who made
the masks: a bundle carries no signature, so masks that are forged together with all that follows from them verify.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refseg.bench import provenance
from refseg.bench.bundle import FORMAT, MANIFEST, RESULT, Made, made_on, sha256
from refseg.bench.errors import InputError, RefsegError
from refseg.bench.layouts import run_facts
from refseg.bench.layouts.names import printable
from refseg.bench.layouts.zips import ZipFiles
from refseg.bench.parsing import parse_json
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import each_protocol, score_run
from refseg.bench.store import RECORD, DamagedPredictionError, RunFolder, SavedRun, video_key
from refseg.bench.types import Video

TOLERANCE = 1e-9
"""Relative: the last digits of a sum depend on the order in which a machine adds."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not follow.

    Attributes:
        kind: ``member`` (a file that is missing, altered or foreign), ``record`` (configuration that does not fit
            itself), ``prediction`` (masks that are missing, damaged or another run's), ``number`` (a figure of the
            result that the masks do not give).
        where: The member, or the figure's place in the result.
        text: One sentence.
    """

    kind: str
    where: str
    text: str


class Bundle(RunFolder):
    """A bundle's run, read in place."""

    def __init__(self, files: ZipFiles) -> None:
        super().__init__(files.path)
        self.files = files

    def content(self, path: Path) -> bytes:
        """Return a member by its path below the zip, as if it were a folder."""
        name = path.relative_to(self.path).as_posix()
        if name not in self.files.all_names:
            raise FileNotFoundError(name)
        return self.files.read(name)


def verify(
    bundle: str, *, root: str | None = None, jobs: int | None = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """Verify a bundle.

    Args:
        bundle: What ``bench bundle`` wrote.
        root: Folder of the dataset; None: configured, or none needed.
        jobs: How many processes score; None: as many as are worth it.
        progress: Where it is shown.

    Returns:
        ``{"bundle", "method", "dataset", "split", "version", "protocols", "metrics", "made_by", "verified_by",
        "members", "predictions", "numbers": how many were compared, "findings": [{"kind", "where", "text"}],
        "verified": bool}``.

    Raises:
        InputError: It is no bundle or an unsafe zip, its record or result cannot be read, or its dataset is not here in
            its version.
    """
    progress = progress or Silent()
    path = Path(bundle)
    if not path.is_file():
        raise InputError(f"{path} is no file; give the zip that `bench bundle` wrote.")
    folder = Bundle(ZipFiles(path))
    findings = list(_members(folder))
    record, result = _read(folder, RECORD), _read(folder, RESULT)
    try:
        findings += _record(record)
        # The folder that a stranger's record may name is not looked at.
        made = made_on(folder, run_facts(folder), root)
        findings += _counts(record, made)
        findings += _predictions(folder, made)
        recomputed = None
        if not any(f.kind == "prediction" for f in findings):
            recomputed = _scored(folder, result, made, jobs, progress)
            numbers = list(_deviations(result, recomputed))
            findings += [Finding("number", where, text) for where, text in numbers]
        told = _told(record, result)
    except RefsegError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(
            f"{path} is not as `bench bundle` writes it ({type(error).__name__}: {error}), so it proves nothing."
        ) from None
    return {
        "bundle": bundle,
        **told,
        "verified_by": provenance.code_revision(),
        "members": len(folder.files.all_names),
        "predictions": sum(n.startswith("predictions/") for n in folder.files.all_names),
        "numbers": 0 if recomputed is None else _count(recomputed),
        "findings": [asdict(f) for f in findings],
        "verified": not findings,
    }


def _members(folder: Bundle) -> Iterator[Finding]:
    """Yield members that are not what the manifest says."""
    manifest = _read(folder, MANIFEST)
    listed = manifest.get("members")
    if manifest.get("format") != FORMAT or not isinstance(listed, dict):
        raise InputError(f"{folder.path} is no bundle of the form {FORMAT}; give what `bench bundle` wrote.")
    there = folder.files.all_names - {MANIFEST}
    for name in sorted({*listed, *there}):
        shown = printable(name)
        if name not in there:
            yield Finding("member", name, f"{shown} is listed and missing.")
        elif name not in listed:
            yield Finding("member", name, f"{shown} is foreign: {MANIFEST} does not list it.")
        elif listed[name] != _described(folder.files.read(name)):
            yield Finding("member", name, f"{shown} was altered: its bytes or SHA-256 are not those listed.")


def _described(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": sha256(data)}


def _record(record: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield where the record does not fit itself."""
    parts, method, dataset = record["key_parts"], record["method"], record["dataset"]
    if provenance.run_key(parts) != record["key"]:
        text = "its key is not the hash of its configuration, so one of them was altered."
        yield Finding("record", "key", f"{RECORD}: {text}")
    for what, ours, theirs in (("method", method, parts["method"]), ("dataset", dataset, parts["dataset"])):
        for name in theirs:
            # A provider and options are in the key alone.
            if name in ours and ours[name] != theirs[name]:
                text = f"{RECORD}: {what}.{name} is not what its key was made of."
                yield Finding("record", f"{what}.{name}", text)
    for name, there, here in (
        ("dtype", record["dtype"], parts["dtype"]),
        ("code", record["code"]["sources_sha256"], parts["code"]),
        ("device", record["hardware"]["device"].partition(":")[0], parts["device"]),
    ):
        if there != here:
            yield Finding("record", name, f"{RECORD}: {name} is not what its key was made of.")


def _counts(record: Mapping[str, Any], made: Made) -> Iterator[Finding]:
    """Yield counts of the record that the dataset does not give."""
    for name, count in (
        ("videos", len(made.videos)),
        ("videos_in_split", len(made.dataset.videos())),
        ("expressions", sum(len(v.expressions) for v in made.videos)),
        ("frames", sum(len(v) for v in made.videos)),
    ):
        if record["counts"][name] != count:
            text = f"{RECORD}: counts.{name} is {record['counts'][name]!r} and the dataset gives {count}."
            yield Finding("record", f"counts.{name}", text)


def _predictions(folder: Bundle, made: Made) -> Iterator[Finding]:
    """Yield predictions that are missing, damaged, another run's, or of nothing."""
    expected = {MANIFEST, RECORD, RESULT}
    for video in made.finished:
        for expression in video.expressions:
            name = folder.prediction_path(video.id, expression.id).relative_to(folder.path).as_posix()
            expected.add(name)
            fault = _prediction_fault(folder, made.facts.key, video, expression.id)
            if fault:
                yield Finding("prediction", name, f"{printable(name)} {fault}")
    for name in sorted(folder.files.all_names - expected):
        yield Finding("member", name, f"{printable(name)} belongs to nothing that the run predicted.")


def _prediction_fault(folder: Bundle, key: str, video: Video, expression: str) -> str:
    try:
        found = folder.read(video.id, expression)
        if found is not None:
            # Run lengths may be none although the file is whole.
            found.decode()
    except DamagedPredictionError:
        return "is damaged: its masks cannot be read."
    if found is None:
        return "is missing, so its sentence cannot be scored."
    if found.key != video_key(key, video):
        return "is another run's, or of other frames: its key is not this run's."
    if found.frames != video.frame_ids or found.size != video.size:
        return "has other frames or another size than the dataset's video."
    return ""


def _scored(
    folder: Bundle, result: Mapping[str, Any], made: Made, jobs: int | None, progress: Progress
) -> dict[str, Any]:
    """Return the result that the masks give."""
    facts = made.facts
    scored = score_run(
        made.dataset,
        made.videos,
        SavedRun(folder, facts.key),
        [str(one["protocol"]) for one in each_protocol(result)],
        facts.failures,
        jobs=jobs,
        progress=progress,
    )
    # As JSON has it: what was written went through it once.
    out: dict[str, Any] = json.loads(json.dumps(scored | {"method": facts.method}))
    return out


def _deviations(reported: Any, true: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the place and a sentence of every figure that is not what the masks give."""
    if isinstance(reported, dict) and isinstance(true, dict):
        for name in dict.fromkeys([*true, *reported]):
            place = f"{where}.{name}" if where else str(name)
            if name not in reported:
                yield place, f"{place} is missing."
            elif name not in true:
                yield place, f"{place} is reported, and follows from nothing."
            else:
                yield from _deviations(reported[name], true[name], place)
    elif isinstance(reported, list) and isinstance(true, list):
        if len(reported) != len(true):
            yield where, f"{where} has {len(reported)} entries; the masks give {len(true)}."
        for i, (one, other) in enumerate(zip(reported, true, strict=False)):
            yield from _deviations(one, other, f"{where}[{_name(other, i)}]")
    elif not _equal(reported, true):
        yield where, f"{where} is reported as {_short(reported)}; the masks give {_short(true)}."


def _equal(a: Any, b: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (a, b))
    if numbers and (isinstance(a, float) or isinstance(b, float)):
        return bool(abs(a - b) <= TOLERANCE * max(1.0, abs(b)))
    return type(a) is type(b) and bool(a == b)


def _name(entry: Any, index: int) -> str:
    if isinstance(entry, dict) and "video" in entry and "expression" in entry:
        return f"{entry['video']}/{entry['expression']}"
    return str(index)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 1


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"


def _told(record: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    protocols: Sequence[Mapping[str, Any]] = list(each_protocol(result))
    return {
        "method": str(record["method"]["name"]),
        **{name: str(record["dataset"][name]) for name in ("split", "version")},
        "dataset": str(record["dataset"]["name"]),
        "protocols": [str(one["protocol"]) for one in protocols],
        "metrics": {str(one["protocol"]): dict(one["metrics"]) for one in protocols},
        "made_by": str(record["code"]["revision"]),
    }


def _read(folder: Bundle, name: str) -> dict[str, Any]:
    """Return a JSON member.

    Raises:
        InputError: It is not there or no JSON object.
    """
    try:
        content = parse_json(folder.content(folder.path / name))
    except FileNotFoundError:
        raise InputError(
            f"{folder.path} is no bundle: it has no {name}; give what `bench bundle` wrote."
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} in {folder.path} is no JSON ({error}), so it proves nothing.") from None
    if not isinstance(content, dict):
        raise InputError(f"{name} in {folder.path} is no JSON object, so it proves nothing.")
    return content
