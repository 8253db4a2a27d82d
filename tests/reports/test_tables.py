"""Published beside measured: what may stand in a column, what a cell tells, and every form of a table."""

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from refseg.bench import registry
from refseg.bench.ablation import GridRequest, _request
from refseg.bench.cli.parser import build_parser
from refseg.bench.grids import Grid, Setting
from refseg.bench.options import parse_options, split_assignments
from refseg.reports.assemble import RENDERERS, tables
from refseg.reports.claims import load_claims
from refseg.reports.gridded import _folders
from refseg.reports.measured import read_measured
from refseg.reports.paper import ELSEWHERE, FULL, SHAPES, SPECS, table_names
from refseg.reports.render import lines_of

NAMES = [*SPECS, SHAPES, ELSEWHERE]
DAVIS = {"dataset": "refdavis17", "version": "17", "split": "valid", "fingerprint": "c0ffee0011"}
PLAIN = {**FULL, "itm_token": "none", "use_adapter": False}


@pytest.fixture
def run(tmp_path):
    """Write a run folder as far as reports read it."""

    def write(
        name, method="refsam_vit_h", jf=(68.0, 75.0), config=FULL, protocol="refdavis/published", **changes
    ):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        j, f = jf
        metrics = {"J&F": (j + f) / 2, "J": j, "F": f}
        record = {
            "status": "done",
            "method": {
                "name": method,
                "config": dict(config),
                "weights": {},
                "uses_truth": changes.pop("truth", False),
            },
            "code": {"revision": "abc1234"},
            "hardware": {"cpu": "a CPU"},
        }
        result = {
            "protocol": protocol,
            "metrics": metrics,
            "intervals": {m: [v - 2, v + 3] for m, v in metrics.items()},
            "items": [{"video": "v", "expression": "0"}],
            **DAVIS,
            "failures": [],
            "scored": {"videos": 30, "of": 30},
            "partial": False,
            "coverage": {},
            "also": [],
            **changes,
        }
        (folder / "run.json").write_text(json.dumps(record))
        (folder / "result.json").write_text(json.dumps(result))
        return folder

    return write


@pytest.fixture
def made(tmp_path):
    """Return a table, and those beside it, over the runs that were written."""
    (tmp_path / "runs").mkdir(exist_ok=True)

    def make(name):
        measured, notes = read_measured(tmp_path / "runs")
        assert not notes
        return tables(name, load_claims(), measured, "runs")

    return make


def row(table, name):
    (found,) = [r for r in table.rows if r.stubs[0] == name]
    return found


def printed(table, name):
    """Return the lines of a row as they are printed, by what they are."""
    lines, _ = lines_of(table)
    first = next(i for i, li in enumerate(lines) if li.stubs[0] == name)
    rest = [li for li in lines[first + 1 :]]
    last = next((i for i, li in enumerate(rest) if any(li.stubs)), len(rest))
    return {li.what: li for li in [lines[first], *rest[:last]]}


def test_a_cell_shows_published_measured_interval_and_difference(run, made):
    run("mine")
    (table,) = made("1")
    told = printed(table, "RefSAM")
    assert told["published"].cells == ("71.9", "68.4", "75.5")
    assert told["measured"].cells == ("71.5", "68.0", "75.0")
    assert told["95 %"].cells == ("69.5 to 74.5", "66.0 to 71.0", "73.0 to 78.0")
    assert told["difference"].cells == ("-0.4", "-0.4", "-0.5")
    assert told["measured"].run == "mine (refdavis/published, abc1234)"
    assert not row(table, "RefSAM").fill and row(table, "SOC").fill


def test_refsam_is_its_vit_h(run, made):
    run("alias", method="refsam")
    assert len(row(made("1")[0], "RefSAM").blocks) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"partial": True, "coverage": {"videos": [4, 30]}},
        {"failures": [{"video": "v", "error": "no memory"}]},
        {"missing": 3},
        {"annotator": 1},
        {"version": "18"},
        {"protocol": "refdavis/per_expression"},
        {"protocol": "davis/unsupervised"},
    ],
)
def test_what_differs_never_stands_in_a_published_column(run, made, other):
    run("whole")
    run("other", jf=(1.0, 2.0), **other)
    main, *beside = made("1")
    assert [m.run for r in main.rows for b in r.blocks for m in b.runs] == ["whole"]
    assert [m.run for t in beside for r in t.rows for b in r.blocks for m in b.runs] == ["other"]
    assert all(t.beside == "Table I" and not r.published for t in beside for r in t.rows)


def test_other_content_and_other_parts_have_tables_of_their_own(run, made):
    for i in range(2):
        run(f"usual{i}")
    run("edited", fingerprint="deadbeef22")
    short = {"partial": True, "coverage": {"videos": [1, 30]}}
    run("part", **short)
    run("same part", method="full", **short)
    run("other part", **short, items=[{"video": "w", "expression": "0"}])
    main, *beside = made("1")
    assert {m.run for r in main.rows for b in r.blocks for m in b.runs} == {"usual0", "usual1"}
    groups = [{m.run for r in t.rows for b in r.blocks for m in b.runs} for t in beside]
    assert sorted(map(sorted, groups)) == [["edited"], ["other part"], ["part", "same part"]]


