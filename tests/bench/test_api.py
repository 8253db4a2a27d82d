"""The harness from Python: the same numbers as the command line's, as tables and a plot; a public list that is kept."""

import inspect
import json
import subprocess
import sys

import matplotlib
import pytest

import refseg.bench
from refseg.bench.errors import InputError
from refseg.bench.runner import run as run_request
from refseg.bench.types import DatasetRequest, MethodRequest

PUBLIC = {
    "Report": None,
    "Result": None,
    "check_dataset": ["dataset", "skip", "progress"],
    "check_method": ["method", "dataset", "skip", "progress"],
    "load_result": ["path"],
    "open_dataset": ["name", "split", "root", "options"],
    "run": [
        *(
            "method",
            "dataset",
            "split",
            "root",
            "protocols",
            "out",
            "videos",
            "limit",
            "options",
            "device",
            "dtype",
        ),
        *("fresh", "page", "images_at_once", "jobs", "progress"),
    ],
    "score": [
        "predictions",
        "dataset",
        "split",
        "root",
        "layout",
        "protocols",
        "on_missing",
        "jobs",
        "progress",
    ],
}
"""What notebooks and scripts may rely on. A name or argument that goes must be in ``deprecation.CHANGES`` first."""


def test_public_names_and_their_arguments_are_kept():
    assert sorted(refseg.bench.__all__) == sorted(PUBLIC)
    assert {*PUBLIC} <= {*dir(refseg.bench)}
    for name, arguments in PUBLIC.items():
        thing = getattr(refseg.bench, name)
        assert thing.__doc__
        if arguments is not None:
            assert [*inspect.signature(thing).parameters] == arguments
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        _ = refseg.bench.rum


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, refseg.bench\n"
        "print([m for m in sys.modules if m.partition('.')[0] in ('torch', 'numpy', 'pandas', 'matplotlib')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def result(clips, probe, tmp_path):
    return refseg.bench.run("probe", "clips", out=tmp_path / "run", device="cpu")


def test_run_is_what_the_command_runs(result, request_, tmp_path):
    same = run_request(request_)
    assert result.json == same
    assert result.folder == tmp_path / "run" and not result.failures
    assert refseg.bench.load_result(tmp_path / "run").json == json.loads(
        (tmp_path / "run/result.json").read_text()
    ) | {"run": str(tmp_path / "run")}


def test_tables_hold_all_protocols_metrics_and_items(result):
    table = result.table
    assert table.loc[("refshapes/per_expression", "J&F"), "value"] == result.metrics["J&F"]
    low, high = result.json["intervals"]["J&F"]
    assert [*table.loc[("refshapes/per_expression", "J&F"), ["low", "high", "items"]]] == [low, high, 6]
    items = result.items
    assert len(items) == 6 and {"protocol", "video", "expression", "J&F", "frames"} <= {*items.columns}
    assert items["J&F"].mean() == pytest.approx(result.metrics["J&F"])
    assert "<table" in result._repr_html_() and "J&amp;F" in result._repr_html_()
    assert str(result).startswith("probe on clips val")


def test_plot_shows_every_item(result):
    matplotlib.use("Agg")
    ax = result.plot()
    curve = ax.get_lines()[0].get_ydata()
    assert [*curve] == sorted(result.items["J&F"]) and ax.get_title() == "probe on clips val"
    assert result.plot("J", ax=ax) is ax
    with pytest.raises(InputError, match="No item has a score 'JF' to plot; there are F, J, J&F"):
        result.plot("JF")
    matplotlib.pyplot.close("all")


def test_objects_of_one_s_own_need_no_name_in_the_registry(clips, probe, tmp_path):
    dataset = clips(DatasetRequest("mine"), hidden=False)
    method = refseg.bench.api.registry.build_method(MethodRequest("probe"))
    method.info = type(method.info)("my_probe", "1")
    result = refseg.bench.run(method, dataset, out=tmp_path / "run", device="cpu", limit=2)
    assert result.json["method"] == "my_probe" and result.json["dataset"] == "mine"
    assert result.json["partial"]
    assert "my_probe" not in refseg.bench.api.registry.table("methods")
    with pytest.raises(InputError, match="leave jobs out"):
        refseg.bench.run(method, dataset, jobs=2)
    with pytest.raises(InputError, match="'probe' was given, which is registered"):
        refseg.bench.run(refseg.bench.api.registry.build_method(MethodRequest("probe")), "clips")


def test_score_and_compare(result, tmp_path):
    scored = refseg.bench.score(tmp_path / "run", "clips")
    assert scored.metrics == result.metrics and scored.folder is None
    same = result.compare(refseg.bench.load_result(tmp_path / "run"))
    assert same["protocols"][0]["metrics"]["J&F"]["difference"] == 0
    with pytest.raises(InputError, match="without a run folder"):
        result.compare(scored)


def test_hidden_labels_give_an_empty_table(clips, probe, tmp_path):
    result = refseg.bench.run("probe", "hidden_clips", out=tmp_path / "run", device="cpu")
    assert result.metrics == {} and result.table.empty and "labels of this split are hidden" in str(result)
    with pytest.raises(InputError, match="there are none"):
        result.plot()


def test_wrong_results_are_refused(tmp_path):
    for text, said in (("{", "is no JSON"), ('{"runs": []}', "is no result of one method")):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=said):
            refseg.bench.load_result(tmp_path / "x.json")
    with pytest.raises(InputError, match="give a finished run folder"):
        refseg.bench.load_result(tmp_path / "nothing")


def test_datasets_are_opened_to_look_at(clips):
    assert [v.id for v in refseg.bench.open_dataset("clips").videos()] == ["ant", "bee", "cow"]
