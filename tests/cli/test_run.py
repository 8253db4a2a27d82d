"""bench run, score, export, report, view, data and ablate, with small real input."""

import csv
import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from refseg.bench import registry
from refseg.bench.runner import RunRequest, run
from refseg.bench.tables import percent

MINI = str(Path(__file__).parents[1] / "data/ref-davis-mini")
SMALL = ("--dataset", "refdavis17", "--root", MINI, "--limit", "1", "--no-page")
SHAPES = ("--dataset", "refshapes", "--limit", "1", "--no-page")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """Runs of two controls on real videos and one, partial, on shapes."""
    folder = tmp_path_factory.mktemp("made")
    for method in ("oracle", "full"):
        run(RunRequest(method, "refdavis17", root=MINI, out=str(folder / f"davis-{method}"), page=False))
    run(RunRequest("empty", "refshapes", limit=1, out=str(folder / "grid" / "shapes"), page=False))
    return folder


@pytest.fixture
def made(made_once, tmp_path):
    """A copy of those runs that a test may break; the folder ``runs``."""
    return shutil.copytree(made_once, tmp_path / "runs")


def test_run_prints_a_table_and_says_what_is_partial(bench, tmp_path):
    done = bench("run", "--method", "oracle", *SHAPES)
    assert done.code == 0
    assert "oracle on refshapes val" in done.out and "Partial: 1 of 48 videos, 5 of 240" in done.out
    assert "frames/s" in done.err and "Run folder: runs/oracle-refshapes-val" in done.out
    assert (tmp_path / "runs/oracle-refshapes-val/result.json").is_file()


def test_json_is_alone_on_stdout_whatever_is_printed(bench):
    import os

    from refseg.methods.controls import build

    def chatty(request):
        print("loading", flush=True)
        os.write(1, b"from C code\n")
        return build(request)

    with registry.registered("methods", "chatty", lambda r: chatty(type(r)("full"))):
        done = bench("run", "--method", "chatty", *SMALL, "--json", "-")
    assert done.json["protocol"] == "refdavis/published"
    assert "loading" in done.err and "from C code" in done.err


def test_several_methods_in_one_call(bench, tmp_path):
    done = bench("run", "--method", "full,empty", *SMALL, "--out", tmp_path / "both", "--json", "-")
    assert done.code == 0 and [r["method"] for r in done.json["runs"]] == ["full", "empty"]
    assert {p.name for p in (tmp_path / "both").iterdir()} == {"full", "empty"}


def test_several_methods_end_with_one_table_of_them_all(bench):
    done = bench("run", "--method", "full,empty", *SMALL)
    table = done.out.rstrip().split("\n\n")[-1].splitlines()
    assert [line.split()[0] for line in table[2:]] == ["full", "empty"]
    for name, line in zip(("full", "empty"), table[2:], strict=True):
        alone = bench("run", "--method", name, *SMALL, "--json", "-").json
        assert line.split()[1] == str(len(alone["items"]))
        assert line.split()[2] == f"{alone['metrics']['J&F']:.1f}"


def test_method_that_cannot_start_costs_the_others_nothing(bench):
    def broken(request):
        from refseg.bench.errors import InputError

        raise InputError("its weights are not there")

    with registry.registered("methods", "broken", broken):
        done = bench("run", "--method", "broken,full", *SMALL, "--json", "-")
    assert done.code == 2
    told = {"method": "broken", "dataset": "refdavis17", "split": None, "error": "its weights are not there"}
    assert done.json["runs"][0] == told and "broken on refdavis17: its weights" in done.err
    assert done.json["runs"][1]["metrics"]


def test_failed_video_is_exit_3_and_named(bench):
    from refseg.methods.controls import build

    class Fails:
        def __init__(self, request):
            self._inner = build(type(request)("full"))
            self.info = self._inner.info
            self.modules = self._inner.modules

        def segment(self, video, expressions):
            if video.id == "libby":
                raise RuntimeError("no memory")
            yield from self._inner.segment(video, expressions)

    with registry.registered("methods", "fails", Fails):
        done = bench(
            "run", "--method", "fails", "--dataset", "refdavis17", "--root", MINI, "--no-page", "--json", "-"
        )
    assert done.code == 3 and "video libby failed: RuntimeError: no memory" in done.err
    assert [f["video"] for f in done.json["failures"]] == ["libby"]
    assert "Only 1 of 2 videos are scored" in done.err
    assert {p.name for p in (Path(done.json["annotations"]) / "anno_0").iterdir()} == {"car-shadow"}


