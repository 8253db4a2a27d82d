import json
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.extra.numpy import arrays

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.protocols import longrvos, per_expression, refdavis, revos, ris
from refseg.bench.scoring.score import score_predictions
from refseg.bench.types import DatasetRequest, Expression, GroundTruth, MethodRequest

GOLDEN = Path(__file__).parents[2] / "data/golden"


@pytest.mark.parametrize("part", ["real", "exact_thresholds"])
def test_ris_equals_lavt(few, given, clip, part):
    official = json.loads((GOLDEN / "lavt.json").read_text())[part]
    with np.load(GOLDEN / "lavt_inputs.npz") as data:
        size = tuple(int(n) for n in data["height_width"]) if part == "real" else None
        truth, predicted = (data[f"{part}_{k}_bits"] for k in ("gt", "pred"))
        shape = size or tuple(int(n) for n in data["height_width"])
        masks = [
            np.unpackbits(b, axis=-1)[:, : shape[0] * shape[1]].reshape(-1, 1, *shape).astype(bool)
            for b in (truth, predicted)
        ]
    videos = [clip(n, [Expression("0", n)], shape) for n in map(str, range(len(masks[0])))]
    dataset = few(videos, {(v.id, "0"): GroundTruth(t) for v, t in zip(videos, masks[0], strict=True)})
    given = given({(v.id, "0"): p for v, p in zip(videos, masks[1], strict=True)})
    result = score_predictions(dataset, given, ris.build("ris/per_sentence"))
    expected = official["metrics"]
    assert result["metrics"]["oIoU"] == pytest.approx(expected["overall_IoU_percent"], abs=1e-10)
    assert result["metrics"]["mIoU"] == pytest.approx(expected["mIoU_percent"], abs=1e-10)
    for k in ris.THRESHOLDS:
        assert result["metrics"][f"P@{k}"] == pytest.approx(expected[f"precision@{k}_percent"], abs=1e-10)
    ious = [i["IoU"] / 100 for i in result["items"]]
    assert ious == pytest.approx(official["per_sample_iou"], abs=1e-12)


@pytest.fixture
def two_expressions(few, clip):
    size = (6, 6)
    one, two = np.zeros((2, 2, *size), bool)
    one[:, :3], two[:, 3:] = True, True
    v = clip("v", [Expression("0", "a", ("1",)), Expression("1", "b", ("2",))], size, frames=2)
    return v, few([v], {("v", "0"): GroundTruth(one), ("v", "1"): GroundTruth(two)}), one, two


def test_swapped_referents_cost_everything_in_the_strict_protocol(given, two_expressions):
    _, dataset, one, two = two_expressions
    protocol = per_expression.build("few/per_expression")
    right = score_predictions(dataset, given({("v", "0"): one, ("v", "1"): two}), protocol)
    swapped = score_predictions(dataset, given({("v", "0"): two, ("v", "1"): one}), protocol)
    assert right["metrics"] == {"J&F": 100, "J": 100, "F": 100}
    assert swapped["metrics"]["J"] == 0
    assert [i["expression"] for i in right["items"]] == ["0", "1"]


def test_missing_predictions_are_an_error_or_empty_masks(given, two_expressions):
    _, dataset, one, _ = two_expressions
    protocol = per_expression.build("few/per_expression")
    with pytest.raises(InputError, match="1 predictions are missing, first v/1"):
        score_predictions(dataset, given({("v", "0"): one}), protocol)
    result = score_predictions(dataset, given({("v", "0"): one}), protocol, on_missing="empty")
    assert result["metrics"]["J"] == 50
    assert result["missing"] == 1


def test_an_empty_truth_of_a_named_object_is_an_error(few, given, two_expressions):
    v, _, one, _ = two_expressions
    dataset = few([v], {("v", "0"): GroundTruth(one), ("v", "1"): GroundTruth(np.zeros_like(one))})
    given = given({("v", "0"): one, ("v", "1"): np.zeros_like(one)})
    with pytest.raises(InputError, match="empty answer would score 100"):
        score_predictions(dataset, given, per_expression.build("p"))


