import csv
import json
from pathlib import Path

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import decode_labels
from refseg.bench.scoring.davis import statistics, unsupervised

DATA = Path(__file__).parents[2] / "data/golden"
RESULTS = Path(__file__).parents[4] / "shared/real/ref-davis-mini/results"


def labels(folder):
    files = sorted(folder.glob("*.png"))
    return np.stack([decode_labels(f.read_bytes(), f.name, None) for f in files])


@pytest.mark.parametrize("video", ["libby", "car-shadow", "dance-twirl", "drift-straight"])
def test_real_results_score_as_the_official_evaluator_scored_them(video):
    if not RESULTS.exists():
        pytest.skip("the real result masks are not beside the repository")
    found = unsupervised(labels(RESULTS / "rvos" / video), labels(RESULTS / "osvos" / video), name=video)
    assignment = json.loads((DATA / "davis17_unsup_assignment.json").read_text())[video]
    assert [m.proposal_id - 1 for m in found] == assignment["proposal_index0"]
    assert [m.object_id - 1 for m in found] == assignment["gt_index0"]
    with (DATA / "davis17_unsup_per_object.csv").open() as file:
        official = {row["sequence_object"]: row for row in csv.DictReader(file)}
    for i, matched in enumerate(found, 1):
        row = official[f"{video}_{i}"]
        for values, letter in ((matched.j, "J"), (matched.f, "F")):
            expected = [float(row[f"{letter}_{s}"]) for s in ("mean", "recall", "decay")]
            assert statistics(values) == pytest.approx(expected, abs=1e-12)


def video_of(*objects):
    """A label map of two frames with 8x8 squares in a row; object ids in order."""
    out = np.zeros((2, 8, 8 * len(objects)), np.uint8)
    for i, object_id in enumerate(objects):
        out[:, 2:6, 8 * i + 2 : 8 * i + 6] = object_id
    return out


def test_swapped_ids_cost_nothing():
    found = unsupervised(video_of(2, 1), video_of(1, 2), name="v")
    assert [(m.proposal_id, m.object_id) for m in found] == [(1, 2), (2, 1)]
    assert all((m.j == 1).all() and (m.f == 1).all() for m in found)


def test_objects_are_counted_in_the_first_frame():
    truth = video_of(1, 2)
    truth[0][truth[0] == 2] = 0
    assert [m.object_id for m in unsupervised(truth, truth, name="v")] == [1]
    # The highest id counts, also where lower ones are not in the first frame.
    truth = video_of(1, 2)
    truth[0][truth[0] == 1] = 0
    assert [m.object_id for m in unsupervised(truth, truth, name="v")] == [1, 2]


def test_too_few_proposals_are_empty_objects():
    found = unsupervised(video_of(1, 0), video_of(1, 2), name="v")
    assert [m.j.mean() for m in found] == [1, 0]


def test_void_counts_for_nothing():
    truth = video_of(1, 255)
    found = unsupervised(video_of(1, 1), truth, name="v")
    assert [m.j.mean() for m in found] == [1]


def test_what_the_official_evaluator_stops_at_is_refused():
    with pytest.raises(InputError, match="at most 20"):
        unsupervised(video_of(1, 21), video_of(1, 2), name="v")
    with pytest.raises(InputError, match="no object"):
        unsupervised(video_of(1), video_of(0), name="v")


def test_decay_wraps_in_long_videos_as_in_the_official_code():
    values = np.linspace(1, 0, 300)
    # The last edge, 299, becomes 43 in 8 bits, so the last quarter (224 to 43) is empty.
    assert statistics(values)[2] is None
    short = np.linspace(1, 0, 101)
    assert statistics(short)[2] == pytest.approx(short[:26].mean() - short[75:].mean())
