import pickle
import stat
import struct
import warnings
import zipfile

import pytest

from refseg.bench.errors import InputError
from refseg.bench.layouts import files as module
from refseg.bench.layouts.files import open_files


def zipped(path, entries):
    with zipfile.ZipFile(path, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, data in entries:
            file.writestr(name, data)
    return path


def test_a_folder_and_its_zip_hold_the_same_files(tmp_path):
    names = {"a/b/c.png": b"1", "a/d.txt": b"22", "top": b""}
    for name, data in names.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for files in (open_files(tmp_path / "folder"), open_files(zipped(tmp_path / "x.zip", names.items()))):
        assert files.names == set(names)
        assert {n: files.read(n) for n in files.names} == names
        again = pickle.loads(pickle.dumps(files))
        assert again.read("a/b/c.png") == b"1"


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    junk = ["__MACOSX/a/._x.png", ".DS_Store", "a/.hidden/x.png", "a/Thumbs.db"]
    files = open_files(zipped(tmp_path / "x.zip", [(n, b"") for n in [*junk, "a/x.png"]]))
    assert files.names == {"a/x.png"}


def test_links_in_a_folder_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x.png").write_bytes(b"1")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert open_files(tmp_path).names == {"real/x.png", "link/x.png"}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x.png", "a/../../x.png", "a//x.png", "./x.png", "C:/x.png", "a\\..\\x.png"]
)
def test_a_zip_that_leads_out_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"x\.zip is refused: "):
        open_files(zipped(tmp_path / "x.zip", [("fine.png", b""), (name, b"")]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_zip_with_links_or_devices_is_refused(tmp_path, kind):
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (kind | 0o644) << 16
    with pytest.raises(InputError, match="link or a special file"):
        open_files(zipped(tmp_path / "x.zip", [(info, b"/etc/passwd")]))


def test_a_name_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"'a\.png' stands in it twice"):
        open_files(zipped(tmp_path / "x.zip", [("a.png", b"1"), ("a.png", b"2")]))


def test_an_encrypted_file_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", [("a.png", b"1")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        open_files(path)


def test_large_files_and_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(4):
            file.writestr(f"{i}.png", bytes(1 << 20))
    assert len(open_files(path).names) == 4
    monkeypatch.setattr(module, "_RATIO_FROM", 1 << 21)
    with pytest.raises(InputError, match="would unpack"):
        open_files(path)
    monkeypatch.setattr(module, "LARGEST_FILE", 1 << 19)
    with pytest.raises(InputError, match="more than a mask can be"):
        open_files(path)


def test_a_size_that_lies_does_not_unpack_more(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        open_files(path).read("a.png")


def test_damaged_zips_are_told(tmp_path):
    path = zipped(tmp_path / "x.zip", [("a.png", b"0123456789" * 20)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="no zip or is damaged"):
        open_files(path)
    path.write_bytes(whole.replace(b"01234", b"01x34", 1))
    with pytest.raises(InputError, match=r"a\.png in .*x\.zip is damaged"):
        open_files(path).read("a.png")


def test_what_is_not_there_or_is_no_zip(tmp_path):
    with pytest.raises(InputError, match="do not exist"):
        open_files(tmp_path / "none")
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match="no zip"):
        open_files(tmp_path / "x.png")
