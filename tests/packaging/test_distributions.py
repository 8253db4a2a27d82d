"""Wheel and sdist hold what they should, and nothing at the top level that belongs to somebody else.

``REFSEG_TEST_DIST`` names a folder whose files are looked into (tox's ``build``); else they are built here.
"""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="session")
def dist(tmp_path_factory):
    given = os.environ.get("REFSEG_TEST_DIST")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("dist")
    build = (
        f"import setuptools.build_meta as b\nout = {str(folder)!r}\nb.build_sdist(out)\nb.build_wheel(out)\n"
    )
    # In a copy, so that the tree is left without build/ and *.egg-info.
    source = tmp_path_factory.mktemp("source") / "tree"
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, files.decode().split("\0")):
        path = ROOT / name
        if path.exists() or path.is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                (source / name).symlink_to(os.readlink(path))
            else:
                os.link(path, source / name)
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="session")
def sdist(dist):
    (path,) = dist.glob("*.tar.gz")
    return tarfile.open(path)


def expected(pattern):
    return {
        f"refseg/{p.relative_to(ROOT).as_posix()}"
        for part in ("bench", "methods", "datasets", "reports")
        for p in (ROOT / part).rglob(pattern)
        if "__pycache__" not in p.parts
    }


def test_wheel_takes_one_name_at_the_top_level(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"refseg", f"refseg_bench-{PROJECT['version']}.dist-info"}
    assert {n.split("/")[1] for n in wheel.namelist() if n.startswith("refseg/")} == {
        "bench",
        "methods",
        "datasets",
        "reports",
    }


@pytest.mark.parametrize(
    "pattern", ["*.py", "*.safetensors", "*.json", "*.txt", "py.typed", "*.html", "*.css", "*.js"]
)
def test_wheel_holds_code_weights_templates_and_types(wheel, pattern):
    assert expected(pattern) <= {*wheel.namelist()}
    assert pattern in ("*.css", "*.js", "*.html") or expected(pattern)


def test_wheel_has_weights_that_are_whole(wheel):
    for name in expected("*.safetensors"):
        assert wheel.getinfo(name).file_size == (ROOT / name.removeprefix("refseg/")).stat().st_size > 10_000


def test_wheel_registers_the_command_and_names_its_licence(wheel):
    (info,) = {n.partition("/")[0] for n in wheel.namelist() if ".dist-info/" in n}
    assert "bench = refseg.bench.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata and f"{info}/licenses/LICENSE" in wheel.namelist()
    for requirement in PROJECT["dependencies"]:
        assert f"Requires-Dist: {requirement}\n" in metadata


def test_sdist_is_enough_to_build_from(sdist):
    names = {n.partition("/")[2] for n in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/refseg/bench/types.py"} <= names
    packed = {n.removeprefix("src/") for n in names}
    assert expected("*.py") | expected("*.safetensors") | expected("py.typed") <= packed
    assert not any(n.endswith((".pyc", ".egg-link")) for n in names)


def test_version_has_a_section_in_the_change_log():
    base = PROJECT["version"].partition(".dev")[0]
    assert f"\n## {base} (" in (ROOT / "CHANGELOG.md").read_text("utf-8")
