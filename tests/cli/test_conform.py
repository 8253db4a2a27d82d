"""``bench check-method`` and ``bench check-dataset`` print what the library says, and leave by its verdict."""

import pytest


def test_control_keeps_the_interface_on_refshapes(bench):
    done = bench("check-method", "empty", "--json", "-")
    assert done.code == 0 and done.json["passed"]
    assert {c["status"] for c in done.json["checks"]} == {"passed", "skipped"}
    assert "The interface is kept." in done.err


def test_faults_give_code_2_and_stand_in_the_table(bench, monkeypatch):
    from refseg.methods.controls.constant import Constant

    monkeypatch.setattr(Constant, "modules", lambda self: None)
    skip = [
        word for name in ("repeat", "videos", "expressions", "online", "memory") for word in ("--skip", name)
    ]
    done = bench("check-method", "full", *skip)
    assert done.code == 2 and "1 of 11 questions failed." in done.out
    assert "failed  facts" in done.out and "-> modules() must return a mapping" in done.out


def test_dataset_is_checked(bench):
    done = bench("check-dataset", "refshapes", "--split", "no_target", "--skip", "scores")
    assert done.code == 0 and done.out.startswith("dataset refshapes\n") and "left out as asked" in done.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("check-method", "emty"), "Did you mean 'empty'"),
        (("check-method", "empty", "--set", "x=1"), "Unknown option of method empty"),
        (("check-dataset", "refshapes", "--skip", "score"), "Did you mean 'scores'"),
        (("check-dataset", "refdavis17"), "The folder of refdavis17 is not set"),
    ],
)
def test_wrong_calls_are_one_sentence(bench, args, said):
    done = bench(*args)
    assert done.code == 2 and said in done.err
