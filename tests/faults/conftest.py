"""Real processes that die, hang or are killed, with a dataset and a method of a third party (``faulty.py``)."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from refseg.bench import registry
from refseg.bench.runner import RunRequest, run

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the third party's package, as pip installs one."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "faulty.py", folder)
    info = folder / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[refseg.datasets]\ntiles = faulty:build_dataset\n[refseg.methods]\nfaulty = faulty:build_method\n"
    )
    return folder


@pytest.fixture(autouse=True)
def _nobody_s_computer(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    for name in ("REFSEG_DATA", "REFSEG_DEBUG", "FAULTY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def installed(site, monkeypatch):
    """The third party's package in this process and in those that it starts."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(SOURCE)]))
    registry.forget_plugins()
    yield
    registry.forget_plugins()


@pytest.fixture
def runs(installed, tmp_path, monkeypatch):
    """Run ``faulty`` on ``tiles``: ``runs(folder, what goes wrong, **request)``; returns the result."""
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("FAULTY_STATE", str(state))

    def start(name, told="", **request):
        monkeypatch.setenv("FAULTY", told)
        for mark in state.iterdir():
            mark.unlink()
        return run(RunRequest("faulty", "tiles", out=str(tmp_path / name), page=False, **request))

    return start


@pytest.fixture
def command(site, tmp_path):
    """Start a command line in a process of its own: ``command(*argv, **environment)``."""
    running = []
    main = (sys.executable, "-c", "from refseg.bench.cli import main; raise SystemExit(main())")

    def start(*argv, **environment):
        path = os.pathsep.join([str(site), str(SOURCE)])
        running.append(
            subprocess.Popen(
                [*main, *map(str, argv)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                process_group=0,
                env=os.environ | {"PYTHONPATH": path} | environment,
                # A test run in the background ignores SIGINT, which a child would inherit.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@dataclass
class Ended:
    """How a command line ended.

    Attributes:
        killed: Whether a signal did it.
        code: Its exit code where none did.
        text: What it printed.
        changes: How many files it changed, where it was not killed.
        cpu: Seconds of processor time.
    """

    killed: bool
    code: int
    text: str
    changes: int
    cpu: float


class ForkServer:
    """Runs command lines in children of a process that has everything imported."""

    def __init__(self, site, cache):
        self.folder = cache
        path = os.pathsep.join([str(site), str(SOURCE)])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "forkserver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=cache,
            env=os.environ | _nobody_s(cache) | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
        assert self._answer() == {}

    def run(self, *argv, kill_after=None, die_at=None, **environment):
        """Run a command line; seconds of processor time, or changes of files, after which it is killed."""
        log = self.folder / "log"
        order = {"argv": [*map(str, argv)], "cwd": str(self.folder), "env": environment, "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order | {"die_at": die_at, "kill_after": kill_after}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        status = answer["status"]
        killed = os.WIFSIGNALED(status)
        changes = 0 if killed else int(Path(f"{log}.changes").read_text())
        code = -1 if killed else os.waitstatus_to_exitcode(status)
        return Ended(killed, code, log.read_text(), changes, answer["cpu"])

    def close(self):
        self._process.kill()
        self._process.communicate()

    def _answer(self):
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the fork server ended"
        return json.loads(line)


@pytest.fixture(scope="module")
def fork_server(site, tmp_path_factory):
    server = ForkServer(site, tmp_path_factory.mktemp("forks"))
    yield server
    server.close()


@pytest.fixture
def forks(fork_server, tmp_path):
    """A :class:`ForkServer` in the test's folder."""
    fork_server.folder = tmp_path
    return fork_server


def _nobody_s(folder):
    return {"REFSEG_CONFIG": str(folder / "config.json"), "REFSEG_CACHE": str(folder / "cache")}
