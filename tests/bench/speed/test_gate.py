import numpy as np
import pytest

from refseg.bench.speed.gate import gate
from refseg.bench.types import Expression, GroundTruth, Video

VIDEO = Video("v", ("0", "1"), (40, 40), (Expression("a", "x"), Expression("b", "y")), lambda i: None)
WORK = [(VIDEO, VIDEO.expressions)]


def square(offset):
    mask = np.zeros((2, 40, 40), bool)
    mask[:, 10 + offset : 30 + offset, 10:30] = True
    return mask


class Truth:
    def __init__(self, masks=None, known=("a", "b")):
        self._masks, self._known = masks, known

    def ground_truth(self, video, expression):
        return GroundTruth(np.stack([self._masks] * 3)) if expression in self._known else None


def masks(offset):
    return [[square(offset), square(offset)]]


def test_equal_masks_pass_whatever_the_truth():
    for truth in (Truth(square(3)[0]), Truth(known=())):
        found = gate(truth, WORK, masks(0), masks(0))
        assert found["passed"] and found["kept"] == found["iou_to_reference"] == 1


def test_a_worse_score_fails_and_a_better_one_passes():
    worse = gate(Truth(square(0)[0]), WORK, masks(1), masks(0))
    assert worse["by"] == "J&F" and not worse["passed"]
    assert worse["J&F_reference"] == pytest.approx(100) and worse["J&F"] < 99
    assert worse["kept"] == pytest.approx(worse["J&F"] / 100)
    better = gate(Truth(square(0)[0]), WORK, masks(0), masks(1))
    # As near to the truth as it gets, though its masks are not the reference's.
    assert better["passed"] and better["kept"] > 1 and better["iou_to_reference"] < 0.95


@pytest.mark.parametrize("known", [(), ("a",)])
def test_without_all_of_the_truth_masks_are_compared(known):
    found = gate(Truth(square(0)[0], known), WORK, masks(1), masks(0))
    assert found["by"] == "mask IoU to the reference" and "J&F" not in found
    assert not found["passed"] and found["kept"] == pytest.approx(19 / 21)


def test_the_border_is_at_999_in_a_thousand():
    reference = [[np.ones((2, 40, 50), bool)] * 2]
    for missing, passed in ((2, True), (3, False)):
        mine = np.ones((2, 40, 50), bool)
        mine[:, 0, :missing] = False
        assert gate(Truth(known=()), WORK, [[mine] * 2], reference)["passed"] is passed
