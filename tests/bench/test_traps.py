"""What conventions move, on masks whose scores are known by hand and on real ones."""

from pathlib import Path

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import encode_labels
from refseg.bench.traps import LONG, TRAPS, measure_traps

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
SIZE = (40, 60)


def write(folder, **videos):
    for name, labels in videos.items():
        (folder / name).mkdir(parents=True)
        for t, frame in enumerate(labels):
            (folder / name / f"{t:05}.png").write_bytes(encode_labels(frame))
    return str(folder)


def squares(frames, *columns):
    """(T, H, W) ids 1, 2, … of 20x20 squares that begin at these columns."""
    out = np.zeros((frames, *SIZE), np.uint8)
    for i, column in enumerate(columns, 1):
        out[:, 10:30, column : column + 20] = i
    return out


def by_trap(found):
    return {r["trap"]: (r["one_score"], r["other_score"]) for r in found["rows"]}


def test_effects_that_can_be_counted_by_hand(tmp_path):
    truth, predicted = squares(6, 0, 30), squares(6, 0, 30)
    truth[3:][truth[3:] == 2] = 0  # The second object leaves,
    predicted[3:][predicted[3:] == 2] = 0  # which the answer sees;
    predicted[0] = 0  # its first frame is empty.
    found = measure_traps(write(tmp_path / "truth", v=truth), write(tmp_path / "predicted", v=predicted))
    rows = by_trap(found)
    assert (found["videos"], found["objects"], found["frames"]) == (1, 2, 6)
    assert rows["first and last frame"] == pytest.approx((100 * 5 / 6, 100))
    assert rows["labelled frames"] == pytest.approx((100 * 5 / 6, 50))
    # Left out for the second object are frames 3 to 5: its answer is right in two of three then.
    assert rows["frames without the object"] == pytest.approx((100 * 5 / 6, 100 * (5 / 6 + 2 / 3) / 2))
    assert rows["the same, an empty answer"] == pytest.approx((25, 0))
    assert rows["answer of the whole frame"] == (100, 0)
    # Swapped, each answer misses its object; only the frames where neither has a pixel are right.
    right, wrong = rows["swapped referents"]
    assert right == pytest.approx(100 * 5 / 6) and wrong == pytest.approx(0)
    assert rows["mean of what"][0] == pytest.approx(rows["mean of what"][1])
    assert rows["both empty"] == pytest.approx((100 * 10 / 12, 100 * 7 / 12))
    assert rows["values in mask files"] == (100, 100)


def test_an_iou_at_the_threshold_and_false_pixels_in_files_of_255(tmp_path):
    truth = squares(4, 20)
    half = truth.copy()
    half[:, 10:20] = 0  # IoU is one half in every frame.
    rows = by_trap(measure_traps(write(tmp_path / "t", v=truth), write(tmp_path / "p", v=half)))
    assert rows["equal to the threshold"] == pytest.approx((20, 0))
    assert rows["swapped referents"] == (None, None) and rows["answer of the whole frame"] == (None, None)
    more = truth.copy()
    more[:, 10:30, 40:42] = 1  # 40 false pixels beside 400 true ones.
    rows = by_trap(measure_traps(write(tmp_path / "t2", v=truth), write(tmp_path / "p2", v=more)))
    assert rows["values in mask files"] == pytest.approx((90, 0), abs=1e-4)


def test_eight_bits_turn_the_quarters_of_a_long_video(tmp_path):
    truth = squares(40, 20)
    falling = truth.copy()
    for t in range(40):
        falling[t, 10 : 10 + t // 4] = 0
    rows = by_trap(measure_traps(write(tmp_path / "t", v=truth), write(tmp_path / "p", v=falling)))
    wrapped, true = rows["decay in 8 bits"]
    # J falls from 1 by 1/20 every fourth frame: quarters average 0.05 steps apart, and 300..399 wraps to 43..143.
    steps = np.array([1 - (t * 40 // LONG // 4) / 20 for t in range(LONG)])
    assert true == pytest.approx(100 * (steps[:100].mean() - steps[300:].mean()))
    assert 0 < wrapped < true / 2


def test_real_masks_show_every_row(tmp_path):
    found = measure_traps(str(MINI / "valid/Annotations"), str(MINI / "results/rvos"))
    assert [r["trap"] for r in found["rows"]] == [t.title for t in TRAPS]
    for row in found["rows"]:
        scores = (row["one_score"], row["other_score"])
        assert (None in scores) == (row["difference"] is None)
        assert all(np.isfinite(s) for s in scores if s is not None)


def test_what_is_missing_is_refused(tmp_path):
    truth = write(tmp_path / "t", v=squares(3, 0))
    with pytest.raises(InputError, match=r"v/00000.png is missing"):
        measure_traps(truth, write(tmp_path / "p", w=squares(3, 0)))
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no folder of a video"):
        measure_traps(str(tmp_path / "none"), truth)
    with pytest.raises(InputError, match="is no folder"):
        measure_traps(truth, str(tmp_path / "nowhere"))
    (tmp_path / "none/v").mkdir()
    with pytest.raises(InputError, match="holds no PNG"):
        measure_traps(str(tmp_path / "none"), truth)
