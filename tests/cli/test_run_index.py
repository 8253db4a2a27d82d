"""The index of many runs: it changes how long a report takes and nothing that it says."""

import json
import os
import shutil
import sqlite3

import pytest

from refseg.bench.cli import run_index
from refseg.bench.cli.run_index import NAME, run_folders
from refseg.bench.cli.runs import collect


def write_run(folder, score, items=3, status="done"):
    folder.mkdir(parents=True)
    dataset = {"name": "refshapes", "split": "val", "version": "1"}
    record = {
        "key": "k",
        "method": {"name": "reader"},
        "dataset": dataset,
        "protocols": ["p"],
        "status": status,
    }
    (folder / "run.json").write_text(json.dumps(record))
    result = {
        "protocol": "p",
        "metrics": {"J&F": score},
        "intervals": {"J&F": [score - 1, score + 1]},
        "scored": {"videos": 2, "of": 2, "in_split": 2},
        "failures": [],
        "items": [{"video": f"v{i}", "expression": "0", "J&F": score, "frames": 9} for i in range(items)],
    }
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def runs(tmp_path):
    for i in range(4):
        write_run(tmp_path / f"runs/group/{i}", 10.0 * i)
    return tmp_path / "runs"


def scores(runs):
    return [row.metrics.get("J&F") for row in collect(runs)[0]]


@pytest.fixture
def parsed(monkeypatch):
    """Count the files that are parsed."""
    from refseg.bench.cli import runs as module

    seen = []
    real = module.parse_json
    monkeypatch.setattr(module, "parse_json", lambda content: seen.append(1) or real(content))
    return seen


def test_the_second_report_parses_nothing_and_says_the_same(runs, parsed):
    first = collect(runs)
    assert len(parsed) == 8 and (runs / NAME).is_file()
    assert collect(runs) == first and len(parsed) == 8
    os.remove(runs / NAME)
    assert collect(runs) == first and len(parsed) == 16


def test_what_changed_is_read_again_and_what_is_gone_is_forgotten(runs, parsed):
    collect(runs)
    shutil.rmtree(runs / "group/0")
    write_run(runs / "new", 77.0)
    path = runs / "group/1/result.json"
    text = path.read_text().replace("10.0", "11.0")
    replaced = path.with_suffix(".new")
    replaced.write_text(text)
    os.utime(replaced, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(replaced, path)
    assert scores(runs) == [11.0, 20.0, 30.0, 77.0] and len(parsed) == 12
    with sqlite3.connect(runs / NAME) as index:
        assert {r for (r,) in index.execute("SELECT run FROM runs")} == {
            "group/1",
            "group/2",
            "group/3",
            "new",
        }


@pytest.mark.parametrize(
    "damage",
    [b"", b"no database", b"SQLite format 3\0" + bytes(4000), None],
    ids=["empty", "text", "zeros", "other"],
)
def test_a_damaged_index_is_made_again(runs, parsed, damage):
    whole = collect(runs)
    if damage is None:
        with sqlite3.connect(runs / NAME) as index:
            index.execute("UPDATE runs SET value = '[{\"marks\": 3}]'")
    else:
        (runs / NAME).write_bytes(damage)
    assert collect(runs) == whole
    del parsed[:]
    assert collect(runs) == whole and not parsed


def test_an_index_of_another_revision_is_not_believed(runs, parsed, monkeypatch):
    whole = collect(runs)
    monkeypatch.setattr(run_index, "REVISION", run_index.REVISION + 1)
    del parsed[:]
    assert collect(runs) == whole and len(parsed) == 8
    assert collect(runs) == whole and len(parsed) == 8


def test_an_index_that_cannot_be_written_costs_time_only(runs, parsed):
    (runs / NAME).mkdir()
    assert scores(runs) == [0.0, 10.0, 20.0, 30.0] == scores(runs)
    assert len(parsed) == 16


def test_a_damaged_run_is_told_every_time(runs):
    (runs / "group/2/result.json").write_text("{")
    for _ in range(2):
        rows, notes = collect(runs)
        assert [r.run for r in rows] == ["group/0", "group/1", "group/3"] and "group/2" in notes[0]


def test_files_inside_of_runs_are_not_looked_at(runs, monkeypatch):
    write_run(runs / "group/3/inside", 99.0)
    (runs / "up").symlink_to(runs)
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or real(path))
    assert [p.name for p in run_folders(runs)] == ["0", "1", "2", "3"]
    assert not any(path.endswith("/inside") for path in listed)