def test_hidden_splits_give_nothing(run, made):
    run("hidden", items=[], metrics={})
    assert not any(r.blocks for t in made("1") for r in t.rows)


@pytest.mark.parametrize(
    "wrong",
    [{"truth": True}, {"config": PLAIN}, {"config": {**FULL, "text": "t5-small"}}, {"method": "full"}],
)
def test_another_variant_is_not_the_paper_s_row(run, made, wrong):
    run("other", **wrong)
    (table,) = made("1")
    assert not row(table, "RefSAM").blocks and not table.rows[-1].published and table.rows[-1].blocks
    if wrong.get("truth"):
        assert "told the truth" in table.rows[-1].stubs[0]


def test_masks_of_other_programs_are_known_by_their_name(run, made, tmp_path):
    run("urvos-refdavis17-valid", method="folder", config={})
    score = json.loads((run("x") / "result.json").read_text())
    (tmp_path / "runs/soc-refdavis17-valid.json").write_text(json.dumps(score))
    shutil.rmtree(tmp_path / "runs/x")
    (table,) = made("1")
    assert [r.stubs[0] for r in table.rows if r.blocks] == ["URVOS", "SOC"]


def test_a_row_of_two_datasets_says_which_is_missing(run, made):
    run("davis", method="refsam_vit_l")
    (table,) = made("7")
    told = printed(table, "ViT-L")
    assert told["measured"].cells == ("–", "–", "–", "71.5", "68.0", "75.0")
    assert told["measured"].run.endswith("the rest not run") and told["difference"].cells[:3] == ("–",) * 3
    assert [*row(table, "ViT-L").fill] == [("refytvos", "valid")]


def test_ablations_are_known_by_their_options(run, made):
    run("plain", method="refsam_vit_b", config=PLAIN)
    for name, at in (("3", 4), ("5", 0), ("6", 0)):
        main = made(name)[0]
        assert [bool(r.blocks) for r in main.rows] == [i == at for i in range(len(main.rows))], name
    # One frame and three frames have the same options, so that neither is claimed.
    assert not any(r.blocks for r in made("4")[0].rows)


def test_a_grid_on_another_dataset_has_the_paper_s_rows(run, made):
    shapes = {"dataset": "refshapes", "version": "1", "split": "val", "protocol": "refshapes/per_expression"}
    for dense, sparse in (("hda", True), ("none", True), ("da", False), ("da", True)):
        config = {**FULL, "text": "tiny", "dense": dense, "sparse": sparse}
        run(f"components/{dense}{sparse}", method="refsam_tiny", config=config, **shapes)
    main, beside = made("3")
    assert not any(r.blocks for r in main.rows)
    assert [r.stubs for r in beside.rows] == [("✓", "", ""), ("", "✓", ""), ("✓", "✓", ""), ("✓", "", "✓")]
    assert not any(r.published for r in beside.rows) and "RefShapes" in beside.title
    assert [r.stubs for t in made(SHAPES) for r in t.rows if r.blocks] == []


def test_a_registered_grid_names_its_runs(run, made, monkeypatch):
    settings = (
        Setting("three frames", "refsam_tiny", {"checkpoint": "three.safetensors"}),
        Setting("something else", "refsam_tiny", {"checkpoint": "else.safetensors"}, seeded=True),
    )
    grid = Grid("itm_token", "ITM", "refshapes", settings)
    monkeypatch.setitem(registry.TABLE["grids"], "itm_token", registry.Entry("x:y", "ITM"))
    monkeypatch.setattr(registry, "resolve", lambda kind, name: lambda: grid)
    _folders.cache_clear()
    shapes = {"dataset": "refshapes", "version": "1", "split": "val", "protocol": "refshapes/per_expression"}
    asked = GridRequest("itm_token", out="itm_token")
    for setting, seed in ((settings[0], None), (settings[1], 3)):
        run(_request(asked, grid, setting, seed, []).out, method="refsam_tiny", **shapes)
    main, beside = made("4")
    assert [r.stubs[0] for r in beside.rows] == ["Three frames", "something else"]
    assert {c for r in main.rows for c in r.fill.values()} == {
        "bench ablate itm_token --dataset refdavis17 --out runs/itm_token"
    }
    _folders.cache_clear()


