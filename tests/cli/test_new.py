"""A package that ``bench new`` writes is installed, checked and run as it is."""

import ast
import os
import subprocess
import sys

import pytest


@pytest.fixture
def installed(bench, tmp_path):
    """Write both packages and install them by pip into a folder of their own; returns it."""
    for kind, name in (("method", "my_method"), ("dataset", "my_videos")):
        assert bench("new", kind, name).code == 0
    site = tmp_path / "site"
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(site))
    packages = ("./refseg-my-method", "./refseg-my-videos")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *packages], check=True)
    return site


def test_packages_work_as_they_are(installed, apart):
    tests = ["refseg-my-method/test_my_method.py", "refseg-my-videos/test_my_videos.py"]
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir=.",
            *tests,
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0 and "2 passed" in ran.stdout, ran.stdout
    listed = apart("list", "methods", "--names", plugins=[installed])
    assert "my_method" in listed.out.splitlines()


def test_files_and_what_comes_next_are_told(bench):
    done = bench("new", "method", "my_method", "--out", "plugins/mine")
    lines = done.out.splitlines()
    assert lines[:3] == [
        f"plugins/mine/{n}" for n in ("pyproject.toml", "refseg_my_method.py", "test_my_method.py")
    ]
    assert "  bench check-method my_method" in lines
    for file in lines[1:3]:
        with open(file, encoding="utf-8") as source:
            tree = ast.parse(source.read())
        assert ast.get_docstring(tree) and "$" not in ast.unparse(tree)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("method", "My-Method", "cannot name a method"),
        ("method", "class", "cannot name a method"),
        ("method", "../x", "cannot name a method"),
        ("method", "refsam_tiny", "is taken by refseg-bench"),
        ("dataset", "refshapes", "is taken by refseg-bench"),
        ("plugin", "x", "Unknown kind 'plugin'"),
    ],
)
def test_names_that_cannot_be_are_refused(bench, tmp_path, kind, name, said):
    assert said in bench("new", kind, name).sentence
    assert not [*tmp_path.iterdir()]


def test_nothing_that_is_there_is_written_over(bench, tmp_path):
    (tmp_path / "refseg-mine").mkdir()
    assert "is there already" in bench("new", "method", "mine").sentence
    assert not [*(tmp_path / "refseg-mine").iterdir()]
    (tmp_path / "file").write_text("")
    done = bench("new", "method", "mine", "--out", "file/below")
    assert done.code == 2 and sorted(p.name for p in tmp_path.iterdir()) == ["file", "refseg-mine"]
