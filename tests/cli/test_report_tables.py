"""bench claims, bench report --table and bench figure from the command line."""

import csv
import io

from refseg.bench import registry


def test_claims_are_listed_with_their_sources(bench):
    done = bench("claims", "list", "--table", "I", "--method", "refsam", "--json", "-")
    assert done.code == 0
    assert {c["metric"]: c["value"] for c in done.json} == {"J&F": 71.9, "J": 68.4, "F": 75.5}
    assert "arxiv.org/abs/2307.00997" in bench("claims", "list", "--table", "I").out
    assert "No published number" in bench("claims", "list", "--table", "XI").sentence


def test_claims_are_checked_and_a_fault_of_ours_is_exit_2(bench, tmp_path):
    done = bench("claims", "lint", "--json", "-")
    assert done.code == 0 and {f["kind"] for f in done.json} == {"arithmetic", "statement", "citation"}
    from refseg.reports.claims import FOLDER

    rows = (FOLDER / "claims.csv").read_text("utf-8").splitlines()
    broken = tmp_path / "claims.csv"
    broken.write_text("\n".join([*rows, rows[1]]) + "\n", "utf-8")
    done = bench("claims", "lint", "--claims", broken)
    assert done.code == 2 and "duplicate" in done.out
    broken.write_text("nothing\n")
    assert "has the columns nothing" in bench("claims", "lint", "--claims", broken).sentence


def test_tables_say_what_to_run_where_nothing_was(bench, tmp_path):
    done = bench("report", "--table", "II")
    assert done.code == 0 and "| RefSAM | published | 67.6 | 65.8 | 69.4 | not run [" in done.out
    assert "`bench run --method refsam_vit_h --dataset refytvos" in done.out
    assert "does not exist" in bench("report", "--table", "1", "--runs", "nowhere").sentence
    assert "Unknown table '11'" in bench("report", "--table", "11").sentence


def test_a_partial_run_stands_beside(bench, tmp_path):
    assert bench("run", "--method", "full", "--dataset", "refshapes", "--limit", "1", "--no-page").code == 0
    done = bench("report", "--table", "refshapes", "--format", "csv")
    (first, *_) = csv.DictReader(io.StringIO(done.out))
    assert first["run"] == "full-refshapes-val" and first["marks"].startswith("partial: 1 of 48 videos")


def test_tables_go_to_files_of_their_own(bench, tmp_path):
    done = bench("report", "--table", "all", "--format", "latex", "--out", "tables")
    names = [f"table-{n}" if not n.startswith("fig") else n for n in registry.table("tables")]
    assert done.out.split() == [f"tables/{n}.tex" for n in names]
    assert all((tmp_path / name).read_text().startswith("% needs") for name in done.out.split())


def test_figure_of_named_videos(bench, tmp_path):
    shapes = ("--dataset", "refshapes", "--limit", "1", "--no-page")
    assert bench("run", "--method", "full,oracle", *shapes).code == 0
    runs = ("runs/full-refshapes-val", "runs/oracle-refshapes-val")
    done = bench("figure", *runs, "--video", "val-0000", "--frames", "1", "--out", "drawn/one")
    assert done.code == 0 and done.out.split() == ["drawn/one.png", "drawn/one.pdf"]
    assert (tmp_path / "drawn/one.png").read_bytes().startswith(b"\x89PNG")
    assert "Unknown video" in bench("figure", *runs, "--video", "val-9999").sentence
