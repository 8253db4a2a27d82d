"""Worker processes that die, hang or run out of memory, and what that costs: real processes."""

import json
import time
from pathlib import Path

import pytest

from refseg.bench.errors import InputError


def masks(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


@pytest.fixture
def whole(runs, tmp_path):
    """The result of an uninterrupted run in one process, and its predictions."""
    result = runs("whole")
    return {**result, "run": ""}, masks(tmp_path / "whole")


def test_workers_give_what_one_process_gives_and_make_good_what_they_lose(runs, whole, tmp_path):
    """One run with all of it: killed, crashed, out of memory, an exception; each only once or only in company."""
    told = "v5=die+once,v4=crash+crowd,v3=memory+crowd,v2=raise+once"
    result = runs("two", told, jobs=2)
    assert ({**result, "run": ""}, masks(tmp_path / "two")) == whole
    record = json.loads((tmp_path / "two/run.json").read_bytes())
    assert record["engine"] == {"name": "local", "jobs": 2, "time_limit": None}
    # v5 and v2 succeed alone; v4 and v3 only sentence by sentence.
    assert record["pass"]["retries"] == 1 + 1 + 2 * (1 + 3)
    assert record["pass"]["frames"] >= 1 + 2 + 3 + 4 + 5 + 6


def test_what_never_succeeds_is_named_and_costs_nothing_else(runs, whole, tmp_path):
    result = runs("run", "v1=die,v3=memory", jobs=2)
    died, memory = result["failures"]
    assert died["video"] == "v1" and "ended by SIGKILL, perhaps for want of memory" in died["error"]
    assert memory["video"] == "v3" and "MemoryError" in memory["error"]
    assert result["scored"] == {"videos": 4, "of": 6, "in_split": 6}
    left = {name: data for name, data in whole[1].items() if name.parts[1] not in ("v1", "v3")}
    assert masks(tmp_path / "run") == left
    # Once it is mended, the same call predicts these two and nothing else.
    mended = runs("run")
    assert {**mended, "run": ""} == whole[0] and masks(tmp_path / "run") == whole[1]


def test_a_worker_that_hangs_is_ended_after_the_time_limit(runs, whole, tmp_path):
    result = runs("run", "v4=hang+once", time_limit=5.0)
    assert ({**result, "run": ""}, masks(tmp_path / "run")) == whole
    assert json.loads((tmp_path / "run/run.json").read_bytes())["pass"]["retries"] >= 1


def test_one_process_tries_again_too(runs, whole, tmp_path):
    result = runs("run", "v2=raise+once,v4=raise+crowd,v1=raise")
    assert result["failures"] == [{"video": "v1", "error": "RuntimeError: no luck with v1"}]
    left = {name: data for name, data in whole[1].items() if name.parts[1] != "v1"}
    assert masks(tmp_path / "run") == left


def test_workers_end_with_a_process_that_is_killed(command, tmp_path, monkeypatch):
    """Nothing is left that could write, or hold the lock, or a GPU."""
    state = tmp_path / "state"
    state.mkdir()
    out = tmp_path / "run"
    arguments = ("run", "--method", "faulty", "--dataset", "tiles", "--no-page", "--out", out)
    process = command(*arguments, "--jobs", 2, FAULTY="v5=hang,v4=hang", FAULTY_STATE=str(state))
    while not _children(process.pid) or not (out / "run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    children = _children(process.pid)
    process.kill()
    process.communicate()
    while any(_alive(pid) for pid in children):
        time.sleep(0.05)
    again = command(*arguments)
    stdout, stderr = again.communicate()
    assert again.returncode == 0, stderr
    assert len(masks(out)) == 18 and "6 videos" not in stdout


def _children(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in tasks.read_text().split()]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_that_sees_other_data_refuses(runs, monkeypatch):
    monkeypatch.setattr("refseg.bench.provenance.source_digest", lambda: "the code of this process alone")
    with pytest.raises(InputError, match="A worker found another faulty, tiles or version of the code"):
        runs("run", jobs=2)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"engine": "rai"}, "Unknown engine 'rai'.*Did you mean 'ray'"),
        ({"time_limit": 0.0}, "--time-limit 0.0 is no number of seconds"),
        ({"time_limit": float("nan")}, "--time-limit nan"),
        ({"shard": "3/2"}, "--shard 3/2 is no part"),
        ({"shard": "0/2"}, "I from 1 to N"),
        ({"shard": "1/9"}, "leaves shards without any"),
    ],
)
def test_wrong_calls_are_told(runs, tmp_path, request_, said):
    with pytest.raises(InputError, match=said):
        runs("run", **request_)
    assert not (tmp_path / "run").exists()
