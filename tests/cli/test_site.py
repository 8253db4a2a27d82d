"""`bench view` and `bench report --format html --out`: where the site goes, and what is refused."""

import json
from pathlib import Path

import pytest

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


@pytest.fixture
def made(bench, tmp_path):
    """Two runs of one video; returns their folder."""
    data = ("--dataset", "refdavis17", "--root", MINI, "--limit", "1", "--no-page")
    for method in ("oracle", "full"):
        assert bench("run", "--method", method, *data, "--out", f"runs/{method}").code == 0
    return tmp_path / "runs"


def test_one_run_s_site_lies_in_it_and_several_runs_have_one_of_their_own(bench, made, tmp_path):
    before = bench("report").out
    done = bench("view", "runs/full")
    assert (done.code, done.out.strip()) == (0, str(made / "full/site/index.html"))
    assert (made / "full/site/browse-01.html").is_file() and not (made / "full/site/run-002.html").exists()
    done = bench("view", "runs/full", "runs/oracle")
    assert done.out.strip() == str(tmp_path / "site/index.html")
    assert "looks at the truth" in (tmp_path / "site/index.html").read_text()
    # A site in a run's folder is no second run.
    assert bench("report").out == before


def test_report_writes_the_site_over_all_runs(bench, made, tmp_path):
    broken = made / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("[1]")
    done = bench("report", "--format", "html", "--out", "pages")
    index = tmp_path / "pages/index.html"
    assert (done.code, done.out.strip()) == (0, str(index)) and "broken is left out" in done.err
    assert {p.name for p in index.parent.glob("run-*.html")} == {"run-001.html", "run-002.html"}
    assert json.loads((made / "full/run.json").read_text())["key"] in "".join(
        p.read_text() for p in index.parent.glob("run-*.html")
    )


def test_folders_of_other_things_are_refused(bench, made, tmp_path):
    assert "holds files and is no site" in bench("view", "runs/full", "--out", "runs").sentence
    done = bench("report", "--format", "html", "--runs", "nothing", "--out", "x")
    assert "The folder nothing does not exist" in done.sentence
    assert not (tmp_path / "x").exists()
    assert "is a file" in bench("view", "runs/full/run.json").sentence
