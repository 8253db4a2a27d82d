"""Zips of strangers: what is refused, and that nothing is ever written."""

import stat
import struct
import threading
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.bench.layouts import zips
from refseg.bench.layouts.files import open_files

CONTENT = {f"a/{i}.png": bytes([i]) * 700 for i in range(3)}
DIRECTORY = b"PK\x01\x02"


def deflated(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries:
            file.writestr(name, data)
    return path


@pytest.fixture
def in_directory(tmp_path):
    """Make a zip of one deflated megabyte, with a field of its list of files overwritten."""

    def make(offset, form, value):
        path = deflated(tmp_path / "x.zip", [("a.png", bytes(1 << 20))])
        data = bytearray(path.read_bytes())
        struct.pack_into(form, data, data.index(DIRECTORY) + offset, value)
        path.write_bytes(data)
        return path

    return make


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x.png", "a/../../x.png", "a//x.png", "./x.png", "C:/x.png", "a\\..\\x.png", "a/.."],
)
def test_a_name_that_leads_out_is_refused(zipped, name):
    with pytest.raises(InputError, match=r"x\.zip is refused: .*Make the zip of plain files only"):
        open_files(zipped([("fine.png", b""), (name, b"")]))


def test_a_name_that_a_zero_byte_ends_is_refused(tmp_path, zipped):
    path = zipped([("aXb.png", b"1")])
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    with pytest.raises(InputError, match="no relative path"):
        open_files(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(zipped, kind):
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (kind | 0o644) << 16
    with pytest.raises(InputError, match="link or a special file"):
        open_files(zipped([(info, b"/etc/passwd")]))


def test_a_name_twice_is_refused(zipped):
    with pytest.raises(InputError, match=r"'a\.png' stands in it twice"):
        open_files(zipped([("a.png", b"1"), ("a.png", b"2")]))


def test_names_that_differ_in_case_or_form_only_are_two_files(zipped):
    names = ["é.png", "e\u0301.png", "A.png", "a.png"]
    files = open_files(zipped([(n, n.encode()) for n in names]))
    assert {n: files.read(n) for n in files.names} == {n: n.encode() for n in names}


def test_utf_8_names_that_are_not_marked_so_are_read(zipped):
    path = zipped([("é.png", b"1")])
    data = bytearray(path.read_bytes())
    for signature, at in ((DIRECTORY, 8), (b"PK\x03\x04", 6)):
        flags = data.index(signature) + at
        struct.pack_into("<H", data, flags, struct.unpack_from("<H", data, flags)[0] & ~0x800)
    path.write_bytes(data)
    files = open_files(path)
    assert files.names == {"é.png"} and files.read("é.png") == b"1"


def test_names_of_other_code_pages_are_no_obstacle(zipped):
    path = zipped([("aX.png", b"1")])
    path.write_bytes(path.read_bytes().replace(b"aX", b"a\xff"))
    (name,) = open_files(path).names
    assert name.endswith(".png")


def test_an_escape_sequence_in_a_name_is_not_printed(zipped):
    with pytest.raises(InputError) as told:
        open_files(zipped([("../\x1b[2J.png", b"")]))
    assert "\x1b" not in str(told.value) and "\\x1b[2J" in str(told.value)


def test_an_encrypted_file_is_refused(in_directory):
    with pytest.raises(InputError, match="encrypted"):
        open_files(in_directory(8, "<H", 1))


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_without_a_bound_is_refused(tmp_path, how):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", how) as file:
        file.writestr("a.png", b"1")
    with pytest.raises(InputError, match="packed in another way than deflate"):
        open_files(tmp_path / "x.zip")


def test_large_files_and_bombs_are_refused(tmp_path, monkeypatch):
    path = deflated(tmp_path / "x.zip", [(f"{i}.png", bytes(1 << 20)) for i in range(4)])
    assert len(open_files(path).names) == 4
    with monkeypatch.context() as patch:
        patch.setattr(zips, "_RATIO_FROM", 1 << 21)
        with pytest.raises(InputError, match=r"would unpack from \d+ to 4194304 bytes"):
            open_files(path)
    with monkeypatch.context() as patch:
        patch.setattr(zips, "LARGEST_ZIP", 1 << 21)
        with pytest.raises(InputError, match="would unpack"):
            open_files(path)
    monkeypatch.setattr(zips, "LARGEST_FILE", 1 << 19)
    with pytest.raises(InputError, match="more than a mask can be"):
        open_files(path)


@pytest.mark.parametrize("zip64", [False, True])
def test_a_list_of_files_that_fills_the_memory_is_refused_before_it_is_read(zipped, monkeypatch, zip64):
    path = zipped([(f"{i}.png", b"") for i in range(100)])
    assert len(open_files(path).names) == 100
    if zip64:
        data = path.read_bytes()
        at = data.rindex(b"PK\x05\x06")
        size, offset = struct.unpack_from("<II", data, at + 12)
        end64 = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 100, 100, size, offset)
        locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
        end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
        path.write_bytes(data[:at] + end64 + locator + end)
        assert len(open_files(path).names) == 100
    monkeypatch.setattr(zips, "LARGEST_DIRECTORY", 1000)
    monkeypatch.setattr(zips, "_open", lambda path: pytest.fail("it was read"))
    with pytest.raises(InputError, match="its list of files alone takes"):
        open_files(path)


def test_a_size_that_lies_does_not_unpack_more(in_directory):
    import tracemalloc

    files = open_files(in_directory(24, "<I", 100))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="damaged"):
            files.read("a.png")
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
    finally:
        tracemalloc.stop()


def test_archives_in_a_zip_stay_closed(tmp_path, zipped):
    inner = deflated(tmp_path / "inner.zip", [("../x.png", b"1")])
    files = open_files(zipped([("inner.zip", inner.read_bytes())]))
    assert files.names == {"inner.zip"}


def test_damaged_zips_are_told(zipped):
    path = zipped([("a.png", b"0123456789" * 20)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(InputError, match="no zip or is damaged"):
        open_files(path)
    path.write_bytes(whole.replace(b"01234", b"01x34", 1))
    with pytest.raises(InputError, match=r"a\.png in .*x\.zip is damaged"):
        open_files(path).read("a.png")


def test_several_threads_read_at_once(tmp_path):
    entries = {f"{i}.png": bytes([i]) * 40_000 for i in range(40)}
    files = open_files(deflated(tmp_path / "x.zip", entries.items()))
    together = threading.Barrier(4)

    def read(k):
        together.wait(timeout=20)
        return {n: files.read(n) for n in [*entries][k:] + [*entries][:k]}

    with ThreadPoolExecutor(4) as pool:
        assert all(got == entries for got in pool.map(read, range(4)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 40),
    st.booleans(),
)
def test_no_damage_ends_in_anything_but_a_sentence_or_the_right_content(tmp_path, bytes_, cut, in_list):
    """Bytes of a zip, mostly of its list of files, are overwritten, and some are cut from its end."""
    folder = tmp_path / "fuzz"
    folder.mkdir(exist_ok=True)
    data = bytearray(deflated(folder / "x.zip", CONTENT.items()).read_bytes())
    start = data.index(DIRECTORY) if in_list else 0
    for at, value in bytes_:
        data[start + at % (len(data) - start)] = value
    (folder / "x.zip").write_bytes(data[: len(data) - cut])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            files = open_files(folder / "x.zip")
        except InputError as error:
            assert "x.zip" in str(error)
            return
    for name in files.names:
        try:
            assert files.read(name) in CONTENT.values()
        except InputError as error:
            assert "damaged" in str(error)
    assert [p.name for p in folder.iterdir()] == ["x.zip"]
