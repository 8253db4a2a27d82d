"""What goes wrong around a run: disks, folders, locks, clocks, data that changes. Each is one clear sentence."""

import errno
import json
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refseg.bench import locks
from refseg.bench.cli import main
from refseg.bench.cli.interrupt import GRACE
from refseg.bench.errors import InputError
from refseg.bench.locks import locked
from refseg.bench.registry import registered
from refseg.bench.runner import RunRequest, run
from refseg.methods.controls import build as build_control

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


def masks(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


def sentence(capsys):
    """The one sentence on stderr."""
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: ")]
    assert len(said) == 1, said
    return said[0]


# --- folders and disks


def test_a_folder_that_cannot_be_written_is_told(capsys, installed):
    # Nobody, not even root, makes a folder there.
    code = main(["run", "--method", "faulty", "--dataset", "tiles", "--out", "/proc/refseg/run"])
    assert code == 2 and "/proc/refseg/run cannot be written" in sentence(capsys)


def test_a_folder_that_becomes_read_only_keeps_what_is_done(runs, tmp_path, monkeypatch):
    whole = runs("whole")
    replace, done = os.replace, []

    def read_only(source, target):
        done.append(target)
        if len(done) > 8:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", read_only)
        with pytest.raises(InputError, match=r"cannot be written: Read-only file system"):
            runs("run")
    assert 0 < len(masks(tmp_path / "run")) < 18
    assert {**runs("run"), "run": ""} == {**whole, "run": ""}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_ends_the_run_and_the_same_call_goes_on(runs, tmp_path, monkeypatch, jobs):
    whole = runs("whole")
    fsync, done = os.fsync, []

    def full(file):
        done.append(file)
        if len(done) > 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            InputError, match=r"No space is left for .*free some space and run the same command"
        ):
            runs("run", jobs=jobs)
    assert 0 < len(masks(tmp_path / "run")) < 18
    assert {**runs("run", jobs=jobs), "run": ""} == {**whole, "run": ""}


# --- locks


def test_the_second_on_a_folder_is_told_who_holds_it(tmp_path):
    with locked(tmp_path, "run"), pytest.raises(InputError) as caught, locked(tmp_path, "run"):
        pass
    text = str(caught.value)
    assert f"Another run is at work in {tmp_path} (process {os.getpid()} on " in text
    assert "wait for it, or give another --out" in text
    with locked(tmp_path, "run"):
        pass


def test_a_child_that_outlives_its_parent_does_not_hold_the_lock(tmp_path):
    lives, tell = os.pipe()
    reader, writer = os.pipe()
    with locked(tmp_path, "run"):
        child = os.fork()
        if not child:
            os.close(writer)
            os.write(tell, b".")
            os.read(reader, 1)
            os._exit(0)
        # The child lets go as it begins, which a busy machine puts off.
        assert os.read(lives, 1)
        # As the system does when this process is killed: its file is closed, the child's copy is not.
        (held,) = locks._held
        held.close()
        with locked(tmp_path, "run"):
            pass
    os.close(writer)
    os.waitpid(child, 0)
    for end in (reader, lives, tell):
        os.close(end)


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.raises(InputError, match="cannot be locked"), locked(tmp_path, "run"):
        pass


# --- clocks


