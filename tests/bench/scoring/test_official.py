"""Every real mask that the official evaluator has scored, with difference 0 in every frame."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from refseg.bench.layouts.png import decode_labels
from refseg.bench.scoring.davis import semi_supervised, statistics, unsupervised

SHARED = Path(__file__).parents[4] / "shared"
RESULTS, GOLDEN = SHARED / "real/davis17-results", SHARED / "golden/metrics"
TASKS = ("unsup", "semi_clipped", "semi_matched")
COLUMNS = ["J_mean", "J_recall", "J_decay", "F_mean", "F_recall", "F_decay"]

pytestmark = pytest.mark.skipif(
    not (RESULTS.exists() and GOLDEN.exists()),
    reason="the real masks and official numbers are not beside the repository",
)


def labels(folder):
    return np.stack([decode_labels(f.read_bytes(), f.name, None) for f in sorted(folder.glob("*.png"))])


def score(task, video, predicted, true):
    if task == "unsup":
        return unsupervised(predicted, true, name=video)
    renamed = np.zeros(256, np.uint8)
    for old, new in json.loads((GOLDEN / f"davis17_{task}_label_map.json").read_text())[video].items():
        renamed[int(old)] = new
    return semi_supervised(renamed[predicted], true, name=video)


def table(name):
    with (GOLDEN / name).open() as file:
        return [*csv.DictReader(file)]


@pytest.fixture(scope="module")
def scored():
    """What each task gives of each video."""
    found = {task: {} for task in TASKS}
    for video in sorted(p.name for p in (RESULTS / "osvos").iterdir()):
        sides = labels(RESULTS / "rvos" / video), labels(RESULTS / "osvos" / video)
        for task in TASKS:
            found[task][video] = score(task, video, *sides)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_all_frames_objects_and_global_numbers_are_the_official_ones(scored, task):
    rows, mine = [], []
    with np.load(GOLDEN / f"davis17_{task}_per_frame.npz") as frames:
        for video, matched in scored[task].items():
            for name in "JF":
                scores = np.stack([getattr(m, name.lower()) for m in matched])
                assert np.array_equal(scores, frames[f"{video}/{name}"]), video
            for i, m in enumerate(matched, 1):
                rows.append(f"{video}_{i}")
                mine.append([*statistics(m.j), *statistics(m.f)])
    official = {
        r["sequence_object"]: [float(r[c]) for c in COLUMNS] for r in table(f"davis17_{task}_per_object.csv")
    }
    assert sorted(rows) == sorted(official) and len(rows) == 61
    assert np.abs(np.array(mine) - [official[r] for r in rows]).max() <= 1e-12
    (whole,) = table(f"davis17_{task}_global.csv")
    means = np.mean(mine, axis=0)
    expected = [float(whole[c]) for c in ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")]
    assert np.abs(means - expected).max() <= 1e-12
    assert (means[0] + means[3]) / 2 == pytest.approx(float(whole["J&F-Mean"]), abs=1e-12)
