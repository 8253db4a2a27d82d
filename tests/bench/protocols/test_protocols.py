import json
from pathlib import Path

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.protocols import per_expression, refdavis, ris
from refseg.bench.scoring.score import score_predictions
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, MethodRequest, Video

GOLDEN = Path(__file__).parents[2] / "data/golden"


class Few:
    """A dataset of given truths; predictions are given beside."""

    def __init__(self, videos, truths):
        self.info = DatasetInfo("few", "1", "all", ("few/per_expression",))
        self._videos, self._truths = videos, truths

    def videos(self):
        return self._videos

    def ground_truth(self, video_id, expression_id):
        return self._truths[video_id, expression_id]


class Given:
    def __init__(self, masks, labels=None):
        self._masks, self._labels = masks, labels or {}

    def masks(self, video, expression):
        return self._masks.get((video.id, expression.id))

    def label_maps(self, video, annotator):
        return self._labels.get((video.id, annotator))


def video(name, expressions, size, frames=1):
    ids = tuple(f"{i:05d}" for i in range(frames))
    return Video(name, ids, size, tuple(expressions), lambda i: np.zeros((*size, 3), np.uint8))


@pytest.mark.parametrize("part", ["real", "exact_thresholds"])
def test_ris_equals_lavt(part):
    official = json.loads((GOLDEN / "lavt.json").read_text())[part]
    with np.load(GOLDEN / "lavt_inputs.npz") as data:
        size = tuple(int(n) for n in data["height_width"]) if part == "real" else None
        truth, predicted = (data[f"{part}_{k}_bits"] for k in ("gt", "pred"))
        shape = size or tuple(int(n) for n in data["height_width"])
        masks = [
            np.unpackbits(b, axis=-1)[:, : shape[0] * shape[1]].reshape(-1, 1, *shape).astype(bool)
            for b in (truth, predicted)
        ]
    videos = [video(n, [Expression("0", n)], shape) for n in map(str, range(len(masks[0])))]
    dataset = Few(videos, {(v.id, "0"): GroundTruth(t) for v, t in zip(videos, masks[0], strict=True)})
    given = Given({(v.id, "0"): p for v, p in zip(videos, masks[1], strict=True)})
    result = score_predictions(dataset, given, ris.build("ris/per_sentence"))
    expected = official["metrics"]
    assert result["metrics"]["oIoU"] == pytest.approx(expected["overall_IoU_percent"], abs=1e-10)
    assert result["metrics"]["mIoU"] == pytest.approx(expected["mIoU_percent"], abs=1e-10)
    for k in ris.THRESHOLDS:
        assert result["metrics"][f"P@{k}"] == pytest.approx(expected[f"precision@{k}_percent"], abs=1e-10)
    ious = [i["IoU"] / 100 for i in result["items"]]
    assert ious == pytest.approx(official["per_sample_iou"], abs=1e-12)


def two_expressions():
    size = (6, 6)
    one, two = np.zeros((2, 2, *size), bool)
    one[:, :3], two[:, 3:] = True, True
    v = video("v", [Expression("0", "a", ("1",)), Expression("1", "b", ("2",))], size, frames=2)
    return v, Few([v], {("v", "0"): GroundTruth(one), ("v", "1"): GroundTruth(two)}), one, two


def test_swapped_referents_cost_everything_in_the_strict_protocol():
    _, dataset, one, two = two_expressions()
    protocol = per_expression.build("few/per_expression")
    right = score_predictions(dataset, Given({("v", "0"): one, ("v", "1"): two}), protocol)
    swapped = score_predictions(dataset, Given({("v", "0"): two, ("v", "1"): one}), protocol)
    assert right["metrics"] == {"J&F": 100, "J": 100, "F": 100}
    assert swapped["metrics"]["J"] == 0
    assert [i["expression"] for i in right["items"]] == ["0", "1"]


