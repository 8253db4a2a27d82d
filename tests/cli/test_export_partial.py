"""A run of a part of the published split is exported with a warning, also where the copy holds no more."""


def test_export_of_a_partial_copy_says_so(bench, davis):
    call = ("--dataset", "refdavis17", "--root", davis, "--no-page", "--out", "run")
    assert bench("run", "--method", "empty", *call).code == 0
    done = bench("export", "run", "--layout", "mevis", "--out", "submission.zip")
    assert done.code == 0 and "holds 2 of the split's 30 videos" in done.err
