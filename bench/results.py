"""Turns a run folder into its result: one score per protocol, and break-downs by kinds of sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refseg.bench import registry
from refseg.bench.progress import Progress
from refseg.bench.scoring.bootstrap import intervals_of_means
from refseg.bench.scoring.score import score_predictions
from refseg.bench.subset import coverage, subset
from refseg.bench.types import Dataset, OnMissing, Predictions, Video, framewise

_MOST_GROUPS = 12


def score_run(
    dataset: Dataset,
    videos: Sequence[Video],
    predictions: Predictions,
    protocols: Sequence[str],
    failures: Sequence[Mapping[str, str]],
    *,
    on_missing: OnMissing = "error",
    jobs: int | None = 1,
    progress: Progress,
    unscored: str = "",
) -> dict[str, Any]:
    """Score predictions with each protocol.

    Args:
        dataset: The whole split.
        videos: The videos that were to be predicted.
        predictions: What was predicted.
        protocols: Protocol names, the headline first.
        failures: ``{"video", "error"}`` of videos that are left out of the score.
        on_missing: ``"error"`` or ``"empty"``: what an expression without a prediction is.
        jobs: How many processes score; None: as many as are worth it.
        progress: Where it is shown.
        unscored: Why they are not to be scored at all; empty: they are.

    Returns:
        The result of the first protocol (``{"protocol", "metrics", "items", "failures", …}``) with facts
        about the dataset, ``scored`` (videos scored, of how many), ``partial`` and ``coverage``
        (:func:`refseg.bench.subset.coverage`), ``breakdown``, and the other protocols' under ``also``. Where
        labels are hidden or every video failed, ``metrics`` is empty and ``note`` says why.
    """
    lost = {f["video"] for f in failures}
    left = [v for v in videos if v.id not in lost]
    short = coverage(dataset, videos)
    in_split = max(dataset.info.expected_videos or 0, len(dataset.videos()))
    facts = {
        "dataset": dataset.info.name,
        "version": dataset.info.version,
        "split": dataset.info.split,
        "fingerprint": dataset.info.fingerprint,
        "failures": [dict(f) for f in failures],
        "scored": {"videos": len(left), "of": len(videos), "in_split": in_split},
        "partial": bool(short),
        "coverage": short,
    }
    note = unscored or _why_not(dataset, left)
    if note:
        empty = {"protocol": protocols[0], "metrics": {}, "items": []}
        return empty | facts | {"note": note, "breakdown": {}, "also": []}
    narrowed = subset(dataset, left)
    results = [_score(narrowed, predictions, name, on_missing, jobs, progress) | facts for name in protocols]
    for result in results:
        result["breakdown"] = breakdown(left, result)
    return results[0] | {"also": results[1:]}


def each_protocol(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a result's protocols, the headline first."""
    yield result
    yield from result.get("also", ())


def breakdown(videos: Sequence[Video], result: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the mean of each per-item metric by attribute and value.

    For instance ``{"type": {"motion": {"J&F": 61.2, "n": 40, "intervals": {"J&F": [50.1, 72.3]}}}}``.

    Attributes are what the dataset says of its expressions; those with one value only, or with too many, are
    left out. Scores are percentages.
    """
    attributes = {(v.id, e.id): e.attributes for v in videos for e in v.expressions}
    metrics = [
        m for m in result["metrics"] if all(isinstance(i.get(m), int | float) for i in result["items"])
    ]
    groups: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for item in result["items"]:
        for name, value in attributes.get((item["video"], item["expression"]), {}).items():
            if isinstance(value, str | bool):
                groups.setdefault(name, {}).setdefault(_label(value), []).append(item)
    return {
        name: {label: _means(items, metrics) for label, items in sorted(by_label.items())}
        for name, by_label in groups.items()
        if metrics and 1 < len(by_label) <= _MOST_GROUPS
    }


def _means(items: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    values = {m: [float(i[m]) for i in items] for m in metrics}
    bounds = intervals_of_means([i["video"] for i in items], values)
    return {m: sum(v) / len(v) for m, v in values.items()} | {
        "n": len(items),
        "intervals": {m: list(b) for m, b in bounds.items()},
    }


def _score(
    dataset: Dataset,
    predictions: Predictions,
    protocol: str,
    on_missing: OnMissing,
    jobs: int | None,
    progress: Progress,
) -> dict[str, Any]:
    scored = score_predictions(
        dataset,
        predictions,
        registry.build_protocol(protocol),
        on_missing=on_missing,
        jobs=jobs,
        progress=progress,
    )
    return dict(scored)


def _why_not(dataset: Dataset, videos: Sequence[Video]) -> str:
    if not videos:
        return "no video finished, so nothing is scored"
    first = next(((v.id, e.id) for v in videos for e in v.expressions), None)
    if first is None:
        return "the videos have no expression, so nothing is scored"
    # Where the truth can be read frame by frame it is public, and a long video's need not be held to see that.
    if framewise(dataset) is None and dataset.ground_truth(*first) is None:
        return "the labels of this split are hidden, so nothing is scored; hand the predictions to its server"
    return ""


def _label(value: str | bool) -> str:
    return value if isinstance(value, str) else ("yes" if value else "no")
