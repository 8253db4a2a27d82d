"""``bench score`` as a function: predictions that are there, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.layouts import (
    Finding,
    RunFacts,
    lint,
    open_masks,
    open_runs,
    open_source,
    refuse,
    run_facts,
    scored_dataset,
)
from refseg.bench.layouts.files import Files
from refseg.bench.layouts.lint import Depth
from refseg.bench.layouts.png import MaskFault
from refseg.bench.progress import Progress, Silent
from refseg.bench.results import score_run
from refseg.bench.runner import open_dataset
from refseg.bench.store import RunFolder, SavedRun
from refseg.bench.subset import subset
from refseg.bench.types import Dataset, OnMissing, Predictions, Video

_LOST_SCORES = (
    "this layout holds no confidence, so average precision is left out; score the run itself for it."
)
_LOST_IN_MASKS = (
    "masks carry no probabilities, so where two overlap the object with the lower id takes the pixels; label maps "
    "(layout davis) or the run itself can score otherwise."
)
_LOST_IN_LABELS = (
    "a label map gives each pixel to one object, so what a mask lost to another is gone; masks saved each alone "
    "(layout ytvos) or the run itself can score otherwise."
)


@dataclass(frozen=True)
class ScoreRequest:
    """What ``bench score`` was asked for.

    Attributes:
        predictions: A run folder or another program's masks, each also as a zip.
        dataset: Registered name.
        split: None: the run's own, or the dataset's default.
        root: Folder of the dataset; None: configured, or none needed.
        layout: One of :data:`refseg.bench.layouts.LAYOUTS`; None: found out.
        protocols: Names; none: all that the dataset is scored with.
        on_missing: What an expression without a prediction is: an error, or empty masks.
        jobs: How many processes score; None: as many as are worth it.
        shards: Where ``predictions`` is a shard of a run, all others.
    """

    predictions: str
    dataset: str
    split: str | None = None
    root: str | None = None
    layout: str | None = None
    protocols: tuple[str, ...] = ()
    on_missing: OnMissing = "error"
    jobs: int | None = 1
    shards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """Predictions beside what they are scored against.

    Attributes:
        dataset: The split, narrowed to what the predictions are for.
        predictions: The predictions.
        videos: The videos that were to be predicted.
        method: Who made them.
        layout: How they are laid out.
        failures: ``{"video", "error"}`` of videos that the run could not finish.
        annotator: The only annotator that there are predictions of; None: all.
    """

    dataset: Dataset
    predictions: Predictions
    videos: Sequence[Video]
    method: str
    layout: str
    failures: Sequence[Mapping[str, str]] = ()
    annotator: int | None = None


def score(request: ScoreRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score predictions and return the result; nothing is written.

    Another program's masks are looked at before (:func:`refseg.bench.layouts.lint`, as a sample): what is
    found stands in ``result["findings"]``.

    Raises:
        InputError: The predictions are not there, damaged, another dataset's, or incomplete under
            ``on_missing="error"``.
    """
    progress = progress or Silent()
    opened = _open(request)
    protocols = request.protocols or tuple(opened.dataset.info.protocols)
    findings: list[Finding] = []
    if opened.layout != "run":
        findings = _looked_at(opened, request, "sample", protocols, progress)
        refuse(findings, where=request.predictions, on_missing=request.on_missing)
        for finding in findings:
            progress.note(finding.text)
    try:
        result = score_run(
            opened.dataset,
            opened.videos,
            opened.predictions,
            protocols,
            opened.failures,
            on_missing=request.on_missing,
            jobs=request.jobs,
            progress=progress,
        )
    except MaskFault as error:
        raise InputError(f"{error} `bench score … --lint-only` lists every such file.") from error
    about = {"method": opened.method, "predictions": request.predictions}
    return result | about | _described(opened, findings)


def look_at(request: ScoreRequest, *, progress: Progress | None = None) -> dict[str, Any]:
    """Decode every file of predictions, and return all that is wrong with them; nothing is scored.

    Returns:
        ``{"predictions", "dataset", "split", "layout", "annotator", "findings": [{"kind", "severity", "count",
        "examples", "text"}], "can_be_scored": bool}``.

    Raises:
        InputError: Nothing for the dataset is there, or the zip is refused.
    """
    opened = _open(request)
    protocols = request.protocols or tuple(opened.dataset.info.protocols)
    findings = _looked_at(opened, request, "all", protocols, progress or Silent())
    return {
        "predictions": request.predictions,
        "dataset": opened.dataset.info.name,
        "split": opened.dataset.info.split,
        **_described(opened, findings),
        "can_be_scored": not any(f.is_fatal(request.on_missing) for f in findings),
    }