def test_without_a_target_empty_masks_are_right(few, given, clip):
    size = (6, 6)
    v = clip("v", [Expression("0", "the cat", ())], size, frames=2)
    nothing = np.zeros((2, *size), bool)
    some = nothing.copy()
    some[1, 2:4, 2:4] = True
    dataset = few([v], {("v", "0"): GroundTruth(nothing)})
    protocol = per_expression.build("p")
    assert score_predictions(dataset, given({("v", "0"): nothing}), protocol)["metrics"]["J&F"] == 100
    assert score_predictions(dataset, given({("v", "0"): some}), protocol)["metrics"]["J&F"] == 50


def test_the_published_protocol_needs_label_maps(given, two_expressions):
    _, dataset, one, two = two_expressions
    with pytest.raises(InputError, match="needs label maps"):
        score_predictions(
            dataset, given({("v", "0"): one, ("v", "1"): two}), refdavis.build("refdavis/published")
        )


def test_published_forgives_swapped_referents_and_averages_annotators(few, given, clip):
    size = (8, 16)
    truth = np.zeros((2, *size), np.uint8)
    truth[:, 2:6, 2:6], truth[:, 2:6, 10:14] = 1, 2
    expressions = [Expression(str(o * 4 + a), "x", (str(o + 1),), a) for o in range(2) for a in range(4)]
    v = clip("v", expressions, size, frames=2)

    class Labelled(few):
        def label_maps(self, video_id):
            return truth

    swapped = np.where(truth == 1, 2, np.where(truth == 2, 1, 0)).astype(np.uint8)
    nothing = np.zeros_like(truth)
    half = np.where(truth == 1, 1, 0).astype(np.uint8)
    maps = {("v", a): m for a, m in enumerate((truth, swapped, nothing, half))}
    result = score_predictions(Labelled([v], {}), given({}, maps), refdavis.build("refdavis/published"))
    by_annotator = [np.mean([i["J"] for i in result["items"] if i["annotator"] == a]) for a in range(4)]
    assert by_annotator == [100, 100, 0, 50]
    assert result["metrics"]["J"] == pytest.approx(62.5)
    assert {i["expression"] for i in result["items"]} == {e.id for e in expressions}


def test_refshapes_truth_scores_100_and_empty_scores_what_arithmetic_says(few, given):
    dataset = registry.build_dataset(DatasetRequest("refshapes", "val"))
    first = dataset.videos()[0]
    truths = {e.id: dataset.ground_truth(first.id, e.id).masks for e in first.expressions}
    few = few([first], {(first.id, k): GroundTruth(t) for k, t in truths.items()})
    protocol = registry.build_protocol("refshapes/per_expression")
    oracle = score_predictions(few, given({(first.id, k): t for k, t in truths.items()}), protocol)
    assert oracle["metrics"] == {"J&F": 100, "J": 100, "F": 100}
    empty = score_predictions(
        few, given({(first.id, k): np.zeros_like(t) for k, t in truths.items()}), protocol
    )
    hidden = np.mean([(~t.any((1, 2))).mean() for t in truths.values()])
    assert empty["metrics"]["J"] == pytest.approx(100 * hidden)
    assert registry.build_method(MethodRequest("oracle")).info.uses_truth


def test_ris_counts_an_iou_at_the_threshold_by_two_conventions(few, given, clip):
    size = (2, 10)
    truth = np.ones((1, *size), bool)
    v = [clip(str(n), [Expression("0", "x", ("1",))], size) for n in (10, 14, 16)]
    masks = {(x.id, "0"): (np.arange(20) < int(x.id)).reshape(1, *size) for x in v}
    found = score_predictions(
        few(v, {(x.id, "0"): GroundTruth(truth) for x in v}), given(masks), ris.build("r")
    )
    third = pytest.approx(100 / 3)
    assert [found["metrics"][f"P@{t}"] for t in ris.THRESHOLDS] == [
        100,
        pytest.approx(200 / 3),
        pytest.approx(200 / 3),
        third,
        0,
    ]
    assert [found["metrics"][f"P>{t}"] for t in ris.THRESHOLDS] == [pytest.approx(200 / 3)] * 2 + [
        third,
        0,
        0,
    ]


