"""bench data: describe, check and cards."""

import pytest


def test_describe_prints_the_card_where_no_folder_is_known(bench):
    done = bench("data", "describe", "mevis", "--split", "val")
    assert done.code == 0
    for part in (
        "non-commercial",
        "DIR/",
        "valid/mask_dict.json",
        "version 1: 793 expressions",
        "known traps",
    ):
        assert part in done.out
    told = bench("data", "describe", "mevis", "--json", "-").json
    assert told["card"]["splits"]["valid_u"]["expressions"] == 907 and "videos" not in told


def test_describe_also_says_what_a_folder_holds(bench, davis):
    done = bench("data", "describe", "refdavis17", "--root", davis)
    assert "Davis17_annot2_full_video.txt" in done.out and "videos      2 (published: 30)" in done.out


def test_check_names_faults_counts_the_rest_and_exits_2(bench, davis):
    for path in davis.glob("valid/JPEGImages/libby/0000[12].jpg"):
        path.unlink()
    done = bench("data", "check", "refdavis17", "--root", davis, "--show", "1", "--jobs", "1")
    assert done.code == 2 and "6 faults\nmissing: 2\n" in done.out
    assert "- valid/JPEGImages/libby/00001.jpg is missing" in done.out
    assert "- and 1 more (--show N names more)" in done.out
    quick = bench("data", "check", "refdavis17", "--root", davis, "--quick", "--json", "-")
    assert (
        quick.code == 2 and quick.json["faults"] == {"missing": 2, "count": 4} and quick.json["quick"] is True
    )


def test_check_takes_the_dataset_s_options(bench, tmp_path):
    root = tmp_path / "mine"
    (root / "meta_expressions/all").mkdir(parents=True)
    (root / "all/JPEGImages").mkdir(parents=True)
    (root / "meta_expressions/all/meta_expressions.json").write_text('{"videos": {"v": {"expressions": {}}}}')
    for option in ("version=birds", "dataset.version=birds"):
        done = bench("data", "check", "folder", "--root", root, "--set", option, "--json", "-")
        assert done.code == 2 and done.json["version"] == "birds" and done.json["faults"] == {"missing": 1}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("describe", "mevis", "--split", "vali"), "Unknown split of mevis 'vali'. Did you mean 'valid'"),
        (("check", "mevis"), "The folder of mevis is not set; give --root DIR"),
        (("check", "mevi"), "Did you mean 'mevis'"),
        (("check", "refdavis17", "--show", "0"), "not a whole number of at least 1"),
    ],
)
def test_wrong_calls_are_one_sentence(bench, call, said):
    done = bench("data", *call)
    assert done.code == 2 and said in done.sentence


def test_cards_are_one_page(bench):
    out = bench("data", "cards").out
    assert out.startswith("# Datasets") and "## Long-RVOS (`longrvos`)" in out
