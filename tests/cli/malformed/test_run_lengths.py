"""Run lengths that do not fill their image, as MeViS's truth, as COCO's, and as stored predictions."""

import json
import zlib

import numpy as np
import pytest
from pycocotools import mask as coco

H, W = 16, 24


def block(t):
    mask = np.zeros((H, W), np.uint8)
    mask[:8, 8 * t : 8 * t + 8] = 1
    return mask


def counts(mask):
    return coco.encode(np.asfortranarray(mask))["counts"].decode("ascii")


SOUND = counts(block(0))
HUGE = counts(np.ones((4000, 3000), np.uint8))

CODES = {
    "empty": "",
    "one run too few": SOUND[:-1],
    "cut in half": SOUND[: len(SOUND) // 2],
    "one run too many": SOUND + "5",
    "a larger image's": HUGE,
    "a smaller image's": counts(np.ones((4, 4), np.uint8)),
    "never ends": "o" * 50,
    "a number of 10,000 groups": "o" * 10_000 + "0",
    "a negative run": "@" + SOUND,
    "a first run below zero": "n" + SOUND[1:],
    "characters that are no code": "\x00\x01\x02",
    "letters above the code": "~~~~",
    "no ASCII": "Ωλ",
    "an emoji": "🐎",
    "a control character": SOUND + "\n",
    "half a character": "\ud800",
    "an escape sequence": "\x1b[2J",
}
LISTS = {
    "a list: empty": [],
    "a list: too few": [0, 5],
    "a list: too many": [0, 10**6],
    "a list: negative": [-5, H * W + 5],
    "a list: beyond 32 bits": [0, 2**32 + H * W],
    "a list: fractions": [0.5, H * W - 0.5],
    "a list: text": ["0", str(H * W)],
    "a list: true": [True, H * W - 1, None],
    "a list of lists": [[0, H * W]],
    "a number": H * W,
    "nothing": None,
    "an object": {"0": H * W},
}
SIZES = {
    "size: turned": [W, H],
    "size: zero": [0, 0],
    "size: negative": [-H, -W],
    "size: one number": [H],
    "size: huge": [2**31, 2**31],
    "size: text": [str(H), str(W)],
    "size: nothing": None,
    "size: fractions": [16.5, 24.5],
}
WHOLE = {
    "no object": 7,
    "a string": "x",
    "a list": [1, 2],
    "without counts": {"size": [H, W]},
    "without size": {"counts": SOUND},
}

CODED = {name: {"size": [H, W], "counts": code} for name, code in (CODES | LISTS).items()}
CODED |= {name: {"size": size, "counts": SOUND} for name, size in SIZES.items()} | WHOLE
POLYGONS = {
    "polygon: two points": [[0, 0, 8, 8]],
    "polygon: odd": [[0, 0, 8, 0, 8]],
    "polygon: text": [["0", "0", "8", "0", "8", "8"]],
    "polygon: far away": [[1000, 1000, 1008, 1000, 1008, 1008]],
    "polygon: no area": [[4, 4, 4, 4, 4, 4]],
    "polygon: infinite": [[0, 0, float("inf"), 0, 8, 8]],
    "polygon: beyond 64 bits": [[0, 0, 1e300, 0, 8, 8]],
    "polygon: a million units away": [[-1e7, -1e7, -1e7 - 8, -1e7, -1e7, -1e7 - 8]],
    "polygon: nested": [[[0, 0, 8, 0, 8, 8]]],
    "polygon: nothing": [],
}

CASES = {
    **{f"mevis: {name}": rle for name, rle in CODED.items()},
    **{f"coco: {name}": rle for name, rle in (CODED | POLYGONS).items()},
    **{f"stored: {name}": code for name, code in CODES.items()},
}


@pytest.mark.parametrize("name", CODED)
def test_truth_of_videos(scene, run_reader, name):
    dataset = scene.mevis()
    scene.change("in/valid_u/mask_dict.json", lambda m: m["7"].__setitem__(0, CASES[f"mevis: {name}"]))
    run_reader(dataset)


@pytest.mark.parametrize("name", CODED | POLYGONS)
def test_truth_of_images(scene, run_reader, name):
    dataset = scene.refer()
    segmentation = CASES[f"coco: {name}"]
    scene.change("in/refcoco/instances.json", lambda c: c["annotations"][0].update(segmentation=segmentation))
    run_reader(dataset)


@pytest.mark.parametrize("name", CODES)
def test_stored_prediction_with_a_right_checksum(scene, bench, score, judged, name):
    """Whoever writes such a file can write its checksum too."""
    dataset = scene.videos()
    assert bench("run", "--method", "reader", *dataset, "--no-page", "--out", "made", "--jobs", "1").code == 0
    path = scene.path("made/predictions/one/0.json")
    content = json.loads(path.read_text())
    content["masks"][0] = CODES[name]
    own = {k: v for k, v in content.items() if k not in ("format", "check")}
    content["check"] = zlib.crc32(json.dumps(own, sort_keys=True).encode("ascii"))
    path.write_text(json.dumps(content))
    score("made", dataset)
    judged("export", "made", "--layout", "ytvos", "--out", "out")