@settings(max_examples=50, deadline=None)
@hypothesis.given(arrays(bool, (2, 5, 3, 4)), arrays(bool, (2, 5)))
def test_longrvos_is_its_definition(few, given, clip, masks, shown):
    """Against a count by frames, one after the other."""
    predicted, truth = masks & shown[:, :, None, None]
    v = clip("v", [Expression("0", "x")], (3, 4), frames=5)
    dataset = few([v], {("v", "0"): GroundTruth(truth)})
    (item,) = score_predictions(dataset, given({("v", "0"): predicted}), longrvos.build("longrvos"))["items"]
    both, either, inside = 0, 0, 0.0
    for p, t in zip(predicted, truth, strict=True):
        either += p.any() or t.any()
        if p.any() and t.any():
            both += 1
            inside += (p & t).sum() / (p | t).sum()
    expected = (both / either, inside / either) if either else (1, 1)
    assert (item["tIoU"], item["vIoU"]) == pytest.approx((100 * expected[0], 100 * expected[1]))
    assert item["J&F"] == pytest.approx((item["J"] + item["F"]) / 2)


def test_mevis_has_no_void_and_other_means_over_expressions_do(few, given, clip):
    v = clip("v", [Expression("0", "x", ("1",))], (4, 4))
    truth, void, wrong = np.zeros((3, 1, 4, 4), bool)
    truth[0, :2], void[0, 2:], wrong[0] = True, True, True
    dataset, predictions = few([v], {("v", "0"): GroundTruth(truth, void)}), given({("v", "0"): wrong})
    scores = {
        name: score_predictions(dataset, predictions, registry.build_protocol(name))["metrics"]["J"]
        for name in ("mevis/valid_u", "longrvos", "refytvos/per_expression")
    }
    assert scores == {"mevis/valid_u": 50, "longrvos": 50, "refytvos/per_expression": 100}


def test_revos_needs_what_only_its_datasets_give(few, given, clip):
    v = clip("v", [Expression("0", "x", ("1",), attributes={"type": "referring"})], (4, 4))
    truth = np.ones((1, 4, 4), bool)
    with pytest.raises(InputError, match=r"revos needs the mask of all annotated objects of v"):
        score_predictions(
            few([v], {("v", "0"): GroundTruth(truth)}), given({("v", "0"): truth}), revos.build("revos")
        )
    plain = clip("v", [Expression("0", "x", ("1",))], (4, 4))
    with pytest.raises(InputError, match='has no attribute "type"'):
        score_predictions(few([plain], {("v", "0"): GroundTruth(truth)}), given({}), revos.build("revos"))


def test_davis_tasks_score_label_maps_that_no_sentence_made(few, given, clip):
    truth = np.zeros((4, 8, 16), np.uint8)
    truth[:, 2:6, 2:6], truth[:, 2:6, 10:14] = 1, 2
    swapped = np.where(truth == 1, 2, np.where(truth == 2, 1, 0)).astype(np.uint8)
    v = clip("v", [], (8, 16), frames=4)

    class Labelled(few):
        def label_maps(self, video_id):
            return truth

    labelled, predictions = Labelled([v], {}), given({}, {("v", 0): swapped})
    found = {
        name: score_predictions(labelled, predictions, registry.build_protocol(name))
        for name in ("davis/unsupervised", "davis/semi_supervised")
    }
    assert [found[n]["metrics"]["J"] for n in found] == [100, 0]
    with pytest.raises(InputError, match="is a mean over annotators, and no sentence of v is an annotator's"):
        score_predictions(labelled, predictions, refdavis.build("refdavis/published"))
    assert [found[n]["items"][0]["frames"] for n in found] == [4, 2]


def test_every_protocol_of_the_table_can_be_built_under_its_name():
    for name in registry.TABLE["protocols"]:
        protocol = registry.build_protocol(name)
        assert protocol.name == name and protocol.metrics
