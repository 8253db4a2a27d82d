import os
import pickle

import pytest

from refseg.bench.errors import InputError
from refseg.bench.layouts import files as module
from refseg.bench.layouts.files import open_files


def test_a_folder_and_its_zip_hold_the_same_files(tmp_path, zipped):
    names = {"a/b/c.png": b"1", "a/d.txt": b"22", "top": b""}
    for name, data in names.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for files in (open_files(tmp_path / "folder"), open_files(zipped(names.items()))):
        assert files.names == set(names)
        assert {n: files.read(n) for n in files.names} == names
        assert files.read("a/d.txt", 1) == b"2"
        again = pickle.loads(pickle.dumps(files))
        assert again.read("a/b/c.png") == b"1"


def test_what_systems_leave_behind_is_passed_over(tmp_path, zipped):
    junk = ["__MACOSX/a/._x.png", ".DS_Store", "a/.hidden/x.png", "a/Thumbs.db", "a/__MACOSX/x.png"]
    assert open_files(zipped([(n, b"") for n in [*junk, "a/x.png"]])).names == {"a/x.png"}
    for name in [*junk, "a/x.png"]:
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).touch()
    assert open_files(tmp_path / "folder").names == {"a/x.png"}


def test_links_in_a_folder_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x.png").write_bytes(b"1")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    assert open_files(tmp_path).names == {"real/x.png", "link/x.png"}


def test_what_is_not_there_or_is_no_zip(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        open_files(tmp_path / "none")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match="no zip"):
        open_files(tmp_path / "x.png")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no file and no folder"):
        open_files(tmp_path / "pipe")


def test_a_file_that_goes_away_or_is_too_large_is_told(tmp_path, monkeypatch):
    (tmp_path / "x.png").write_bytes(b"12345")
    files = open_files(tmp_path)
    monkeypatch.setattr(module, "LARGEST_FILE", 4)
    with pytest.raises(InputError, match=r"x\.png in .* holds 5 bytes, more than a mask can"):
        files.read("x.png")
    (tmp_path / "x.png").unlink()
    with pytest.raises(InputError, match=r"x\.png in .* cannot be read: No such file"):
        files.read("x.png")


def test_names_cannot_steer_a_terminal(tmp_path):
    (tmp_path / "a\x1b[2J.png").touch()
    files = open_files(tmp_path)
    (name,) = files.names
    assert files.shown(name).startswith("a\\x1b[2J.png in ")
