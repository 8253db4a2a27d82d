"""``bench compare`` and ``bench traps``, and where intervals are printed."""

import csv
import io
import json
import shutil

import pytest

from refseg.bench.runner import RunRequest, run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of the truth and of empty masks on the first videos of RefShapes."""
    folder = tmp_path_factory.mktemp("runs")
    for method, limit in (("oracle", 4), ("empty", 3)):
        run(RunRequest(method, "refshapes", out=str(folder / method), limit=limit, page=False))
    return folder


@pytest.fixture
def two_runs(made, tmp_path):
    """A copy of them where a test works."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_compare_prints_the_difference_and_what_is_in_one_only(bench, two_runs):
    done = bench("compare", "empty", "oracle")
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert lines[:3] == ["refshapes val (version 2)", "A: empty (empty)", "B: oracle (oracle)"]
    (row,) = (line for line in lines if line.startswith("J&F "))
    assert " 100.0 " in row and " +" in row and row.endswith("B is higher")
    assert "In both: 15 items, 3 videos" in done.out
    assert "Left out, in B only: val-0003/0, val-0003/1" in done.out
    assert bench("compare", "oracle", "oracle").out.count("equal") == 3


def test_compare_gives_json_alone_and_takes_what_score_wrote(bench, two_runs):
    found = bench("compare", "oracle", "empty", "--json", "-").json
    assert found["a"]["method"] == "oracle" and found["protocols"][0]["metrics"]["J&F"]["verdict"] == "lower"
    next((two_runs / "empty/predictions").glob("*/0.json")).unlink()
    bench("score", "empty", "--dataset", "refshapes", "--on-missing", "empty", "--json", "empty.json")
    assert bench("compare", "oracle", "empty.json", "--json", "-").json["protocols"] == found["protocols"]
    told = "B: empty (empty.json, 1 missing predictions taken as empty)"
    assert told in bench("compare", "oracle", "empty.json").out


def test_compare_refuses_in_one_sentence(bench, two_runs):
    done = bench("compare", "oracle", "nowhere")
    assert done.code == 2 and done.sentence.startswith("nowhere does not exist; give a run folder")
    content = json.loads((two_runs / "empty/result.json").read_text()) | {"split": "test"}
    (two_runs / "other.json").write_text(json.dumps(content))
    done = bench("compare", "oracle", "other.json")
    assert done.code == 2 and "other.json is of refshapes test, version 2" in done.sentence


def test_intervals_are_in_json_table_and_report(bench, two_runs):
    result = json.loads((two_runs / "empty/result.json").read_text())
    low, high = result["intervals"]["J&F"]
    assert low < result["metrics"]["J&F"] < high and result["bootstrap"]["clusters"] == 3
    # A group whose sentences are all of one video has no interval.
    kinds = [kind for kind in result["breakdown"]["needs_time"].values() if kind["intervals"]]
    assert kinds and all(k["intervals"]["J"][0] <= k["J"] <= k["intervals"]["J"][1] for k in kinds)
    told = f"{low:.1f} to {high:.1f}"
    text = bench("score", "empty", "--dataset", "refshapes").out
    (head,) = (line for line in text.splitlines() if line.startswith("refshapes/per_expression"))
    table = text.partition("\n\nPartial")[0]
    assert head.endswith("95 % of J&F") and max(map(len, table.splitlines())) < 80
    (row,) = (line for line in text.splitlines() if line.startswith("all "))
    assert row.endswith(told)
    assert f"  {low:.1f}" in next(line for line in text.splitlines() if "95 % from" in line)
    assert f"| {told} |" in bench("report", "--runs", ".").out
    rows = {
        r["method"]: r
        for r in csv.DictReader(io.StringIO(bench("report", "--runs", ".", "--format", "csv").out))
    }
    assert [float(rows["empty"][f"J&F {end}"]) for end in ("low", "high")] == [low, high]


def test_one_video_has_no_interval_and_says_so(bench):
    done = bench("run", "--method", "empty", "--dataset", "refshapes", "--limit", 1, "--no-page")
    assert "(One video, so there is no interval.)" in done.out and "95 % from" not in done.out


def test_traps_prints_a_markdown_table(bench, davis, tmp_path):
    done = bench("traps", davis / "valid/Annotations", davis / "results/osvos", "--json", "traps.json")
    assert done.code == 0 and done.out.startswith("2 objects in 2 videos, 5 frames\n\n| trap | metric |")
    rows = json.loads((tmp_path / "traps.json").read_text())["rows"]
    assert len(done.out.splitlines()) == len(rows) + 4
    assert bench("traps", davis, davis / "results/osvos").code == 2
