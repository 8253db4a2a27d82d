"""Scores a folder of label PNGs by DAVIS's semi-supervised task; run in a process of its own by the benchmarks.

python semi_supervised.py ROOT PREDICTIONS JOBS
"""

import json
import sys

import numpy as np

from refseg.bench.layouts import open_predictions, scored_dataset
from refseg.bench.scoring.davis import LabelVideo, semi_supervised
from refseg.bench.scoring.frames import label_frames
from refseg.bench.scoring.score import score_predictions
from refseg.bench.scoring.truth import video_labels
from refseg.bench.types import DatasetRequest, ScoredItem
from refseg.datasets.refdavis import build


class SemiSupervised:
    name = "semi-supervised"
    metrics = ("J&F", "J", "F")

    def score_video(self, dataset, video, predictions):
        sides = (label_frames(predictions, video, 0), video_labels(dataset, video))
        matched = semi_supervised(*(LabelVideo(s, len(video)) for s in sides), name=video.id)
        return [self._item(video, m) for m in matched]

    def _item(self, video, matched):
        j, f = float(matched.j.mean()), float(matched.f.mean())
        scores = {"J&F": (j + f) / 2, "J": j, "F": f}
        return ScoredItem(video.id, str(matched.object_id), scores, len(video))

    def aggregate(self, items):
        return {m: 100 * float(np.mean([i.scores[m] for i in items])) for m in self.metrics}


def main(root, predictions, jobs):
    whole = build(DatasetRequest("refdavis17", root=root))
    given = open_predictions(predictions, whole, "davis")
    dataset = scored_dataset(whole, given)
    return score_predictions(dataset, given, SemiSupervised(), jobs=int(jobs))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])["metrics"]))