def test_dry_run_writes_nothing(bench, tmp_path):
    done = bench("run", "--method", "full", *SMALL, "--dry-run", "--json", "-")
    assert done.code == 0 and done.json["videos"] == 1 and done.json["method"]["name"] == "full"
    assert not (tmp_path / "runs").exists()


def test_run_on_real_videos_leaves_label_pngs_that_score_the_same(bench, davis):
    call = ("--dataset", "refdavis17", "--root", davis, "--json", "-")
    made = bench("run", "--method", "full", "--no-page", *call)
    assert made.code == 0
    again = bench("score", made.json["annotations"], "--protocol", "refdavis/published", *call)
    assert again.json["metrics"] == made.json["metrics"] and again.json["protocol"] == "refdavis/published"


def test_configured_root_needs_no_option(bench, davis):
    assert bench("data", "set", "refdavis17", davis).code == 0
    done = bench("data", "describe", "refdavis17", "--json", "-")
    assert (done.json["videos"], done.json["frames"]) == (2, 5)


def test_check_tells_what_is_wrong(bench, davis):
    done = bench("data", "check", "refdavis17", "--root", davis, "--json", "-")
    # A part of the split is not the published split, and the check says so.
    assert done.code == 2 and done.json["faults"] == {"count": 4}
    assert [p["text"] for p in done.json["problems"]] == [
        "2 videos were found; 30 are published.",
        "2 objects were found; 61 are published.",
        "8 expressions were found; 244 are published.",
        "5 frames were found; 1999 are published.",
    ]
    assert bench("data", "check", "refshapes", "--split", "no_target").code == 0


def test_lint_only_says_all_that_is_wrong_and_scores_nothing(bench, davis, tmp_path):
    masks = shutil.copytree(davis / "results/osvos", tmp_path / "masks")
    call = ("score", masks, "--dataset", "refdavis17", "--root", davis, "--lint-only")
    done = bench(*call)
    assert done.code == 0 and "They can be scored." in done.out and "one_annotator" in done.out
    (masks / "libby/00001.png").write_bytes(b"")
    (masks / "car-shadow/00001.png").rename(masks / "car-shadow/1.png")
    done = bench(*call, "--json", "-")
    assert done.code == 2 and done.json["can_be_scored"] is False and "Traceback" not in done.err
    assert [f["kind"] for f in done.json["findings"]] == [
        "missing_frame",
        "damaged",
        "misnamed",
        "one_annotator",
        "lost_overlap",
    ]
    assert "They cannot be scored as they are." in done.err


@pytest.mark.parametrize("layout", ["ytvos", "davis", "mevis"])
def test_export_writes_a_zip_that_scores_100(bench, made, davis, tmp_path, layout):
    done = bench("export", made / "davis-oracle", "--layout", layout, "--out", tmp_path / "out.zip")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert len(file.namelist()) == 20 and file.testzip() is None
    scored = bench("score", tmp_path / "out.zip", "--dataset", "refdavis17", "--root", davis, "--json", "-")
    assert scored.json["metrics"]["J&F"] == 100


def test_export_of_a_part_warns(bench, made, tmp_path):
    done = bench("export", made / "grid/shapes", "--layout", "ytvos", "--out", tmp_path / "out")
    assert done.code == 0 and "1 of the split's 48 videos" in done.err


def test_report_has_a_row_a_run_and_protocol(bench, made):
    text = bench("report").out
    assert text.count("\n### ") + text.startswith("### ") == 3
    assert (
        "| oracle | 100.0 | 100.0 |" in text and "partial: 1 of 48 videos" in text and "grid/shapes" in text
    )
    rows = list(csv.DictReader(io.StringIO(bench("report", "--format", "csv").out)))
    assert [(r["run"], r["protocol"]) for r in rows] == [
        ("davis-full", "refdavis/published"),
        ("davis-full", "refdavis/per_expression"),
        ("davis-oracle", "refdavis/published"),
        ("davis-oracle", "refdavis/per_expression"),
        ("grid/shapes", "refshapes/per_expression"),
    ]
    result = json.loads((made / "davis-full/result.json").read_text())
    assert float(rows[0]["J"]) == result["metrics"]["J"]


