"""The command line in this process and in one of its own, and packages of third parties that it finds."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from refseg.bench.cli import main

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
EXAMPLE = Path(__file__).parents[1] / "plugin_example"
MAIN = (sys.executable, "-c", "from refseg.bench.cli import main; raise SystemExit(main())")


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def sentence(self):
        """The one sentence on stderr of a command that was refused, with what is drawn below it."""
        assert self.out == "" and "Traceback" not in self.err
        _, said, below = self.err.partition("bench: ")
        sentence, *drawn = below.splitlines()
        assert said and "bench: " not in below and all(line.startswith("  ") for line in drawn), self.err
        return " ".join([sentence, *(line.strip() for line in drawn)])


@pytest.fixture(autouse=True)
def _nobody_s_computer(tmp_path, monkeypatch):
    """Neither the user's configuration nor data folders take part, and default paths lie in the test's folder."""
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    for name in ("REFSEG_DATA", "REFSEG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bench(capfd):
    """Run a command line in this process."""

    def run(*args):
        code = main([str(a) for a in args])
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def start():
    """Start a command line in a process of its own, with third parties' folders."""
    running = []

    def start(*args, plugins=()):
        # What is tested here is what the parent tests, also where it is not what is installed.
        path = os.pathsep.join([*map(str, plugins), *filter(None, [os.environ.get("PYTHONPATH")])])
        running.append(
            subprocess.Popen(
                [*MAIN, *map(str, args)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
                # A test run in the background ignores SIGINT, which a child would inherit.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def apart(start):
    """Run a command line in a process of its own, to its end."""

    def run(*args, plugins=()):
        process = start(*args, plugins=plugins)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """The example package as pip installs it; returns the folder."""
    source, target = tmp_path_factory.mktemp("source") / "discs", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(target))
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    return target


@pytest.fixture
def package(tmp_path):
    """Make an installed package by hand: ``package(name, entry points, module's text)``; returns its folder."""

    def make(name, points, text=""):
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        (site / f"{name}.py").write_text(text)
        return site

    return make


@pytest.fixture
def davis(tmp_path):
    """A copy of the real videos that a test may break."""
    shutil.copytree(MINI, tmp_path / "davis")
    return tmp_path / "davis"
