"""What the official tools do, written plainly: the baselines that the benchmarks measure ours against.

``j_and_f`` does the work of davis2017-evaluation's ``db_eval_iou`` and ``db_eval_boundary`` for one mask pair, array
by array; ``benchmark`` that of vos-benchmark for two folders: frames decoded by Pillow, the first and the last left
out, every object that was seen so far scored.

    python plain.py TRUTH PREDICTIONS
"""

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image


def disk(radius):
    steps = np.arange(-radius, radius + 1)
    x, y = np.meshgrid(steps, steps)
    return (x**2 + y**2 <= radius**2).astype(np.uint8)


def boundary(mask):
    mask = mask.astype(bool)
    mask[mask > 0] = True
    right, below, diagonal = (np.zeros_like(mask) for _ in range(3))
    right[:, :-1], below[:-1], diagonal[:-1, :-1] = mask[:, 1:], mask[1:], mask[1:, 1:]
    out = (mask ^ right) | (mask ^ below) | (mask ^ diagonal)
    out[-1], out[:, -1] = mask[-1] ^ right[-1], mask[:, -1] ^ below[:, -1]
    out[-1, -1] = False
    return out


def region(truth, prediction):
    truth, prediction = truth.astype(bool), prediction.astype(bool)
    void = np.zeros_like(prediction)
    both = np.sum((prediction & truth) & np.logical_not(void))
    either = np.sum((prediction | truth) & np.logical_not(void))
    return both / either if either else 1.0


def contour(truth, prediction):
    void = np.zeros_like(prediction)
    radius = math.ceil(0.008 * np.linalg.norm(truth.shape))
    mine, theirs = boundary(prediction * np.logical_not(void)), boundary(truth * np.logical_not(void))
    near_mine = mine * cv2.dilate(theirs.astype(np.uint8), disk(radius))
    near_theirs = theirs * cv2.dilate(mine.astype(np.uint8), disk(radius))
    n_mine, n_theirs = np.sum(mine), np.sum(theirs)
    if not n_mine or not n_theirs:
        return float(n_mine == n_theirs)
    precision, recall = np.sum(near_mine) / n_mine, np.sum(near_theirs) / n_theirs
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def j_and_f(truth, prediction):
    """J and F of two (H, W) masks; as there, a void mask of nothing takes part where none is given."""
    return region(truth, prediction), contour(truth, prediction)


def benchmark(truth, predictions):
    """Mean J and F in percent over all objects of all videos."""
    objects = []
    for video in sorted(p for p in truth.iterdir() if p.is_dir()):
        scores, seen = {}, set()
        for file in sorted(video.iterdir())[1:-1]:
            theirs = np.array(Image.open(file))
            mine = np.array(Image.open(predictions / video.name / file.name))
            in_truth = set(np.unique(theirs).tolist()) - {0}
            seen |= in_truth | (set(np.unique(mine).tolist()) - {0})
            for i in seen:
                scores.setdefault(i, []).append(j_and_f(theirs == i, mine == i))
        objects += [np.mean(s, axis=0) for s in scores.values()]
    j, f = 100 * np.mean(objects, axis=0)
    return {"J&F": (j + f) / 2, "J": j, "F": f}


if __name__ == "__main__":
    print(json.dumps(benchmark(*map(Path, sys.argv[1:]))))
