"""Every protocol that has an official implementation gives its numbers on the same masks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.layouts.png import decode_labels
from refseg.bench.protocols import grefcoco
from refseg.bench.protocols.a2d import chosen, smoothed_iou
from refseg.bench.protocols.refdavis import build
from refseg.bench.scoring.average_precision import Sample, average_precision
from refseg.bench.scoring.score import score_predictions
from refseg.bench.types import Expression, GroundTruth, ScoredItem

GOLDEN = Path(__file__).parents[2] / "data/golden"
RESULTS = Path(__file__).parents[4] / "shared/real/ref-davis-mini/results"
EXACT = {"abs": 1e-10, "rel": 0}
"""In percent: the order of a sum is all that differs."""


def official(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture
def revos(few, given, clip, golden):
    """The dataset and predictions of MeViS's and ReVOS's golden numbers, without the video that is missing there."""
    arrays, masks = golden("mevis_revos")
    size = masks["anno"].shape[-2:]
    kinds = {0: "referring", 1: "reasoning", 2: "neither"}
    foreground = dict(zip(arrays["foreground_videos"], masks["foreground"], strict=True))
    predicted = dict(zip(arrays["pred_keys"], masks["pred"], strict=True))
    videos, truths, answers = [], {}, {}
    for name, video in official("mevis_revos")["expressions"].items():
        if name == "missing-video":
            continue
        said = []
        for number, expression in video["expressions"].items():
            layers = masks["anno"][expression["anno_id"]].sum(axis=0, dtype=np.uint8)
            objects = tuple(map(str, expression["anno_id"])) if layers.any() else ()
            said.append(Expression(number, "x", objects, attributes={"type": kinds[expression["type_id"]]}))
            # The objects of india were given one by one, which a sum of masks cannot tell from one mask.
            front = foreground[name].astype(np.uint8)
            truths[name, number] = GroundTruth(layers > 0, layers=layers, foreground=front)
            answers[name, number] = predicted[f"{name}_{number}"]
        videos.append(clip(name, said, size, frames=len(video["frames"])))
    return few(videos, truths), given(answers)


def test_mevis(revos):
    result = score_predictions(*revos, registry.build_protocol("mevis/valid_u"))
    expected = official("mevis_revos")["mevis_png255"]["per_expression"]
    assert len(result["items"]) == len(expected) - 1 == 11
    for item in result["items"]:
        theirs = expected[f"{item['video']}_{item['expression']}"]
        assert [item["J"], item["F"]] == pytest.approx([100 * theirs["J"], 100 * theirs["F"]], **EXACT)
    lost = expected.pop("missing-video_0")
    assert lost == {"J": 0, "F": 0}
    for metric in "JF":
        mean = 100 * np.mean([e[metric] for e in expected.values()])
        assert result["metrics"][metric] == pytest.approx(mean, **EXACT)
        # Theirs counts a missing video as 0.
        assert mean * 11 / 12 == pytest.approx(100 * official("mevis_revos")["mevis_png255"][metric], **EXACT)


@pytest.mark.parametrize(("suffix", "part"), [("", "revos_png1"), ("-255", "revos_png255")])
def test_revos(revos, suffix, part):
    protocol = registry.build_protocol("revos")
    dataset, predictions = revos
    items = [i for v in dataset.videos() for i in protocol.score_video(dataset, v, predictions)]
    rows = {e["videxp"]: e for e in official("mevis_revos")[part]["per_expression_rounded_percent"]}
    for item in items:
        theirs = rows[f"{item.video}_{item.expression}"]
        for ours, name in (("J&F", "JF"), ("J", "J"), ("F", "F"), (f"A{suffix}", "A"), (f"R{suffix}", "R")):
            assert 100 * item.scores[ours] == pytest.approx(theirs[name], **EXACT), (item, name)
    # Theirs counts the missing video as 0.
    zero = dict.fromkeys(protocol.metrics, 0.0)
    items.append(ScoredItem("missing-video", "0", zero, 8, {"type": "referring"}))
    metrics, summary = protocol.aggregate(items), official("mevis_revos")[part]["summary"]["overall"]
    for ours, name in (("J&F", "JF"), ("J", "J"), ("F", "F"), (f"A{suffix}", "A"), (f"R{suffix}", "R")):
        assert metrics[ours] == pytest.approx(summary[name], **EXACT)


def grefcoco_items(golden, part):
    arrays, masks = golden("grefcoco")
    count = int(arrays["grefcoco_only_count"]) if part == "grefcoco_only" else len(arrays["name"])
    items = []
    for i in range(count):
        target, answered = not arrays["gt_nt"][i], not arrays["pred_nt"][i]
        pixels = [int(op(masks["pred"][i], masks["gt"][i]).sum()) for op in (np.logical_and, np.logical_or)]
        iou, intersection, union = grefcoco.counted(*pixels, target=target, answered=answered)
        facts = {"intersection": intersection, "union": union, "target": target, "answered": answered}
        items.append(ScoredItem(str(i), "0", {"IoU": iou}, 1, facts))
    return items


@pytest.mark.parametrize(("part", "source"), [("grefcoco_only", "grefcoco"), ("two_sources", "full")])
def test_grefcoco(golden, part, source):
    items, expected = grefcoco_items(golden, part), official("grefcoco")[part]
    for item, theirs in zip(items, expected["per_sample"], strict=True):
        assert (item.extra["intersection"], item.extra["union"]) == (theirs["I"], theirs["U"])
        assert item.scores["IoU"] == theirs["cIoU"]
    metrics = grefcoco.build("grefcoco/per_sentence").aggregate(items)
    for ours, name, factor in (
        *((m, m, 1) for m in ("gIoU", "cIoU")),
        *((f"P@{k}", f"Pr@{k}", 1) for k in grefcoco.THRESHOLDS),
        *(((m, m.replace("-", "_"), 100) for m in ("N-acc", "T-acc")) if source == "grefcoco" else ()),
    ):
        assert metrics[ours] == pytest.approx(factor * expected["metrics"][source][name], **EXACT)


def test_grefcoco_says_no_target_with_an_empty_mask(few, given, clip):
    size = (4, 5)
    some, nothing = np.zeros((2, 1, *size), bool)
    some[0, 1:3, 1:3] = True
    cases = {"none-none": (nothing, nothing), "none-some": (nothing, some), "some-none": (some, nothing)}
    cases["some-some"] = (some, some)
    videos = [clip(n, [Expression("0", n, ("1",) if t.any() else ())], size) for n, (t, _) in cases.items()]
    dataset = few(videos, {(n, "0"): GroundTruth(t) for n, (t, _) in cases.items()})
    predictions = given({(n, "0"): p for n, (_, p) in cases.items()})
    metrics = score_predictions(dataset, predictions, grefcoco.build("grefcoco/per_sentence"))["metrics"]
    assert metrics == {"gIoU": 50, "cIoU": pytest.approx(100 / 3), "N-acc": 50, "T-acc": 50} | dict.fromkeys(
        ["P@0.7", "P@0.8", "P@0.9"], 50
    )


def a2d_samples(golden, part):
    """Return (name, truth (H, W), answers (K, H, W), scores (K,)) of each sample."""
    arrays, masks = golden(f"a2d_{part}")
    for i, name in enumerate(arrays["names"]):
        count = int(arrays["pred_count"][i])
        yield str(name), masks["gt"][i], masks["pred"][i][:count], arrays["scores"][i][:count]


@pytest.mark.parametrize("part", ["real", "exact_thresholds"])
def test_a2d_average_precision(golden, part):
    samples = []
    # pycocotools takes images by their ids, which are texts, and samples of equal score in this order.
    for number, (name, truth, answers, scores) in enumerate(
        sorted(a2d_samples(golden, part), key=lambda s: s[0])
    ):
        counts = [(answers & truth).sum((1, 2)), (answers | truth).sum((1, 2))]
        best, theirs = chosen(scores.tolist()), official(f"a2d_{part}")["per_sample"][name]
        assert best == theirs["chosen"]
        assert float(smoothed_iou(*counts)[best]) == theirs["iou"]
        # The golden run numbered annotations from 0, and pycocotools takes a match with number 0 for none. MTTR
        # numbers them from 1 for this reason; the next test has the masks scored so.
        found = counts[0] * (number > 0)
        samples.append(Sample(found.tolist(), counts[1].tolist(), scores.tolist()))
    expected = official(f"a2d_{part}")["metrics"]
    names = {"mAP": "mAP 0.5:0.95", "AP50": "AP 0.5", "AP75": "AP 0.75"}
    assert average_precision(samples) == {
        ours: pytest.approx(expected[name], abs=1e-12) for ours, name in names.items()
    }


@pytest.mark.parametrize("part", ["real", "exact_thresholds"])
def test_a2d_average_precision_is_that_of_pycocotools_on_masks(golden, by_pycocotools, part):
    truths, samples, answers = [], [], []
    for number, (_, truth, masks, scores) in enumerate(a2d_samples(golden, part), 1):
        truths.append(truth)
        answers += [(number, m, float(s)) for m, s in zip(masks, scores, strict=True)]
        counts = [(masks & truth).sum((1, 2)), (masks | truth).sum((1, 2))]
        samples.append(Sample(*(c.tolist() for c in counts), scores.tolist()))
    expected = by_pycocotools(truths, answers)
    assert average_precision(samples) == {n: pytest.approx(v, abs=1e-12) for n, v in expected.items()}


@pytest.mark.parametrize("part", ["real", "exact_thresholds"])
def test_a2d_precision_and_iou(golden, few, given, clip, part):
    """The protocol has one answer a sentence, the one that MTTR chooses; it leaves out samples without a truth."""
    videos, truths, answers, kept = [], {}, {}, []
    for name, truth, masks, scores in a2d_samples(golden, part):
        best = chosen(scores.tolist())
        videos.append(clip(name, [Expression("0", "x")], truth.shape))
        truths[name, "0"], answers[name, "0"] = GroundTruth(truth[None]), masks[best][None]
        if truth.any():
            kept.append(name)
    result = score_predictions(few(videos, truths), given(answers), registry.build_protocol("a2d"))
    assert [i["video"] for i in result["items"]] == kept
    reference = official(f"a2d_{part}")
    if part == "exact_thresholds":
        reference = json.loads((GOLDEN / "a2d_exact_thresholds_gt_nonempty.json").read_text())
    expected = reference["metrics"]
    for k in ("0.5", "0.6", "0.7", "0.8", "0.9"):
        assert result["metrics"][f"P@{k}"] == pytest.approx(100 * expected[f"P@{k}"], **EXACT)
    assert result["metrics"]["oIoU"] == pytest.approx(100 * expected["overall_iou"], **EXACT)
    assert result["metrics"]["mIoU"] == pytest.approx(100 * expected["mean_iou"], **EXACT)
    assert "mAP" not in result["metrics"]


def test_a2d_average_precision_needs_scores_and_takes_the_method_s(golden, few, given, clip):
    samples = [(n, t, a[0], s[0]) for n, t, a, s in a2d_samples(golden, "real")]
    videos = [clip(n, [Expression("0", "x")], t.shape) for n, t, _, _ in samples]
    dataset = few(videos, {(n, "0"): GroundTruth(t[None]) for n, t, _, _ in samples})
    masks = {(n, "0"): a[None] for n, _, a, _ in samples}
    scores = {(n, "0"): np.array([s], np.float32) for n, _, _, s in samples}
    protocol = registry.build_protocol("a2d")
    found = score_predictions(dataset, given(masks, scores=scores), protocol)
    counts = [([int((a & t).sum())], [int((a | t).sum())], [float(np.float32(s))]) for _, t, a, s in samples]
    expected = average_precision([Sample(*c) for c in counts])
    assert [found["metrics"][n] for n in expected] == pytest.approx([100 * v for v in expected.values()])
    assert found["intervals"]["mAP"][0] <= found["metrics"]["mAP"] <= found["intervals"]["mAP"][1]
    del masks[samples[0][0], "0"], scores[samples[0][0], "0"]
    lost = score_predictions(dataset, given(masks, scores=scores), protocol, on_missing="empty")
    assert lost["items"][0]["score"] == 0 and "mAP" in lost["metrics"]


@pytest.mark.parametrize("task", ["semi_supervised", "unsupervised"])
def test_davis_means_are_the_official_global_numbers(task):
    name = "davis17_semi_matched" if task == "semi_supervised" else "davis17_unsup"
    metrics = ("J", "J-recall", "J-decay", "F", "F-recall", "F-decay")
    with (GOLDEN / f"{name}_per_object.csv").open() as file:
        _, *rows = csv.reader(file)
    items = []
    for row in rows:
        video, _, number = row[0].rpartition("_")
        scores = dict(zip(metrics, map(float, row[1:]), strict=True))
        scores["J&F"] = (scores["J"] + scores["F"]) / 2
        items.append(ScoredItem(video, number, scores, 1, {"annotator": 0}))
    with (GOLDEN / f"{name}_global.csv").open() as file:
        header, values = csv.reader(file)
    found = build(f"davis/{task}").aggregate(items)
    names = [n.replace("-Mean", "").replace("-Recall", "-recall").replace("-Decay", "-decay") for n in header]
    assert [found[n] for n in names] == pytest.approx([100 * float(v) for v in values], **EXACT)


@pytest.mark.skipif(not RESULTS.exists(), reason="the real result masks are not beside the repository")
@pytest.mark.parametrize("video", ["car-shadow", "drift-straight"])
def test_semi_supervised_task_on_real_masks(few, given, clip, video):
    def maps(folder):
        return np.stack(
            [
                decode_labels(f.read_bytes(), f.name, None)
                for f in sorted((RESULTS / folder / video).iterdir())
            ]
        )

    truth, predicted = maps("osvos"), maps("rvos")
    new = json.loads((GOLDEN / "davis17_semi_matched_label_map.json").read_text())[video]
    renamed = sum((predicted == int(old)) * np.uint8(number) for old, number in new.items())

    class Labelled(few):
        def label_maps(self, video_id):
            return truth

    dataset = Labelled([clip(video, (), truth.shape[1:], frames=len(truth))], {})
    found = score_predictions(dataset, given({}, {(video, 0): renamed}), build("davis/semi_supervised"))
    with (GOLDEN / "davis17_semi_matched_per_object.csv").open() as file:
        (theirs,) = (r for r in csv.DictReader(file) if r["sequence_object"] == f"{video}_1")
    (item,) = found["items"]
    assert (item["expression"], item["frames"]) == ("object 1", len(truth) - 2)
    for letter in "JF":
        for ours, name in (("", "mean"), ("-recall", "recall"), ("-decay", "decay")):
            assert item[letter + ours] == pytest.approx(100 * float(theirs[f"{letter}_{name}"]), **EXACT)
