"""Old names work under a warning that says what to write; none outlives the version in which it was to go."""

import argparse
from importlib import metadata

import pytest
from packaging.version import Version

import refseg.bench
from refseg.bench.deprecation import CHANGES, Change, OldOption, RefsegDeprecationWarning, moved_name

RUN_ALL = {"run_all": Change("run", since="0.1", gone="0.3")}


def test_old_name_warns_and_is_the_new_one():
    with pytest.warns(
        RefsegDeprecationWarning, match=r"refseg.bench.run_all is deprecated .* gone in 0.3; use run\."
    ):
        assert moved_name("run_all", RUN_ALL) == "run"
    assert moved_name("run", RUN_ALL) == "run"


def test_old_name_of_the_package_warns_where_it_is_written(monkeypatch):
    monkeypatch.setattr(refseg.bench, "moved_name", lambda name: moved_name(name, RUN_ALL))
    with pytest.warns(RefsegDeprecationWarning):
        assert refseg.bench.run_all is refseg.bench.run


def test_old_option_is_told_and_taken(capsys):
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--new")
    parser.add_argument("--old", action=OldOption, dest="new", change=Change("--new", "0.1", "0.3"))
    assert parser.parse_args(["--old", "x"]).new == "x"
    assert capsys.readouterr().err == (
        "bench: warning: --old is deprecated since version 0.1 and will be gone in 0.3; use --new.\n"
    )
    assert "--old" not in parser.format_help()


def test_nothing_outlives_its_version():
    try:
        version = Version(metadata.version("refseg-bench"))
    except metadata.PackageNotFoundError:
        pytest.skip("refseg-bench is not installed, so it has no version")
    late = [old for old, change in CHANGES.items() if Version(change.gone) <= version]
    assert not late, f"take these away: {late}"
    assert all(Version(c.since) < Version(c.gone) for c in {**CHANGES, **RUN_ALL}.values())