def test_a_clock_that_jumps_changes_nothing(runs, tmp_path, monkeypatch):
    """Time runs backwards by years; what is new is known by keys and not by dates."""
    whole = runs("whole")
    seconds = iter(range(10**9, 0, -(10**6)))

    class Jumps(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=next(seconds))

    monkeypatch.setattr("refseg.bench.provenance.datetime", Jumps)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    first = runs("run", "v3=raise")
    assert [f["video"] for f in first["failures"]] == ["v3"]
    before = masks(tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.json"):
        os.utime(path, (0, 0))
    assert {**runs("run"), "run": ""} == {**whole, "run": ""}
    record = json.loads((tmp_path / "run/run.json").read_bytes())
    assert before.items() < masks(tmp_path / "run").items() and record["pass"]["frames"] == 4
    assert record["pass"]["seconds"] >= 0


# --- data that changes


class Meddler:
    """The control ``empty``, but something happens before its second video."""

    def __init__(self, request, meddle):
        self._inner, self._meddle, self._calls = build_control(request), meddle, 0
        self.info = self._inner.info

    def segment(self, video, expressions):
        self._calls += 1
        if self._calls == 2:
            self._meddle()
        yield from self._inner.segment(video, expressions)

    def modules(self):
        return {}


def _meddled(tmp_path, meddle, name="run"):
    import dataclasses

    def build(request):
        return Meddler(dataclasses.replace(request, name="empty"), meddle)

    request = RunRequest(
        "meddler", "refdavis17", root=str(tmp_path / "davis"), out=str(tmp_path / name), page=False, limit=3
    )
    with registered("methods", "meddler", build):
        return run(request)


def test_frames_that_change_under_a_run_are_told_and_made_anew(tmp_path):
    shutil.copytree(MINI, tmp_path / "davis")
    frames = sorted((tmp_path / "davis").glob("**/JPEGImages/**/*.jpg"))
    first_video = frames[0].parent

    def meddle():
        with frames[0].open("ab") as file:
            file.write(b"\0")

    with pytest.raises(InputError) as caught:
        _meddled(tmp_path, meddle)
    text = str(caught.value)
    assert f"The frames of 1 videos of refdavis17 valid in {tmp_path}" in text and first_video.name in text
    assert "is not scored; the same command predicts them anew" in text
    assert not (tmp_path / "run/result.json").exists()
    before = masks(tmp_path / "run")
    assert _meddled(tmp_path, lambda: None)["failures"] == []
    changed = {name.parts[1] for name, data in masks(tmp_path / "run").items() if before[name] != data}
    assert changed == {first_video.name}


def test_metadata_that_change_under_a_run_are_told(tmp_path):
    shutil.copytree(MINI, tmp_path / "davis")
    (texts, *_) = sorted((tmp_path / "davis").rglob("*.txt")) or sorted((tmp_path / "davis").rglob("*.json"))

    def meddle():
        texts.write_text(texts.read_text().replace("a ", "one ", 1))

    with pytest.raises(
        InputError, match=r"The metadata of refdavis17 valid in .* changed while the run was at work"
    ):
        _meddled(tmp_path, meddle)
    with pytest.raises(InputError, match=r"dataset\.fingerprint"):
        _meddled(tmp_path, lambda: None)


# --- Ctrl-C


@pytest.mark.parametrize(
    ("told", "more", "press"),
    [
        ("v5=hang", (), os.kill),
        ("v0=busy", (), os.kill),
        ("v5=hang,v4=busy", ("--jobs", "2"), os.kill),
        ("v5=hang,v4=busy", ("--jobs", "2"), os.killpg),
    ],
    ids=["waiting", "long-work-in-c", "workers", "workers-at-a-terminal"],
)
def test_ctrl_c_ends_soon_and_leaves_a_run_that_goes_on(command, tmp_path, told, more, press):
    """However busy a worker or one operation is; ``GRACE`` is what it takes beside what Python itself does."""
    assert GRACE < 2
    out = tmp_path / "run"
    arguments = ("run", "--method", "faulty", "--dataset", "tiles", "--no-page", "--out", out)
    process = command(*arguments, *more, FAULTY=told, FAULTY_STATE=str(tmp_path))
    while not (out / "run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    start = time.monotonic()
    press(process.pid, signal.SIGINT)
    _, stderr = process.communicate()
    print(f"ended {time.monotonic() - start:.2f} s after Ctrl-C")
    assert process.returncode == 130, stderr
    assert stderr.count("bench: interrupted; what is done is kept") == 1 and "Traceback" not in stderr
    again = command(*arguments)
    again.communicate()
    assert again.returncode == 0 and len(masks(out)) == 18
