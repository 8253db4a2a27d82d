"""Frames that are no frames: a video costs itself, the others are scored; what cannot be opened at all is refused."""

import io
import struct
import zlib

import pytest
from PIL import Image

H, W = 16, 24
FRAME = "in/valid/JPEGImages/one/00001.jpg"


def picture(form="JPEG", size=(W, H), mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *, depth=8, colour=2, data=b"", before=b"", interlace=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + before
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def jpeg_header(width, height):
    """A JPEG that says another size than it holds."""
    data = bytearray(picture())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


JPEG = picture()
LINES = b"".join(b"\0" + bytes(3 * W) for _ in range(H))

CASES = {
    "empty": b"",
    "one byte": b"\xff",
    "a signature alone": JPEG[:3],
    "a quarter": JPEG[: len(JPEG) // 4],
    "cut in its scan": JPEG[:-12],
    "text": b"this is no picture\n",
    "zero bytes": bytes(4096),
    "HTML": b"<!DOCTYPE html><title>404 Not Found</title>",
    "a pickle": b"cposix\nsystem\n(S'touch escaped'\ntR.",
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="16"/>',
    "an EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 16\n%%EndComments\n(escaped) (w) file\nshowpage\n",
    "a PDF": b"%PDF-1.7\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF",
    "no quantisation table": JPEG.replace(b"\xff\xdb", b"\xff\xfe"),
    "a bad Huffman table": flipped(JPEG, JPEG.index(b"\xff\xc4") + 8),
    "a JPEG that says 65,535 x 65,535": jpeg_header(65535, 65535),
    "a JPEG that says 0 x 0": jpeg_header(0, 0),
    "another size": picture(size=(W + 1, H)),
    "turned": picture(size=(H, W)),
    "1x1": picture(size=(1, 1)),
    "8K in a small video": picture(size=(7680, 4320), quality=1),
    "grey": picture(mode="L"),
    "CMYK": picture(mode="CMYK"),
    "a PNG with transparency": picture("PNG", mode="RGBA"),
    "a palette PNG": picture("PNG", mode="P"),
    "a PNG of 16 bits": picture("PNG", mode="I;16"),
    "a PNG that says 2,147,483,647 pixels a side": png(2**31 - 1, 2**31 - 1, data=LINES),
    "a PNG that says 60,000 x 60,000": png(60000, 60000, data=LINES),
    "a PNG of no pixel": png(0, 0),
    "a PNG without data": png(W, H),
    "a PNG of half its lines": png(W, H, data=LINES[: len(LINES) // 2]),
    "a PNG of an impossible depth": png(W, H, depth=3, data=LINES),
    "a PNG of an impossible colour": png(W, H, colour=5, data=LINES),
    "a PNG with a wrong filter": png(W, H, data=b"\x09" + LINES[1:]),
    "a PNG whose text unpacks to 1 GiB": png(
        W, H, data=LINES, before=chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 26), 9))
    ),
    "a PNG with a false checksum": flipped(png(W, H, data=LINES), 30),
    "a GIF": picture("GIF", mode="P"),
    "a TIFF": picture("TIFF"),
    "a BMP": picture("BMP"),
}


@pytest.mark.parametrize("name", CASES)
def test_frame(scene, run_reader, name):
    dataset = scene.videos()
    scene.path(FRAME).write_bytes(CASES[name])
    done = run_reader(dataset, codes=(3,))
    (failure,) = done.json["failures"]
    assert failure["video"] == "one" and "00001.jpg" in failure["error"] and "\n" not in failure["error"]
    assert {i["video"] for i in done.json["items"]} == {"two"}


@pytest.mark.parametrize("name", [n for n in CASES if n != "8K in a small video"])
def test_every_frame_of_the_only_video(scene, run_reader, name):
    dataset = scene.videos()
    scene.change("in/meta_expressions/valid/meta_expressions.json", lambda m: m["videos"].pop("two") and None)
    for frame in ("00000", "00001"):
        scene.path(f"in/valid/JPEGImages/one/{frame}.jpg").write_bytes(CASES[name])
    run_reader(dataset, codes=(2, 3))