def test_missing_predictions_are_an_error_or_empty_masks():
    _, dataset, one, _ = two_expressions()
    protocol = per_expression.build("few/per_expression")
    with pytest.raises(InputError, match="1 predictions are missing, first v/1"):
        score_predictions(dataset, Given({("v", "0"): one}), protocol)
    result = score_predictions(dataset, Given({("v", "0"): one}), protocol, on_missing="empty")
    assert result["metrics"]["J"] == 50
    assert result["missing"] == 1


def test_an_empty_truth_of_a_named_object_is_an_error():
    v, _, one, _ = two_expressions()
    dataset = Few([v], {("v", "0"): GroundTruth(one), ("v", "1"): GroundTruth(np.zeros_like(one))})
    given = Given({("v", "0"): one, ("v", "1"): np.zeros_like(one)})
    with pytest.raises(InputError, match="empty answer would score 100"):
        score_predictions(dataset, given, per_expression.build("p"))


def test_without_a_target_empty_masks_are_right():
    size = (6, 6)
    v = video("v", [Expression("0", "the cat", ())], size, frames=2)
    nothing = np.zeros((2, *size), bool)
    some = nothing.copy()
    some[1, 2:4, 2:4] = True
    dataset = Few([v], {("v", "0"): GroundTruth(nothing)})
    protocol = per_expression.build("p")
    assert score_predictions(dataset, Given({("v", "0"): nothing}), protocol)["metrics"]["J&F"] == 100
    assert score_predictions(dataset, Given({("v", "0"): some}), protocol)["metrics"]["J&F"] == 50


def test_the_published_protocol_needs_label_maps():
    _, dataset, one, two = two_expressions()
    with pytest.raises(InputError, match="needs label maps"):
        score_predictions(
            dataset, Given({("v", "0"): one, ("v", "1"): two}), refdavis.build("refdavis/published")
        )


def test_published_forgives_swapped_referents_and_averages_annotators():
    size = (8, 16)
    truth = np.zeros((2, *size), np.uint8)
    truth[:, 2:6, 2:6], truth[:, 2:6, 10:14] = 1, 2
    expressions = [Expression(str(o * 4 + a), "x", (str(o + 1),), a) for o in range(2) for a in range(4)]
    v = video("v", expressions, size, frames=2)

    class Labelled(Few):
        def label_maps(self, video_id):
            return truth

    swapped = np.where(truth == 1, 2, np.where(truth == 2, 1, 0)).astype(np.uint8)
    nothing = np.zeros_like(truth)
    half = np.where(truth == 1, 1, 0).astype(np.uint8)
    maps = {("v", a): m for a, m in enumerate((truth, swapped, nothing, half))}
    result = score_predictions(Labelled([v], {}), Given({}, maps), refdavis.build("refdavis/published"))
    by_annotator = [np.mean([i["J"] for i in result["items"] if i["annotator"] == a]) for a in range(4)]
    assert by_annotator == [100, 100, 0, 50]
    assert result["metrics"]["J"] == pytest.approx(62.5)
    assert {i["expression"] for i in result["items"]} == {e.id for e in expressions}


def test_refshapes_truth_scores_100_and_empty_scores_what_arithmetic_says():
    dataset = registry.build_dataset(DatasetRequest("refshapes", "val"))
    first = dataset.videos()[0]
    truths = {e.id: dataset.ground_truth(first.id, e.id).masks for e in first.expressions}
    few = Few([first], {(first.id, k): GroundTruth(t) for k, t in truths.items()})
    protocol = registry.build_protocol("refshapes/per_expression")
    oracle = score_predictions(few, Given({(first.id, k): t for k, t in truths.items()}), protocol)
    assert oracle["metrics"] == {"J&F": 100, "J": 100, "F": 100}
    empty = score_predictions(
        few, Given({(first.id, k): np.zeros_like(t) for k, t in truths.items()}), protocol
    )
    hidden = np.mean([(~t.any((1, 2))).mean() for t in truths.values()])
    assert empty["metrics"]["J"] == pytest.approx(100 * hidden)
    assert registry.build_method(MethodRequest("oracle")).info.uses_truth