def test_parameters_and_speeds_are_read_from_json(made, tmp_path):
    counts = {"learnable": 9906816, "total": 99584000, "modules": {}}
    sam = {"learnable": 0, "total": 641090608}
    files = {
        "params-refsam_vit_b": {"method": "refsam_vit_b", **counts},
        "params-sam_vit_h": {"method": "persam_gdino", **counts, "modules": {"sam": sam}},
        "speed-refsam_vit_l": {
            "method": "refsam_vit_l",
            "fps_single": {"median": 7.25, "min": 7, "max": 7.5, "all": [7, 7.25, 7.5]},
            "gate": {"passed": True},
        },
        # Faster, with other masks or with nobody knows which: no speeds.
        "speed-refsam_vit_h": {
            "method": "refsam_vit_h",
            "fps_single": {"median": 90.0, "min": 90, "max": 90, "all": [90]},
            "gate": {"passed": False},
        },
        "speed-refsam_vit_b": {
            "method": "refsam_vit_b",
            "fps_single": {"median": 80.0, "min": 80, "max": 80, "all": [80]},
        },
        "something": {"a": 1},
    }
    for name, content in files.items():
        (tmp_path / f"runs/{name}.json").write_text(json.dumps(content))
    lines, _ = lines_of(made("9")[0])
    measured = [(lines[i - 1].stubs, li.cells) for i, li in enumerate(lines) if li.what == "measured"]
    assert measured == [(("SAM", "ViT-H"), ("641.091",)), (("RefSAM", "ViT-B"), ("9.907",))]
    lines, _ = lines_of(made("10")[0])
    at = next(i for i, li in enumerate(lines) if li.what == "measured")
    assert [(li.what, li.cells) for li in lines[at - 1 : at + 3]] == [
        ("published", ("6.5",)),
        ("measured", ("7.2",)),
        ("spread", ("7.0 to 7.5",)),
        ("difference", ("+0.8",)),
    ]
    assert [li.what for li in lines].count("measured") == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_fills_a_cell_is_one(made, name):
    from refseg.methods.refsam.method import RefSamOptions

    commands = {c for t in made(name) for r in t.rows for c in r.fill.values()}
    for command in (c for c in commands if c.startswith("bench ")):
        _, *words = shlex.split(command)
        args = build_parser().parse_args(words)
        given = getattr(args, "method", "")
        methods = given if isinstance(given, list) else [given] if given else []
        if getattr(args, "dataset", None):
            registry.entry("datasets", args.dataset)
        for method in methods:
            registry.entry("methods", method)
            if method.startswith("refsam"):
                parse_options(RefSamOptions, split_assignments(args.set), owner=method)
    assert commands or name == SHAPES


def test_every_published_number_of_the_paper_stands_in_its_table(made):
    shown = [c for name in SPECS for t in made(name) for r in t.rows for c in r.published.values()]
    assert len(shown) == len({id(c) for c in shown})
    missing = [c for c in load_claims() if c.source == "refsam" and c not in shown]
    assert [c.method for c in missing] == ["FTVR + SAM"], "which stands in the text and in no table"


HOSTILE = "<b>&_|$%#~^\\{}[x] ü 象 “q”"


@pytest.fixture
def all_tables(run, made, tmp_path):
    run("mine")
    run("dir/" + "odd & <i> name", method=HOSTILE, config={})
    return [t for name in NAMES for t in made(name)]


def test_csv_holds_every_cell_once_and_unrounded(all_tables):
    rows = list(csv.DictReader(io.StringIO(RENDERERS["csv"](all_tables))))
    published = [r for r in rows if r["published"]]
    assert len(published) == sum(len(r.published) for t in all_tables for r in t.rows)
    (mine,) = [
        r
        for r in rows
        if r["run"] == "mine" and r["metric"] == "J&F" and r["row"] == "RefSAM" and r["table"] == "1"
    ]
    assert float(mine["measured"]) == 71.5 and float(mine["difference"]) == pytest.approx(-0.4)
    assert (mine["published"], mine["source"], mine["revision"]) == ("71.9", "refsam", "abc1234")
    assert all(bool(r["fill"]) != bool(r["run"]) for r in published)


def test_markdown_has_rows_of_one_width_and_escapes(all_tables):
    text = RENDERERS["md"](all_tables)
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "not run [" in text and "`bench run --method refsam_vit_h" in text


class _Checker(HTMLParser):
    void = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.tags = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_is_balanced_and_escapes(all_tables):
    checker = _Checker()
    checker.feed(RENDERERS["html"](all_tables))
    assert not checker.open and HOSTILE in checker.texts and not {"b", "i", "script"} & checker.tags


def test_latex_has_as_many_cells_as_columns(all_tables):
    text = RENDERERS["latex"](all_tables)
    found = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.S)
    assert len(found) == len(all_tables)
    for columns, body in found:
        for line in body.splitlines():
            if line.endswith(r"\\"):
                spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
                assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == len(columns), line
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(all_tables)
    assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
def test_latex_compiles(all_tables, tmp_path):
    head = r"\documentclass{article}\usepackage{booktabs,amssymb,graphicx}\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{RENDERERS['latex'](all_tables)}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_names_of_tables():
    assert table_names(["1,II", "fig4", "iii"]) == ["1", "2", "fig4", "3"]
    assert table_names(["all", "1"]) == NAMES == [*registry.table("tables")]
