"""Ref-DAVIS17 as RVOS papers publish it: objects merged per annotator, the official evaluator, mean of four.

Each annotator's label maps go through davis2017-evaluation's unsupervised task: predicted ids are matched to objects
by mean J&F, so swapped referents cost nothing; ``refdavis/per_expression`` is the strict alternative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.scoring.davis import LabelVideo, MatchedObject, statistics, unsupervised
from refseg.bench.scoring.frames import label_frames
from refseg.bench.scoring.truth import video_labels
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video


class Published:
    """The published protocol; an item is an object as one annotator's sentences predict it."""

    metrics = ("J&F", "J", "J-recall", "J-decay", "F", "F-recall", "F-decay")

    def __init__(self, name: str) -> None:
        self.name = name

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score one video for each annotator.

        Raises:
            InputError: The dataset has no label maps, or the official evaluator would stop.
        """
        truth = video_labels(dataset, video)
        if truth is None:
            raise InputError(
                f"{self.name} needs label maps (DAVIS), which {dataset.info.name} has not; choose another --protocol."
            )
        items = []
        for annotator in annotators(video, predictions):
            labels = label_frames(predictions, video, annotator)
            assert labels is not None, "the caller sees to missing predictions"
            name = f"{video.id} by annotator {annotator}"
            sides = (LabelVideo(frames, len(video)) for frames in (labels, truth))
            items += [_item(video, annotator, m) for m in unsupervised(*sides, name=name)]
        return items

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the mean over annotators of the means over objects, in percent."""
        by_annotator: dict[int, list[ScoredItem]] = {}
        for item in items:
            by_annotator.setdefault(item.extra["annotator"], []).append(item)
        # Where one object's decay does not exist, neither does the mean (NaN in the official code).
        present = [m for m in self.metrics if all(m in i.scores for i in items)]
        means = {
            m: [float(np.mean([i.scores[m] for i in group])) for group in by_annotator.values()]
            for m in present
        }
        return {m: 100 * float(np.mean(v)) for m, v in means.items()}


def annotators(video: Video, predictions: Predictions) -> list[int]:
    """Return the annotators of a video, those that the predictions are made for where they name some."""
    own = sorted({e.annotator for e in video.expressions if e.annotator is not None})
    only = getattr(predictions, "annotators", None)
    return own if only is None else [a for a in own if a in only]


def _item(video: Video, annotator: int, matched: MatchedObject) -> ScoredItem:
    j, j_recall, j_decay = statistics(matched.j)
    f, f_recall, f_decay = statistics(matched.f)
    said = [
        e.id
        for e in video.expressions
        if e.annotator == annotator and e.object_ids == (str(matched.object_id),)
    ]
    scores: dict[str, float | None] = {
        "J&F": (j + f) / 2,
        "J": j,
        "J-recall": j_recall,
        "J-decay": j_decay,
        "F": f,
        "F-recall": f_recall,
        "F-decay": f_decay,
    }
    facts = {"annotator": annotator, "object": matched.object_id, "matched_id": matched.proposal_id}
    name = said[0] if said else f"object {matched.object_id}"
    return ScoredItem(video.id, name, {k: v for k, v in scores.items() if v is not None}, len(video), facts)


def build(name: str) -> Published:
    """Build the protocol."""
    return Published(name)
