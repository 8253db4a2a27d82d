"""What is kept is told, and deleted where it is asked for."""

from pathlib import Path

import pytest

MINI = str(Path(__file__).parents[1] / "data/ref-davis-mini")


@pytest.fixture
def kept(bench, tmp_path):
    """A cache that scoring and checking filled, and a checkpoint."""
    bench("score", f"{MINI}/results/osvos", "--dataset", "refdavis17", "--root", MINI, "--jobs", 1)
    bench("data", "check", "refdavis17", "--root", MINI, "--quick")
    weights = tmp_path / "cache/checkpoints/sam.pth"
    weights.parent.mkdir()
    weights.write_bytes(b"weights" * 1000)
    return tmp_path / "cache"


def test_it_tells_what_lies_in_the_folder(bench, kept):
    found = bench("cache", "--json", "-").json
    files = [p for p in kept.rglob("*") if p.is_file()]
    assert found["folder"] == str(kept) and found["kinds"]["checkpoints"]["bytes"] == 7000
    assert sum(k["files"] for k in found["kinds"].values()) == len(files)
    assert sum(k["bytes"] for k in found["kinds"].values()) == sum(p.stat().st_size for p in files)
    assert all(found["kinds"][name]["files"] for name in ("truth", "checks"))
    text = bench("cache").out
    assert str(kept) in text and all(name in text for name in found["kinds"])


def test_all_leaves_checkpoints_which_only_the_network_gives_back(bench, kept):
    assert "Deleted from" in bench("cache", "--clear", "all").out
    assert [p.name for p in kept.iterdir()] == ["checkpoints"]
    bench("cache", "--clear", "checkpoints")
    assert not [*kept.iterdir()]
    assert bench("cache", "--clear", "truth", "--json", "-").json["kinds"]["truth"]["files"] == 0


def test_scores_are_the_same_without_it(bench, kept):
    call = (
        "score",
        f"{MINI}/results/osvos",
        "--dataset",
        "refdavis17",
        "--root",
        MINI,
        "--jobs",
        1,
        "--json",
        "-",
    )
    before = bench(*call).json
    bench("cache", "--clear", "all")
    assert bench(*call).json == before


def test_nothing_kept_and_unknown_kinds(bench, monkeypatch):
    assert "Did you mean 'truth'" in bench("cache", "--clear", "truths").sentence
    monkeypatch.setenv("REFSEG_CACHE", "")
    assert "Nothing is kept" in bench("cache").out and bench("cache", "--json", "-").json["folder"] is None
    assert bench("cache", "--clear", "all").code == 0
