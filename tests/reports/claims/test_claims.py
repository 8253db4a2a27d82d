"""The published numbers are those that are printed, and the linter finds what does not hold, ours and theirs."""

import csv
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.reports.claims import FOLDER, PAPER, load_claims, load_sources, of_table
from refseg.reports.claims.lint import OURS, lint, shipped

PRINTED = Path(__file__).parents[4] / "shared/paper/refsam.txt"
DOCS = Path(__file__).parents[3] / "docs/claims.md"
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
NUMBER = re.compile(r"\d+\.\d+")


@pytest.fixture(scope="module")
def published():
    return shipped()


def printed_tables():
    """Return the numbers of the paper's tables in printed order, read from its text and not from our data."""
    tables, name = {}, None
    for line in PRINTED.read_text("utf-8").splitlines():
        if title := re.match(r"TABLE ([IVX]+):", line):
            name = title[1]
            tables[name] = []
        elif "\t" in line and name:
            cells = [c for c in line.split("\t") if NUMBER.fullmatch(c.strip())]
            tables[name] += map(Decimal, (c.strip() for c in cells))
        elif line and not line.startswith("oIoU") and tables.get(name):
            name = None
    return tables


@pytest.mark.skipif(not PRINTED.is_file(), reason="needs the paper's text in ../shared")
def test_every_number_of_the_ten_tables_is_there_and_no_other(published):
    printed = printed_tables()
    assert {*printed} == {*ROMAN}
    for name in ROMAN:
        ours = sorted(c.value for c in of_table(published.claims, name))
        assert ours == sorted(printed[name]), name
        assert [str(v) for v in ours] == [str(v) for v in sorted(printed[name])], f"digits of {name}"


def test_figures_say_which_setting_is_the_best(published):
    for name in ("fig4", "fig5"):
        (best,) = of_table(published.claims, name)
        assert (best.unit, best.value) == ("rank", 1)


def test_our_own_data_has_no_fault_and_the_paper_s_known_slips_are_found(published):
    found = lint(published)
    assert not [f for f in found if f.kind in OURS]
    paper = {(f.kind, f.place) for f in found if f.source == PAPER}
    assert {
        ("arithmetic", "Table I, URVOS, refdavis17 valid"),
        ("arithmetic", "Table II, ReferFormer, refytvos valid"),
        ("arithmetic", "Table V, CLIP-large (ViT-B), refdavis17 valid"),
        ("citation", "Table I, SgMg"),
        ("citation", "Table II, OnlineRefer"),
        ("statement", "IV-D4"),
    } <= paper


def test_docs_hold_the_findings_as_the_command_prints_them(published):
    from refseg.bench.cli.claims import _markdown

    assert _markdown(lint(published)) in DOCS.read_text("utf-8")


@settings(deadline=None)
@given(st.decimals(0, 100, places=3), st.decimals(0, 100, places=3))
def test_rounding_is_never_taken_for_an_error_and_more_than_it_always(j, f):
    rounded = [v.quantize(Decimal("0.1")) for v in ((j + f) / 2, j, f)]
    base = load_claims_once()[:3]
    row = [replace(c, value=v) for c, v in zip(base, rounded, strict=True)]
    assert not kinds(row)
    for step in (Decimal("0.3"), Decimal("-0.3")):
        if 0 <= rounded[0] + step <= 100:
            assert kinds([replace(row[0], value=rounded[0] + step), *row[1:]]) == {"arithmetic"}


def load_claims_once(cache=[]):  # noqa: B006
    if not cache:
        cache.append(load_claims())
    return cache[0]


def kinds(claims):
    return {f.kind for f in lint(replace(shipped(claims), statements=()))}


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"source": "hearsay"}, "source", "'hearsay' is not in sources.csv"),
        ({"dataset": "refdavis71"}, "name", "Did you mean 'refdavis17'"),
        ({"split": "test"}, "name", "has no split 'test', but train, valid"),
        ({"metric": "IoU"}, "name", "refdavis/published has no metric 'IoU'"),
        ({"protocol": "refdavis/publisht"}, "name", "Unknown protocol"),
        ({"version": ""}, "name", "version is not given"),
        ({"unit": "FPS"}, "unit", "J&F is given in FPS; expected %"),
        ({"value": Decimal("101")}, "unit", "101 % cannot be"),
        ({"cites": "58"}, "citation", "which is “OnlineRefer"),
        ({"cites": "999"}, "name", "[999] is not in references.csv"),
    ],
)
def test_a_planted_fault_is_found(published, change, kind, told):
    before = {(f.kind, f.text) for f in lint(published)}
    planted = replace(published, claims=[replace(published.claims[0], **change), *published.claims[1:]])
    new = [f for f in lint(planted) if (f.kind, f.text) not in before]
    assert [f for f in new if f.kind == kind and told in f.text and f.where == "claims.csv:2"], new


def test_a_number_given_twice_is_found(published):
    again = replace(
        published, claims=[*published.claims, replace(published.claims[0], where="claims.csv:999")]
    )
    assert [(f.kind, f.where) for f in lint(again) if f.kind == "duplicate"] == [
        ("duplicate", "claims.csv:999")
    ]


def test_a_quoted_value_that_its_authors_do_not_give_is_found(published):
    claims = [
        replace(c, value=c.value + 1) if (c.table, c.id, c.metric) == ("I", "sgmg", "J&F") else c
        for c in published.claims
    ]
    found = [f for f in lint(replace(published, claims=claims)) if f.kind == "disagreement"]
    assert [f.place for f in found] == ["Table I, SgMg, refdavis17 valid"]


@pytest.mark.parametrize(
    ("relation", "holds"), [(">", True), ("<", False), ("=", False), ("slightly <", False)]
)
def test_statements_are_held_against_the_tables(published, relation, holds):
    first = replace(published.statements[0], relation=relation)
    found = [f for f in lint(replace(published, statements=[first])) if f.kind == "statement"]
    assert bool(found) is not holds
    wrong = replace(published.statements[0], difference=Decimal("7.3"))
    (told,) = [f for f in lint(replace(published, statements=[wrong])) if f.kind == "statement"]
    assert "differ by 7.1, not by 7.3" in told.text


def test_statement_about_nothing_is_a_fault(published):
    lost = replace(published.statements[0], left="I/Nobody/refdavis17/J&F")
    assert "names 0 numbers" in next(
        f.text for f in lint(replace(published, statements=[lost])) if f.kind == "name"
    )


def test_every_source_has_an_address_and_what_was_read(published):
    assert {c.source for c in published.claims} == {*load_sources()}
    assert all(s.revision for s in published.sources.values())


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda rows: [rows[0][:-1], *rows[1:]], "has the columns source"),
        (lambda rows: [rows[0], rows[1][:-2]], "claims.csv:2 has 15 cells; expected 17"),
        (
            lambda rows: [rows[0], [*rows[1][:11], "good", *rows[1][12:]]],
            "claims.csv:2: 'good' is not a number",
        ),
        (lambda rows: [rows[0], [*rows[1][:11], "NaN", *rows[1][12:]]], "'NaN' is not a number"),
        (lambda rows: [rows[0], [*rows[1][:12], "percent", *rows[1][13:]]], "the unit 'percent' is unknown"),
        (lambda rows: [], "of an empty file"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(tmp_path, edit, told):
    with (FOLDER / "claims.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    path = tmp_path / "claims.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(edit(rows))
    with pytest.raises(InputError, match=re.escape(told)):
        load_claims(path)


def test_an_absent_or_binary_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_claims(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_claims(tmp_path / "bytes.csv")