def refuse_other_dataset(facts: RunFacts, dataset: Dataset, path: Path) -> None:
    """Refuse a dataset that a run was not made on.

    Raises:
        InputError: Name, version, split or content differ.
    """
    made_on, info = facts.dataset, dataset.info
    made = (made_on["name"], made_on["version"], made_on["split"])
    here = (info.name, info.version, info.split)
    if (*made, made_on["fingerprint"]) != (*here, info.fingerprint):
        other = " with other content" if made == here else ""
        raise InputError(
            f"{path} was made on {made[0]} {made[2]}, version {made[1]}; this is {info.name} {info.split}, "
            f"version {info.version}{other}."
        )


def needs_of(protocol: str) -> tuple[str, ...]:
    """Return what a registered protocol looks at beside masks (:class:`refseg.bench.types.ScoringProtocol`)."""
    found: tuple[str, ...] = getattr(registry.build_protocol(protocol), "needs", ())
    return found


def _open(request: ScoreRequest) -> Opened:
    for name in request.protocols:
        registry.entry("protocols", name)
    if request.shards:
        return _open_run(request, open_runs([Path(p) for p in (request.predictions, *request.shards)]))
    source = open_source(Path(request.predictions), request.layout)
    return _open_run(request, source) if isinstance(source, RunFolder) else _open_masks(request, source)


def _open_run(request: ScoreRequest, folder: RunFolder) -> Opened:
    facts = run_facts(folder)
    made_on = facts.dataset
    options = facts.options if made_on["name"] == request.dataset else {}
    dataset = open_dataset(request.dataset, request.split or made_on["split"], request.root, options)
    refuse_other_dataset(facts, dataset, folder.path)
    videos = facts.videos_of(dataset)
    # Videos that failed were told of when they ran; under --on-missing empty they count like any other gap.
    failures = facts.failures if request.on_missing == "error" else ()
    return Opened(dataset, SavedRun(folder, facts.key), videos, facts.method, "run", failures)


def _open_masks(request: ScoreRequest, files: Files) -> Opened:
    whole = open_dataset(request.dataset, request.split, request.root)
    predictions = open_masks(files, whole, request.layout, on_missing=request.on_missing)
    dataset = scored_dataset(whole, predictions)
    alone = None if dataset is whole or predictions.annotators is None else predictions.annotators[0]
    return Opened(
        dataset, predictions, dataset.videos(), files.path.name, predictions.layout, annotator=alone
    )


def _looked_at(
    opened: Opened, request: ScoreRequest, depth: Depth, protocols: Sequence[str], progress: Progress
) -> list[Finding]:
    failed = {f["video"] for f in opened.failures}
    left = subset(opened.dataset, [v for v in opened.videos if v.id not in failed])
    findings = lint(opened.predictions, left, depth=depth, progress=progress)
    if opened.annotator is not None:
        text = f"One folder of label maps is scored, as annotator {opened.annotator}'s alone."
        findings.append(Finding("one_annotator", "note", 1, (f"anno_{opened.annotator}",), text))
    if opened.layout == "run":
        return findings
    for protocol in protocols:
        needs = needs_of(protocol)
        # A layout that is not what the protocol looks at cannot hold all that the method said.
        if ("label_maps" in needs) != (opened.layout == "davis"):
            lost = _LOST_IN_LABELS if opened.layout == "davis" else _LOST_IN_MASKS
            findings.append(Finding("lost_overlap", "note", 1, (protocol,), f"{protocol}: {lost}"))
        if "scores" in needs:
            findings.append(Finding("lost_scores", "note", 1, (protocol,), f"{protocol}: {_LOST_SCORES}"))
    return findings


def _described(opened: Opened, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "layout": opened.layout,
        "annotator": opened.annotator,
        "findings": [asdict(f) | {"examples": [*f.examples]} for f in findings],
    }
