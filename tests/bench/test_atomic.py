import errno
import json
import os
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.bench import atomic
from refseg.bench.atomic import DiskFullError, safe_name, write_bytes, write_json
from refseg.bench.errors import InputError

HOSTILE = [
    "../../x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "C:x",
    "a\0b",
    "é",
    "\ud800",
    "%2e",
    " a ",
    ".tmp-1",
]


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 400])
def test_hostile_names_stay_in_their_folder(name, tmp_path):
    safe = safe_name(name)
    assert safe and PurePosixPath(safe).name == safe and not safe.startswith(".")
    assert len(safe.encode()) <= 200
    (tmp_path / safe).write_text("can be written")
    assert [p.name for p in tmp_path.iterdir()] == [safe]


@given(st.text(max_size=300), st.text(max_size=300))
def test_different_names_get_different_files(a, b):
    assert (safe_name(a) == safe_name(b)) == (a == b)


def test_plain_names_are_kept():
    assert safe_name("bike-packing_0.5 b") == "bike-packing_0.5 b"
    assert safe_name("a%b") == "a%25b"


def fails(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_sentence_and_leaves_the_earlier_file(tmp_path, monkeypatch, where, code):
    path = tmp_path / "sub" / "file"
    write_bytes(path, b"earlier")
    with monkeypatch.context() as patch:
        patch.setattr(os, where, fails(code))
        with pytest.raises(DiskFullError) as caught:
            write_bytes(path, b"later")
    assert "No space is left" in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert path.read_bytes() == b"earlier"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    write_bytes(path, b"later")
    assert path.read_bytes() == b"later"


def test_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"x")
    assert list(tmp_path.iterdir()) == []


def test_other_faults_of_the_system_are_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written: ") as caught:
        write_bytes(tmp_path / "file" / "below", b"x")
    assert not isinstance(caught.value, DiskFullError)


def test_json_is_strict(tmp_path):
    write_json(tmp_path / "a.json", {"ü": [1.5, None]})
    assert json.loads((tmp_path / "a.json").read_text("ascii")) == {"ü": [1.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text("ascii")) == {"ü": [1.5, None]}


def test_unfinished_files_are_known_by_their_name(tmp_path, monkeypatch):
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(Path(a)), replace(a, b)))
    write_bytes(tmp_path / "file", b"x")
    assert seen[0].parent == tmp_path and seen[0].name.startswith(atomic.TEMPORARY)
