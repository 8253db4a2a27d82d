"""Strangers' zips of masks and of runs: nothing is unpacked, followed, believed or left behind."""

import io
import stat
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

H, W = 16, 24
MASK = "one/0/00000.png"


def mask(t=0):
    array = np.zeros((H, W), np.uint8)
    array[:8, 8 * t : 8 * t + 8] = 255
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


SOUND = {f"{video}/0/0000{t}.png": mask(t) for video in ("one", "two") for t in (0, 1)}


def zipped(files=SOUND, more=(), compression=zipfile.ZIP_DEFLATED, comment=b""):
    """A zip of sound masks, and then of ``more``: (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in [*files.items(), *more]:
            file.writestr(name, content)
        file.comment = comment
    return buffer.getvalue()


def entry(name, mode=0, compression=zipfile.ZIP_DEFLATED):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.compress_type = 3, mode << 16, compression
    return info


def renamed(old, new):
    """A zip in which a name was changed after zipfile, which mends names itself, wrote it."""
    assert len(old) == len(new)
    return zipped(more=[(old, mask())]).replace(old.encode(), new if isinstance(new, bytes) else new.encode())


def patched(offset, form, value, signature=b"PK\x01\x02", data=None):
    """A zip with a field of the list of files overwritten in its first entry."""
    out = bytearray(zipped() if data is None else data)
    struct.pack_into(form, out, out.index(signature) + offset, value)
    return bytes(out)


def bomb(size):
    return zipped(more=[("one/0/bomb.png", bytes(size))])


def overlapping(count=3000):
    """Many names for one compressed file (D. Fifield's bomb): the list of files points all of them to one place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("one/0/00000.png", bytes(50 << 20))
        first = file.infolist()[0]
        for i in range(count):
            info = zipfile.ZipInfo(f"one/0/{i:05d}x.png")
            info.header_offset, info.CRC, info.compress_type = 0, first.CRC, first.compress_type
            info.compress_size, info.file_size = first.compress_size, first.file_size
            file.filelist.append(info)
            file.NameToInfo[info.filename] = info
        file._didModify = True
    return buffer.getvalue()


WHOLE = zipped()
HARMLESS = {"a count that is too large"}
"""What no reader needs: these are scored, and right."""

LINK, PIPE, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o666, stat.S_IFCHR | 0o666

CASES = {
    "empty file": b"",
    "two bytes": b"PK",
    "text": b"no zip at all" * 20,
    "a tar": b"one/0/00000.png".ljust(257, b"\0") + b"ustar\0" + bytes(249),
    "gzip": b"\x1f\x8b\x08" + bytes(40),
    "a zip of nothing": zipped({}),
    "the end alone": WHOLE[-22:],
    "cut before its end": WHOLE[:-10],
    "cut in half": WHOLE[: len(WHOLE) // 2],
    "its beginning is gone": WHOLE[100:],
    "up": zipped(more=[("../../escaped.png", mask())]),
    "up from inside": zipped(more=[("one/0/../../../escaped.png", mask())]),
    "absolute": renamed("xtmp/escaped.png", "/tmp/escaped.png"),
    "two slashes": renamed("xxone/0/x.png", "//one/0/x.png"),
    "backslashes": renamed("xx.xx.escaped", "..\\..\\escaped"),
    "a drive": renamed("Cxescaped.png", "C:escaped.png"),
    "a zero byte in a name": renamed("one/0/x.pngxh", b"one/0/x.png\0h"),
    "a dot": zipped(more=[("./one/0/x.png", mask())]),
    "an empty part": zipped(more=[("one//x.png", mask())]),
    "a link to a file": zipped(more=[(entry("one/0/link.png", LINK), "/etc/passwd")]),
    "a link to a folder": zipped(more=[(entry("three", LINK), "/etc")]),
    "a link that is a mask": zipped(
        {k: v for k, v in SOUND.items() if k != MASK}, [(entry(MASK, LINK), "00001.png")]
    ),
    "a pipe": zipped(more=[(entry("one/0/pipe.png", PIPE), "")]),
    "a device": zipped(more=[(entry("one/0/null.png", DEVICE), "")]),
    "the same name twice": renamed("one/0/0000x.png", MASK),
    "encrypted": patched(8, "<H", 1),
    "packed by bzip2": zipped(compression=zipfile.ZIP_BZIP2),
    "packed by LZMA": zipped(compression=zipfile.ZIP_LZMA),
    "packed in no known way": patched(10, "<H", 99),
    "a file of 4 GiB": patched(24, "<I", 0xFFFFFFF0),
    "a size that is too small": patched(24, "<I", 5),
    "a packed size beyond the end": patched(20, "<I", 0x7FFFFFFF),
    "a wrong checksum": patched(16, "<I", 12345),
    "a place beyond the end": patched(42, "<I", 0x7FFFFFFF),
    "a place in the middle": patched(42, "<I", 17),
    "another name inside": WHOLE.replace(b"one/0/00000.png", b"one/0/0000z.png", 1),
    "another local signature": WHOLE.replace(b"PK\x03\x04", b"PK\x03\x05", 1),
    "a count that is too large": patched(10, "<H", 60_000, b"PK\x05\x06"),
    "a list of 4 GiB": patched(12, "<I", 0xFFFFFFF0, b"PK\x05\x06"),
    "a list that begins beyond the end": patched(16, "<I", 0xFFFFFFF0, b"PK\x05\x06"),
    "zip64 without its record": patched(12, "<I", 0xFFFFFFFF, b"PK\x05\x06"),
    "data that do not inflate": WHOLE[:60] + b"\xff" * 20 + WHOLE[80:],
    "a bomb of 100 MiB": bomb(100 << 20),
    "many names of one bomb": overlapping(),
    "a bomb that lies about its size": patched(24, "<I", 300, data=zipped({**SOUND, MASK: bytes(60 << 20)})),
    "a zip in a zip": zipped({"masks.zip": WHOLE}),
    "a name that is no UTF-8": renamed("one/0/xxxx.png", b"one/0/\xff\xfe\x80\x81.png")[:-40],
    "an escape sequence in a name": zipped({"\x1b[2Jone/0/00000.png": mask()}),
    "a run whose record is no JSON": zipped({"run.json": b"{"}),
    "two records": zipped({"a/run.json": b"{}", "b/run.json": b"{}"}),
    "a record that names a folder above": zipped(
        {"run.json": b'{"key": "k", "dataset": {"root": "../../.."}}'}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_zip(scene, score, name):
    dataset = scene.videos()
    scene.path("masks.zip").write_bytes(CASES[name])
    score("masks.zip", dataset, codes=(0,) if name in HARMLESS else (2,))


@pytest.mark.parametrize("name", CASES)
def test_zip_as_a_method(scene, judged, name):
    dataset = scene.videos()
    scene.path("masks.zip").write_bytes(CASES[name])
    command = ("run", "--method", "folder", "--set", "path=masks.zip", *dataset, "--no-page", "--out", "out")
    judged(*command, "--jobs", "1", "--json", "-", codes=(0,) if name in HARMLESS else (2, 3))


def test_the_sound_zip_is_scored(scene, score):
    dataset = scene.videos()
    scene.path("masks.zip").write_bytes(zipped(comment=b"made by hand"))
    score("masks.zip", dataset, codes=(0,))
