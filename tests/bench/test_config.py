import json
from pathlib import Path

import pytest

from refseg.bench.config import cache_folder, config_path, find_root, load_config, set_root
from refseg.bench.datacheck import check_dataset
from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest
from refseg.datasets.index import indexed


@pytest.fixture
def folders(tmp_path):
    made = {}
    for name in ("given", "configured", "shared"):
        made[name] = tmp_path / name
        (made[name] / "refdavis17").mkdir(parents=True)
    return made


def test_what_is_given_comes_before_the_configuration_before_the_environment(folders, monkeypatch):
    assert find_root("refdavis17", None) is None
    monkeypatch.setenv("REFSEG_DATA", str(folders["shared"]))
    assert find_root("refdavis17", None) == str(folders["shared"] / "refdavis17")
    assert find_root("refcoco", None) is None
    set_root("refdavis17", str(folders["configured"]))
    assert find_root("refdavis17", None) == str(folders["configured"])
    assert find_root("refdavis17", str(folders["given"])) == str(folders["given"])


def test_setting_one_root_keeps_the_others_and_is_absolute(folders, monkeypatch):
    monkeypatch.chdir(folders["given"])
    set_root("a", ".")
    set_root("b", str(folders["shared"]))
    assert load_config()["datasets"] == {
        "a": {"root": str(folders["given"])},
        "b": {"root": str(folders["shared"])},
    }


def test_root_that_is_not_there_says_who_named_it(folders, tmp_path):
    with pytest.raises(InputError, match="--root"):
        find_root("refdavis17", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="is empty"):
        find_root("refdavis17", "")
    set_root("refdavis17", str(folders["configured"]))
    (folders["configured"] / "refdavis17").rmdir()
    folders["configured"].rmdir()
    with pytest.raises(InputError, match=r"the configuration .*config\.json"):
        find_root("refdavis17", None)
    with pytest.raises(InputError, match="not a folder"):
        set_root("refdavis17", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("content", ["{", "[]", '{"datasets": []}', "\xff\xfe"])
def test_broken_configuration_is_named_and_not_overwritten(content, tmp_path):
    config_path().write_text(content, "latin-1")
    for act in (load_config, lambda: find_root("x", None), lambda: set_root("x", str(tmp_path))):
        with pytest.raises(InputError, match=r"config\.json"):
            act()
    assert config_path().read_text("latin-1") == content


def test_place_of_the_configuration(monkeypatch):
    monkeypatch.delenv("REFSEG_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert config_path() == Path("/x/refseg/config.json")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert config_path() == Path("/h/.config/refseg/config.json")


def test_file_is_json_that_people_can_edit(tmp_path):
    path = set_root("refdavis17", str(tmp_path))
    assert json.loads(path.read_text()) == {"datasets": {"refdavis17": {"root": str(tmp_path)}}}
    assert path.read_text().count("\n") > 2


def test_what_can_be_made_again_is_kept_where_the_user_says_or_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("REFSEG_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("REFSEG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "refseg"


def test_a_check_and_an_index_do_without_a_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REFSEG_CACHE", "")
    monkeypatch.chdir(tmp_path)
    assert indexed("x", tmp_path, [], "a", lambda: {"a": b"1"}, revision=1) == b"1"
    report = check_dataset(DatasetRequest("refshapes", "no_target"), quick=True)
    assert not report["faults"]
    assert not list(tmp_path.iterdir())