@pytest.mark.parametrize(("form", "suffix"), [("md", "md"), ("csv", "csv"), ("latex", "tex")])
def test_report_goes_to_a_file(bench, made, tmp_path, form, suffix):
    done = bench("report", "--format", form, "--out", tmp_path / "reports")
    path = tmp_path / "reports" / f"runs.{suffix}"
    assert done.out.strip() == str(path)
    assert path.read_text() == bench("report", "--format", form).out


def test_report_escapes_names(bench, made):
    record = made / "davis-full" / "run.json"
    content = json.loads(record.read_text())
    content["method"]["name"] = "<b>&_|"
    record.write_text(json.dumps(content))
    assert "| <b>&_\\| |" in bench("report").out
    assert "<td>&lt;b&gt;&amp;_|</td>" in bench("report", "--format", "html").out
    assert r"\textless{}b\textgreater{}\&\_\textbar{}" in bench("report", "--format", "latex").out


def test_report_tells_of_damaged_and_unfinished_runs(bench, made):
    (made / "davis-full/result.json").write_text("{")
    record = made / "grid/shapes/run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"status": "predicting"}))
    done = bench("report")
    assert done.code == 0 and "davis-full is left out" in done.err
    assert "oracle" in done.out and "not finished" in done.out and "davis-full" not in done.out


def test_ablate_prints_a_markdown_table(bench, tmp_path):
    from refseg.bench.grids import Grid, Setting

    def grid():
        return Grid("pair", "A pair", "refshapes", (Setting("nothing", "empty"), Setting("all", "full")))

    with registry.registered("grids", "pair", grid):
        done = bench("ablate", "pair", "--limit", "1", "--json", tmp_path / "table.json")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "A pair (refshapes val, refshapes/per_expression)"
    assert lines[2] == "| setting | J&F | J | F |" and lines[4].startswith("| nothing | ")
    table = json.loads((tmp_path / "table.json").read_text())
    assert [r["label"] for r in table["rows"]] == ["nothing", "all"]


def test_ablate_runs_a_file(bench, tmp_path):
    rows = [
        f'[[settings]]\nlabel = "{label}"\nmethod = "{name}"'
        for label, name in (("a", "empty"), ("b", "full"))
    ]
    (tmp_path / "pair.toml").write_text("\n".join(['dataset = "refshapes"', *rows]))
    done = bench("ablate", "pair.toml", "--limit", "1", "--json", "-")
    assert done.code == 0 and [r["label"] for r in done.json["rows"]] == ["a", "b"]
    assert done.json["grid"] == done.json["title"] == "pair" and (tmp_path / "runs/pair/report.md").exists()
    done = bench("ablate", "par.toml")
    assert done.code == 2 and done.sentence.startswith("par.toml cannot be read")


def test_train_hands_everything_to_the_recipe(bench, tmp_path):
    seen = []

    def recipe(request):
        seen.append(request)
        return {"dev J": 12.3456}

    call = (
        "train",
        "--method",
        "refsam_tiny",
        "--recipe",
        "mine",
        "--set",
        "steps=3",
        "--resume",
        "--device",
        "cpu",
    )
    with registry.registered("recipes", "mine", recipe):
        done = bench(*call, "--json", "-")
    (request,) = seen
    assert (request.method, request.options, request.resume) == ("refsam_tiny", {"steps": "3"}, True)
    assert request.out == "trainings/refsam_tiny-mine" and done.json["figures"] == {"dev J": 12.3456}


def test_params_counts_what_is_learnable_and_what_is_shared_once(bench):
    import torch

    class Net:
        def __init__(self, request):
            assert request.device == "meta"
            shared = torch.nn.Linear(3, 4, device="meta")
            frozen = torch.nn.Linear(10, 10, device="meta").requires_grad_(False)
            self._modules = {"head": shared, "tail": shared, "encoder": frozen}

        def modules(self):
            return self._modules

    with registry.registered("methods", "net", Net):
        done = bench("params", "--method", "net", "--json", "-")
        assert "all" in bench("params", "--method", "net").out
    assert (done.json["learnable"], done.json["total"]) == (16, 126)
    assert done.json["modules"]["encoder"] == {"learnable": 0, "total": 110}


def test_params_stand_beside_the_papers(bench):
    done = bench("params", "--method", "refsam_vit_b", "refsam,oracle", "--json", "-")
    base, headline, oracle = done.json["runs"]
    assert base["published"] == {"learnable": 9.9, "sam": 93.7}
    assert headline["published"] == {"learnable": 33.0, "sam": 641.1}
    assert "published" not in oracle
    text = " ".join(bench("params", "--method", "refsam_vit_b").out.split())
    assert "learnable 9.907 9.9 SAM, trained whole 93.735 93.7" in text
    assert "Table IX" not in bench("params", "--method", "refsam_vit_b", "--set", "use_adapter=false").out


