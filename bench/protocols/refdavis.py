"""Objects merged into label maps, scored by the official DAVIS-2017 evaluator's tasks.

``refdavis/published`` is what RVOS papers publish for Ref-DAVIS17: the unsupervised task for each annotator, and the
mean of four. It matches predicted ids to objects by mean J&F, so swapped referents cost nothing;
``refdavis/per_expression`` is the strict alternative. ``davis/unsupervised`` and ``davis/semi_supervised`` are the
tasks themselves, for label maps that no sentence made; where a dataset has annotators, theirs are averaged too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from refseg.bench.errors import InputError
from refseg.bench.scoring.davis import (
    LabelVideo,
    MatchedObject,
    semi_supervised,
    statistics,
    unsupervised,
)
from refseg.bench.scoring.frames import label_frames
from refseg.bench.scoring.ratios import Ratios, mean, score
from refseg.bench.scoring.truth import video_labels
from refseg.bench.types import Dataset, Predictions, ScoredItem, Video

Task = Callable[..., list[MatchedObject]]


class LabelMaps:
    """A task of the official evaluator; an item is an object as one annotator's sentences predict it.

    Args:
        name: The protocol's name.
        task: ``task(prediction, truth, name=…)`` scores one video's label maps.
        annotated: Refuse videos without annotators; else theirs is one set of label maps, number 0.
    """

    metrics = ("J&F", "J", "J-recall", "J-decay", "F", "F-recall", "F-decay")
    needs = ("label_maps",)

    def __init__(self, name: str, task: Task, *, annotated: bool) -> None:
        self.name, self._task, self._annotated = name, task, annotated

    def score_video(self, dataset: Dataset, video: Video, predictions: Predictions) -> list[ScoredItem]:
        """Score one video for each annotator.

        Raises:
            InputError: The dataset has no label maps or no annotators, or the official evaluator would stop.
        """
        truth = video_labels(dataset, video)
        if truth is None:
            raise InputError(
                f"{self.name} needs label maps (DAVIS), which {dataset.info.name} has not; choose another --protocol."
            )
        if self._annotated and all(e.annotator is None for e in video.expressions):
            raise InputError(
                f"{self.name} is a mean over annotators, and no sentence of {video.id} is an annotator's; choose "
                "another --protocol."
            )
        items = []
        for annotator in annotators(video, predictions):
            labels = label_frames(predictions, video, annotator)
            assert labels is not None, "the caller sees to missing predictions"
            name = f"{video.id} by annotator {annotator}"
            sides = (LabelVideo(frames, len(video)) for frames in (labels, truth))
            items += [_item(video, annotator, m) for m in self._task(*sides, name=name)]
        return items

    def estimator(self, items: Sequence[ScoredItem]) -> Ratios:
        """Return the means over annotators of the means over objects."""
        numbers = np.array([item.extra["annotator"] for item in items])
        among = [numbers == number for number in np.unique(numbers)]
        # Where one object's decay does not exist, neither does the mean (NaN in the official code).
        present = [m for m in self.metrics if all(m in i.scores for i in items)]
        return Ratios({m: [mean(score(items, m), chosen) for chosen in among] for m in present})

    def aggregate(self, items: Sequence[ScoredItem]) -> dict[str, float]:
        """Return the mean over annotators of the means over objects, in percent."""
        return self.estimator(items).metrics()


def annotators(video: Video, predictions: Predictions) -> list[int]:
    """Return the annotators of a video, those that the predictions are made for where they name some.

    A video without annotators has one set of label maps, number 0.
    """
    own = sorted({e.annotator for e in video.expressions if e.annotator is not None}) or [0]
    only = getattr(predictions, "annotators", None)
    return own if only is None else [a for a in own if a in only]


def _item(video: Video, annotator: int, matched: MatchedObject) -> ScoredItem:
    j, j_recall, j_decay = statistics(matched.j)
    f, f_recall, f_decay = statistics(matched.f)
    said = [
        e.id
        for e in video.expressions
        if (e.annotator or 0) == annotator and e.object_ids == (str(matched.object_id),)
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
    frames = len(matched.j)
    return ScoredItem(video.id, name, {k: v for k, v in scores.items() if v is not None}, frames, facts)


def build(name: str) -> LabelMaps:
    """Build the protocol under one of its names."""
    task = semi_supervised if name.endswith("/semi_supervised") else unsupervised
    return LabelMaps(name, task, annotated=name.startswith("refdavis/"))
