import subprocess
import sys
from importlib import metadata

import pytest

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.types import MethodRequest

KINDS = ("methods", "datasets", "protocols", "grids", "recipes")


@pytest.fixture
def installed(monkeypatch):
    """Pretends that entry points are installed: ``installed(("methods", "name", "module:attribute", "dist"))``."""

    class Dist:
        def __init__(self, name):
            self.name, self.version = name, "1.0"

    class Point:
        def __init__(self, name, value, dist):
            self.name, self.value, self.dist = name, value, Dist(dist)

    def install(*points):
        def entry_points(*, group):
            return [Point(n, v, d) for kind, n, v, d in points if group == f"refseg.{kind}"]

        monkeypatch.setattr(metadata, "entry_points", entry_points)
        registry.forget_plugins()

    yield install
    monkeypatch.undo()
    registry.forget_plugins()


def test_every_built_in_leads_to_a_file_of_this_package():
    # Only the file is looked for: importing them all would need torch and take long.
    from importlib.util import find_spec

    for kind in KINDS:
        for name, entry in registry.TABLE[kind].items():
            module, _, attribute = entry.target.partition(":")
            assert attribute and find_spec(module) is not None, name
            assert entry.summary and "\n" not in entry.summary


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        ("methods", "refsam_tinny", "refsam_tiny"),
        ("datasets", "refdavis", "refdavis17"),
        ("protocols", "refdavis/publishd", "refdavis/published"),
        ("grids", "control", "controls"),
    ],
)
def test_unknown_name_tells_the_nearest_and_all(kind, wrong, meant):
    with pytest.raises(InputError) as caught:
        registry.entry(kind, wrong)
    text = str(caught.value)
    near, _, known = text.partition("Known:")
    assert repr(wrong) in near and repr(meant) in near
    assert all(name in known for name in registry.TABLE[kind])
    assert caught.value.exit_code == 2


def test_name_that_resembles_nothing_still_lists_all():
    with pytest.raises(InputError, match=r"Unknown method 'zzzz'\. Known: ") as caught:
        registry.entry("methods", "zzzz")
    assert "Did you mean" not in str(caught.value)


def test_taken_name_is_refused_naming_both_sides():
    def mine(request):
        return request

    with pytest.raises(InputError) as caught, registry.registered("methods", "oracle", mine):
        pass
    assert "refseg.methods.controls:build" in str(caught.value) and "mine" in str(caught.value)
    with (
        registry.registered("methods", "new", mine),
        pytest.raises(InputError, match="'new' is taken by caller"),
    ):
        registry.register("methods", "new", mine)
    assert "new" not in registry.table("methods")


def test_plugin_is_listed_with_its_package_and_built(installed):
    installed(("methods", "theirs", "collections:Counter", "their-package"))
    entry = registry.table("methods")["theirs"]
    assert (entry.provider, entry.error) == ("their-package 1.0", "")
    assert type(registry.resolve("methods", "theirs")()).__name__ == "Counter"


def test_plugin_that_claims_a_built_in_name_is_left_out_and_told(installed, capsys):
    installed(("methods", "oracle", "evil:build", "their-package"))
    assert registry.entry("methods", "oracle").target == "refseg.methods.controls:build"
    told = capsys.readouterr().err
    assert "their-package 1.0 (evil:build)" in told and "refseg-bench (refseg.methods.controls:build)" in told


def test_name_that_two_plugins_claim_is_refused_and_the_rest_works(installed, capsys):
    installed(
        ("datasets", "both", "one:build", "package-one"),
        ("datasets", "both", "two:build", "package-two"),
        ("datasets", "alone", "collections:Counter", "package-two"),
    )
    with pytest.raises(InputError) as caught:
        registry.resolve("datasets", "both")
    for text in (str(caught.value), capsys.readouterr().err):
        assert "package-one 1.0 (one:build)" in text and "package-two 1.0 (two:build)" in text
    assert registry.resolve("datasets", "alone")
    assert registry.resolve("datasets", "refdavis17")


def test_package_installed_twice_in_the_same_version_is_no_clash(installed, capsys):
    installed(*[("methods", "twin", "collections:Counter", "package")] * 2)
    assert registry.resolve("methods", "twin")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", ["no_colon", ":attribute", "module:", ""])
def test_malformed_entry_point_is_left_out_and_told(installed, capsys, value):
    installed(("methods", "odd", value, "their-package"), ("methods", "fine", "collections:Counter", "x"))
    assert "odd" not in registry.table("methods") and "fine" in registry.table("methods")
    assert "'odd' of their-package 1.0 is left out" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["no_such_module_anywhere:build", "collections:NoSuchThing", "os:sep"])
def test_broken_plugin_is_one_sentence_that_names_its_package(installed, target):
    installed(("methods", "broken", target, "their-package"))
    with pytest.raises(InputError) as caught:
        registry.build_method(MethodRequest("broken"))
    assert target in str(caught.value) and "their-package" in str(caught.value)


def test_plugins_cannot_bring_grids_or_recipes(installed):
    installed(("grids", "theirs", "a:b", "p"), ("recipes", "theirs", "a:b", "p"))
    assert "theirs" not in registry.table("grids") and "theirs" not in registry.table("recipes")


def test_method_lists():
    assert registry.expand_methods("oracle") == ["oracle"]
    assert registry.expand_methods(" full, empty ,full,") == ["full", "empty"]
    with registry.registered("methods", "other_tiny", dict):
        tiny = registry.expand_methods("all_tiny")
        assert {"refsam_tiny", "other_tiny"} <= {*tiny} and all(n.endswith("_tiny") for n in tiny)
        assert registry.expand_methods("refsam_tiny,all_tiny") == tiny
    for nothing in ("", ",", " , "):
        with pytest.raises(InputError, match="names no method"):
            registry.expand_methods(nothing)
    with pytest.raises(InputError, match=r"'oracel'.*'oracle'"):
        registry.expand_methods("full,oracel")


def test_listing_imports_no_method():
    code = (
        "import sys; from refseg.bench import registry; [registry.table(k) for k in "
        f"{KINDS!r}]; print(sorted(m for m in sys.modules if m.startswith(('refseg.methods', 'torch', 'numpy'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
