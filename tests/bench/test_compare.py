"""Paired comparison of stored results: what it finds, what it leaves out and what it refuses."""

import json

import numpy as np
import pytest

from refseg.bench.compare import compare
from refseg.bench.errors import InputError
from refseg.bench.protocols.per_expression import PerExpression
from refseg.bench.runner import run
from refseg.bench.scoring.bootstrap import intervals
from refseg.bench.types import ScoredItem

NAME = "refshapes/per_expression"


def result(scores, *, each=4, **changes):
    """A result of J alone over sentences, ``each`` a video; ``scores`` in percent."""
    items = [
        {"video": f"v{i // each}", "expression": str(i % each), "J&F": s, "J": s, "F": s, "frames": 3}
        for i, s in enumerate(map(float, scores))
    ]
    return {
        "protocol": NAME,
        "metrics": {"J": float(np.mean(scores))},
        "items": items,
        "dataset": "shapes",
        "version": "1",
        "split": "val",
        "fingerprint": "f",
        "failures": [],
        "method": "some",
        "also": [],
    } | changes


@pytest.fixture
def saved(tmp_path):
    """Write results; returns their paths as ``compare`` takes them."""

    def save(*results):
        paths = []
        for i, content in enumerate(results):
            path = tmp_path / f"{'ab'[i]}.json"
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            paths.append(str(path))
        return paths

    return save


def hard_and_easy(videos=30, each=4, seed=0):
    """Scores of sentences in videos of very different difficulty."""
    generator = np.random.default_rng(seed)
    return np.repeat(generator.uniform(10, 90, videos), each) + generator.normal(0, 1, videos * each)


def test_pairing_sees_what_two_intervals_apart_hide(saved):
    base = hard_and_easy()
    noise = np.random.default_rng(1).normal(0, 1, len(base))
    found = compare(*saved(result(base), result(base + 2 + noise)))
    (one,) = found["protocols"]
    j = one["metrics"]["J"]
    assert j["difference"] == pytest.approx((2 + noise).mean()) and j["verdict"] == "higher"
    assert j["interval"][0] < j["difference"] < j["interval"][1] and np.diff(j["interval"]) < 1.5
    items = [
        ScoredItem(f"v{i // 4}", str(i), dict.fromkeys(("J&F", "J", "F"), s / 100), 1)
        for i, s in enumerate(base)
    ]
    assert np.diff(intervals(PerExpression("p"), items)["intervals"]["J"]) > 10
    turned = compare(*saved(result(base + 2 + noise), result(base)))["protocols"][0]["metrics"]["J"]
    assert turned["verdict"] == "lower" and turned["difference"] == pytest.approx(-j["difference"])


def test_noise_is_called_noise_about_as_often_as_the_level_says(saved):
    verdicts = []
    for seed in range(30):
        base = hard_and_easy(seed=seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 2, (2, len(base)))
        found = compare(*saved(result(base + noise[0]), result(base + noise[1])))
        verdicts.append(found["protocols"][0]["metrics"]["J"]["verdict"])
    assert set(verdicts) <= {"within noise", "higher", "lower"}
    # 28.5 of 30 are expected; three standard deviations less.
    assert verdicts.count("within noise") >= 25


def test_only_common_items_count_and_the_others_are_named(saved):
    a, b = result([10, 20, 30, 40, 50, 60, 70, 80]), result([11, 21, 31, 41, 51, 61, 71, 81])
    del a["items"][7], b["items"][0]
    (one,) = compare(*saved(a, b))["protocols"]
    assert (one["items"], one["only_a"], one["only_b"]) == (6, ["v0/0"], ["v1/3"])
    assert one["metrics"]["J"]["a"] == pytest.approx(45) and one["metrics"]["J"][
        "difference"
    ] == pytest.approx(1)


def test_equal_results_are_equal_and_one_video_has_no_interval(saved):
    same = result([10, 20, 30, 40, 50, 60, 70, 80])
    assert compare(*saved(same, same))["protocols"][0]["metrics"]["J"]["verdict"] == "equal"
    (one,) = compare(*saved(result([1, 2, 3, 4]), result([2, 3, 4, 5])))["protocols"]
    assert one["metrics"]["J"]["verdict"] == "no interval" and one["metrics"]["J"]["interval"] is None
    assert "one video" in one["bootstrap"]["note"]


def test_several_items_of_one_sentence_are_paired_in_their_order(saved):
    first, second = result([10, 20, 30, 40]), result([10, 20, 30, 40])
    for content in (first, second):
        for i, item in enumerate(content["items"]):
            item |= {"expression": "same", "video": f"v{i // 2}"}
    second["items"][1]["J"] = 50.0
    (one,) = compare(*saved(first, second))["protocols"]
    assert one["items"] == 4 and one["metrics"]["J"]["difference"] == pytest.approx(7.5)
    del second["items"][1]
    assert compare(*saved(first, second))["protocols"][0]["only_a"] == ["v0/same (2)"]


def test_runs_are_compared_without_being_scored_again(request_, tmp_path):
    run(request_)
    (found,) = compare(request_.out, request_.out)["protocols"]
    stored = json.loads((tmp_path / "run/result.json").read_text())["metrics"]
    assert {m: v["a"] for m, v in found["metrics"].items()} == pytest.approx(stored, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dataset": "discs"},
            "a.json is of shapes val, version 1 and .*b.json is of discs val, version 1; only",
        ),
        ({"version": "2"}, "b.json is of shapes val, version 2; only results of the same sentences"),
        ({"split": "test"}, "b.json is of shapes test, version 1; only"),
        ({"fingerprint": "g"}, "with other content; only"),
        (
            {"protocol": "ris/per_sentence"},
            "is scored by refshapes/per_expression and .* by ris/per_sentence; score",
        ),
        ({"items": [], "note": "the labels are hidden"}, "b.json holds no score .the labels are hidden."),
        ({"items": [{"video": "v0"}]}, "b.json is damaged .*score it again"),
        ({"items": [{"video": "w", "expression": "0", "J": 1.0, "frames": 1}]}, "share no item"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(saved, changes, message):
    with pytest.raises(InputError, match=message):
        compare(*saved(result([1, 2, 3, 4]), result([1, 2, 3, 4], **changes)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is not a result; give a run folder"),
        ('{"runs": [{}, {}]}', "holds 2 results; give a run folder"),
    ],
)
def test_what_is_no_result_is_refused(saved, text, message):
    with pytest.raises(InputError, match=message):
        compare(*saved(result([1, 2]), text))


def test_what_is_not_there_is_refused(saved, tmp_path):
    a, _ = saved(result([1, 2]), "")
    with pytest.raises(InputError, match="nowhere does not exist; give a run folder"):
        compare(a, str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no result\.json"):
        compare(str(tmp_path / "empty"), a)


def test_protocols_of_one_result_only_are_named(saved):
    other = result([1, 2, 3, 4]) | {"protocol": "refytvos/per_expression"}
    a, b = result([1, 2, 3, 4], also=[other]), result([2, 3, 4, 5])
    found = compare(*saved(a, b))
    assert [p["protocol"] for p in found["protocols"]] == [NAME]
    assert (found["only_a"], found["only_b"]) == (["refytvos/per_expression"], [])