def test_page_is_written_with_the_run_and_anew_by_the_same_command(bench, tmp_path):
    call = (
        "run",
        "--method",
        "oracle",
        "--dataset",
        "refdavis17",
        "--root",
        MINI,
        "--limit",
        "1",
        "--out",
        "out",
    )
    page = tmp_path / "out" / "index.html"
    for _ in range(2):
        assert bench(*call).code == 0 and page.is_file()
        page.unlink()


def test_sheet_draws_a_picture_of_a_dataset(bench, tmp_path):
    call = ("data", "sheet", "refdavis17", "--root", MINI, "--videos", "1", "--frames", "2")
    done = bench(*call, "--out", tmp_path / "sheet.png")
    assert done.code == 0, done.err
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
    wrong = bench(*call[:-1], "0", "--out", "x.png")
    assert wrong.code == 2 and "'0' is not a whole number" in wrong.sentence


def test_scores_print_as_papers_print_them():
    assert [percent(v) for v in (100, 71.26, -0.01, 0, None)] == ["100.0", "71.3", "0.0", "0.0", "–"]


def test_a_comma_list_of_datasets_and_splits_makes_a_run_of_each(bench, tmp_path):
    lists = (
        "--method",
        "oracle,empty",
        "--dataset",
        "refshapes",
        "--split",
        "val,test",
        "--limit",
        "1",
        "--no-page",
    )
    done = bench("run", *lists, "--csv", "all/items.csv", "--json", "-")
    runs = done.json["runs"]
    assert [(r["method"], r["split"]) for r in runs] == [
        ("oracle", "val"),
        ("empty", "val"),
        ("oracle", "test"),
        ("empty", "test"),
    ]
    rows = list(csv.DictReader((tmp_path / "all/items.csv").open()))
    assert len(rows) == sum(len(r["items"]) for r in runs)
    assert {(r["method"], r["split"]) for r in rows} == {(r["method"], r["split"]) for r in runs}
    # A mean of the rows is the result.
    mine = [float(r["J&F"]) for r in rows if (r["method"], r["split"]) == ("empty", "test")]
    assert sum(mine) / len(mine) == pytest.approx(runs[3]["metrics"]["J&F"])
    again = bench("run", *lists, "--out", "other", "--dry-run", "--json", "-").json["runs"]
    assert len({r["out"] for r in again}) == 4 and all(r["out"].startswith("other/") for r in again)


def test_a_dataset_that_fails_does_not_stop_the_others(bench):
    done = bench(
        "run",
        "--method",
        "empty",
        "--dataset",
        "refcoco,refshapes",
        "--limit",
        "1",
        "--no-page",
        "--json",
        "-",
    )
    failed, went_on = done.json["runs"]
    assert done.code == 2 and "refcoco" in failed["error"] and went_on["metrics"]["J&F"] >= 0
    assert (
        "Did you mean 'refshapes'"
        in bench("run", "--method", "empty", "--dataset", "refcoco,refshape").sentence
    )


def test_videos_by_name_are_a_partial_result_that_can_be_scored_again(bench, tmp_path):
    called = ("run", "--method", "full", "--dataset", "refdavis17", "--root", MINI, "--no-page")
    done = bench(*called, "--video", "libby", "--json", "-").json
    whole = bench(*called, "--out", "whole", "--json", "-").json
    assert {i["video"] for i in done["items"]} == {"libby"} and done["partial"]
    theirs = [i for i in whole["also"][0]["items"] if i["video"] == "libby"]
    assert done["also"][0]["items"] == theirs and len(theirs) < len(whole["also"][0]["items"])
    scored = bench(
        "score", done["run"], "--dataset", "refdavis17", "--root", MINI, "--csv", "libby.csv", "--json", "-"
    )
    assert scored.json["metrics"] == done["metrics"] and scored.json["coverage"] == done["coverage"]
    rows = list(csv.DictReader((tmp_path / "libby.csv").open()))
    assert {r["protocol"] for r in rows} == {"refdavis/published", "refdavis/per_expression"}
    assert "Did you mean 'libby'" in bench(*called, "--video", "liby").sentence
