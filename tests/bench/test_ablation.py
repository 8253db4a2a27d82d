import statistics

import pytest

from refseg.bench import registry
from refseg.bench.ablation import GridRequest, run_grid
from refseg.bench.errors import InputError
from refseg.bench.grids import Grid, Setting, controls
from refseg.bench.runner import RunRequest, plan


@pytest.fixture
def grid(clips, probe):
    def build():
        settings = (Setting("plain", "probe"), Setting("noisy", "probe", {"level": "2"}, seeded=True))
        return Grid("small", "A small grid", "clips", settings, attributes=("odd",))

    with registry.registered("grids", "small", build):
        yield probe


def test_table_has_a_row_a_setting_and_means_over_seeds(grid, tmp_path):
    table = run_grid(GridRequest("small", seeds=3, out=str(tmp_path / "g")))
    assert [(r["label"], len(r["runs"])) for r in table["rows"]] == [("plain", 1), ("noisy", 3)]
    assert table["columns"] == ["J&F", "J", "F", "J&F, odd: no", "J&F, odd: yes"]
    assert [*table["rows"][0]["intervals"]] == ["J&F", "J", "F"] and table["rows"][1]["intervals"] == {}
    assert table["rows"][0]["deviations"] == {} and {*table["rows"][1]["deviations"]} == {*table["columns"]}
    halves = [table["rows"][0]["metrics"][f"J&F, odd: {v}"] for v in ("no", "yes")]
    assert statistics.fmean(halves) == pytest.approx(table["rows"][0]["metrics"]["J&F"])
    assert len({r for row in table["rows"] for r in row["runs"]}) == 4


def test_grid_goes_on_where_it_stopped(grid, tmp_path):
    request = GridRequest("small", out=str(tmp_path / "g"))
    first, grid.calls = run_grid(request), []
    assert run_grid(request) == first and grid.calls == []


def test_wrong_setting_is_told_before_the_first_one_runs(clips, probe):
    def build():
        return Grid("bad", "t", "clips", (Setting("a", "probe"), Setting("b", "no_such_method")))

    with registry.registered("grids", "bad", build), pytest.raises(InputError, match="no_such_method"):
        run_grid(GridRequest("bad"))
    assert probe.calls == []


def test_controls_of_the_dataset_can_be_built():
    """The rows that need no weights; those of RefSAM differ by their options only."""
    rows = controls().settings
    assert [s.method for s in rows[:3]] == ["oracle", "empty", "full"]
    for setting in rows[:3]:
        assert plan(RunRequest(setting.method, "refshapes", options=setting.options)).videos
    assert {s.method for s in rows[3:]} <= {*registry.table("methods")}
    assert sum(s.seeded for s in rows) == 2
