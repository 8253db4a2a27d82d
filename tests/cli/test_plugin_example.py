"""A third party's package is found, listed and run, and a broken one beside it costs only itself."""

import json
from pathlib import Path


def test_installed_package_is_listed_with_where_it_comes_from(apart, discs):
    done = apart("list", "--json", "-", plugins=[discs])
    assert done.code == 0
    for kind, name in (("methods", "threshold"), ("datasets", "discs")):
        (found,) = (e for e in done.json[kind] if e["name"] == name)
        assert (found["provider"], found["error"]) == ("refseg-discs 0.3", "")
    assert "threshold" not in apart("list").out


def test_its_method_runs_on_its_dataset_and_on_ours(apart, discs):
    done = apart(
        "run", "--method", "threshold", "--dataset", "discs", "--no-page", "--json", "-", plugins=[discs]
    )
    assert done.code == 0, done.err
    assert done.json["metrics"] == {"J&F": 100, "J": 100, "F": 100} and len(done.json["items"]) == 6
    ours = ("--dataset", "refshapes", "--limit", "1", "--no-page", "--json", "-")
    other = apart("run", "--method", "threshold", *ours, "--set", "margin=60", plugins=[discs])
    assert other.code == 0 and other.json["metrics"]["J"] < 100
    record = json.loads(Path(other.json["run"], "run.json").read_text())
    assert record["key_parts"]["method"]["provider"] == "refseg-discs 0.3"
    assert record["key_parts"]["method"]["config"] == {"margin": 60}


def test_its_dataset_is_described_and_checked(apart, discs):
    done = apart("data", "check", "discs", "--json", "-", plugins=[discs])
    assert (done.code, done.json["problems"], done.json["videos"], done.json["frames"]) == (0, [], 3, 12)


def test_its_options_and_splits_are_refused_in_one_sentence(apart, discs):
    call = ("run", "--method", "threshold", "--dataset", "discs")
    wrong = apart(*call, "--set", "margn=1", plugins=[discs])
    assert wrong.code == 2 and "'margn'" in wrong.sentence and "'margin'" in wrong.sentence
    wrong = apart(*call, "--split", "test", plugins=[discs])
    assert wrong.code == 2 and "Unknown split of discs 'test'" in wrong.sentence


def test_broken_package_is_told_and_the_rest_works(apart, discs, package):
    points = "[refseg.methods]\nbroken = broken:build\nodd = nonsense\noracle = broken:build\n"
    broken = package("broken", points, "raise ImportError('made for another torch')")
    listed = apart("list", "methods", plugins=[discs, broken])
    assert listed.code == 0 and "threshold" in listed.out
    warnings = [line for line in listed.err.splitlines() if "warning" in line]
    assert (
        len(warnings) == 2 and "'odd' of broken 1.0" in listed.err and "'oracle' of broken 1.0" in listed.err
    )
    done = apart("run", "--method", "broken", "--dataset", "discs", plugins=[discs, broken])
    assert done.code == 2 and "broken 1.0" in done.err and "made for another torch" in done.err
    done = apart("run", "--method", "oracle", "--dataset", "discs", "--no-page", plugins=[discs, broken])
    assert done.code == 0 and "100.0" in done.out


def test_two_packages_with_one_name_are_both_named(apart, discs, package):
    rival = package("rival", "[refseg.methods]\nthreshold = rival:build\n")
    done = apart("run", "--method", "threshold", "--dataset", "discs", plugins=[discs, rival])
    assert done.code == 2
    assert (
        "rival 1.0 (rival:build)" in done.err and "refseg-discs 0.3 (refseg_discs:build_method)" in done.err
    )
