"""A grid's report: what stands beside what, and what is said of it."""

import csv
import io

import pytest

from refseg.reports.ablation import as_csv, describe, draw_curves, ordering

PUBLISHED = {
    ("A", "refdavis17"): 60.3,
    ("B", "refdavis17"): 59.6,
    ("C", "refdavis17"): 61.6,
    ("A", "refytvos"): 52.2,
}


def row(label, score, against=None, **more):
    told = None
    if against is not None:
        difference, verdict = against
        bounds = [difference - 1, difference + 1]
        told = {
            "metric": "J&F",
            "difference": difference,
            "interval": bounds,
            "verdict": verdict,
            "noise": "seeds",
        }
    given = {"error": "", "deviations": {}, "runs": ["r"], "trainings": [], "published": label} | more
    return {"label": label, "metrics": {} if score is None else {"J&F": score, "J": score - 1}, **given} | {
        "against_base": told
    }


@pytest.fixture
def table():
    return {
        "title": "Track token",
        "dataset": "refshapes",
        "split": "val",
        "protocol": "refshapes/per_expression",
        "note": "Stand-ins.",
        "table": "IV",
        "base": "A",
        "quick": False,
        "partial": False,
        "columns": ["J&F", "J"],
        "curve": "val_J&F",
        "rows": [
            row("A", 40.0),
            row("B", 42.0, (2.0, "higher"), deviations={"J&F": 0.25}),
            row("C", 43.0, (3.0, "higher")),
            row("D", None, error="out of memory"),
        ],
    }


def test_measured_stands_beside_published_with_its_noise(table):
    text = describe(table, PUBLISHED)
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    cells = {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines}
    assert cells["A"]["J&F"] == "40.0" and cells["A"]["published refdavis17"] == "60.3"
    assert cells["A"]["published refytvos"] == "52.2" and cells["B"]["published refytvos"] == "–"
    assert cells["B"]["J&F"] == "42.0 ± 0.2" and cells["B"]["to the base"] == "+2.0"
    assert (
        cells["B"]["95 % of it"] == "1.0 to 3.0" and cells["B"]["published refdavis17: to the base"] == "-0.7"
    )
    # B is above the base here and below it in the paper; C is above in both.
    assert (cells["B"]["order"], cells["C"]["order"]) == ("against", "as published")
    assert "1 as published, 1 against" in text and "Stand-ins." in text
    assert "D failed: out of memory" in text and cells["D"]["J&F"] == "failed"
    assert "J&F less published" not in text and "full-size" in text


def test_the_same_dataset_is_compared_outright(table):
    table["dataset"] = "refdavis17"
    text = describe(table, PUBLISHED)
    assert "J&F less published" in text and "-20.3" in text and "full-size" not in text


def test_what_is_within_noise_has_no_order(table):
    one = row("B", 40.5, (0.5, "within noise"))
    assert ordering(one, table, PUBLISHED, "refdavis17") == "within noise"
    assert ordering(one, table, {}, "refdavis17") == ""
    assert ordering(table["rows"][0], table, PUBLISHED, "refdavis17") == ""


def test_quick_numbers_are_marked(table):
    table["quick"] = table["partial"] = True
    text = describe(table, {})
    assert "QUICK" in text and "say nothing" in text and "partial" in text


def test_csv_has_everything_unrounded(table):
    rows = list(csv.DictReader(io.StringIO(as_csv(table, PUBLISHED))))
    assert [r["setting"] for r in rows] == ["A", "B", "C", "D"]
    assert float(rows[1]["low"]) == 1.0 and rows[1]["published_refdavis17"] == "59.6" and rows[3]["error"]


def test_curves_run_through_all_trainings_of_a_setting(table, tmp_path):
    for name in ("images", "clips", "again"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text("step,figure,value\n5,loss,1\n5,val_J&F,30\n10,val_J&F,40\n")
    made = [{"out": str(tmp_path / n)} for n in ("images", "clips")]
    table["rows"][0]["trainings"] = [made, [made[0], {"out": str(tmp_path / "again")}]]
    from refseg.reports.ablation import _curve

    assert _curve(made, "val_J&F") == {5: 30, 10: 40, 15: 30, 20: 40}
    assert draw_curves(table, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    table["rows"] = table["rows"][1:]
    assert not draw_curves(table, tmp_path / "none.png") and not (tmp_path / "none.png").exists()
