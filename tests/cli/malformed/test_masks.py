"""Masks and label maps that are none, as the truth and as predictions: never a score, always the file's name."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

H, W = 16, 24


def encoded(array, mode=None, form="PNG", palette=False, **options):
    image = Image.fromarray(array, mode) if mode else Image.fromarray(array)
    if palette:
        image.putpalette([0, 0, 0, 128, 0, 0])
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def block():
    mask = np.zeros((H, W), np.uint8)
    mask[:8, 8:16] = 1
    return mask


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=W, height=H, *, depth=8, colour=0, data=b"", interlace=0):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


LINES = b"".join(b"\0" + bytes(row) for row in block() * 255)
SOUND = encoded(block() * 255)
LABELS = encoded(block(), palette=True)

BROKEN = {
    "empty": b"",
    "one byte": b"\x89",
    "a signature alone": SOUND[:8],
    "a header alone": SOUND[:33],
    "cut in its data": SOUND[: SOUND.index(b"IDAT") + 8],
    "cut before its end": SOUND[:-16],
    "zero bytes": bytes(500),
    "text": b"no mask",
    "a JPEG": encoded(block() * 255, form="JPEG"),
    "a GIF": encoded(block() * 255, form="GIF"),
    "a TIFF": encoded(block() * 255, form="TIFF"),
    "an array of numpy": b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '|O', 'fortran_order': False, 'shape': (16, 24)}",
    "a flipped bit": SOUND[:50] + bytes([SOUND[50] ^ 1]) + SOUND[51:],
    "another width": encoded(np.zeros((H, W + 1), np.uint8)),
    "another height": encoded(np.zeros((H - 1, W), np.uint8)),
    "turned": encoded(np.zeros((W, H), np.uint8)),
    "1x1": encoded(np.zeros((1, 1), np.uint8)),
    "8K": encoded(np.zeros((4320, 7680), np.uint8)),
    "says 2,147,483,647 pixels a side": png(2**31 - 1, 2**31 - 1, data=zlib.compress(LINES)),
    "no pixel": png(0, 0, data=zlib.compress(b"")),
    "no data": png(data=b""),
    "data that do not inflate": png(data=b"\x78\x9c" + b"\xff" * 40),
    "half of the lines": png(data=zlib.compress(LINES[: len(LINES) // 2])),
    "data that inflate to 64 MiB": png(data=zlib.compress(bytes(1 << 26), 9)),
    "a wrong filter": png(data=zlib.compress(b"\x07" + LINES[1:])),
    "an impossible depth": png(depth=5, data=zlib.compress(LINES)),
    "an impossible colour": png(colour=1, data=zlib.compress(LINES)),
    "an impossible interlace": png(interlace=7, data=zlib.compress(LINES)),
    "colours": encoded(np.stack([block() * 255] * 3, axis=2)),
    "colours and transparency": encoded(np.stack([block() * 255] * 4, axis=2)),
    "grey and transparency": encoded(np.stack([block() * 255] * 2, axis=2), mode="LA"),
    "16 bits": encoded(block().astype(np.uint16) * 65535),
}
VALUES = {
    "probabilities": encoded(block() * 200 + 17),
    "0 and 128": encoded(block() * 128),
    "smoothed edges": encoded(
        np.clip(block().astype(int) * 255 - 3, 0, 255).astype(np.uint8) | (block() * 4)
    ),
    "ids above 1": encoded(block() * 2),
}
GREYS = {
    "a grey mask": SOUND,
    "a palette turned grey": encoded(block() * 38),
    "an id above all": encoded(block() * 99),
}

CASES = {
    **{f"predicted mask: {n}": ("masks/one/0/00001.png", d, "ytvos") for n, d in (BROKEN | VALUES).items()},
    **{f"predicted labels: {n}": ("masks/one/00001.png", d, "davis") for n, d in (BROKEN | GREYS).items()},
    **{
        f"truth: {n}": ("in/valid/Annotations/one/00001.png", d, "ytvos") for n, d in (BROKEN | GREYS).items()
    },
}


@pytest.mark.parametrize("name", CASES)
def test_mask(scene, score, name):
    file, data, layout = CASES[name]
    dataset = scene.videos()
    scene.masks(layout)
    scene.path(file).write_bytes(data)
    done = score("masks", dataset, "--layout", layout)
    assert "one" in done.sentence and "00001.png" in done.sentence
