"""Names in a file that become parts of paths or messages: videos, expressions, frames, images, runs."""

from itertools import product

import pytest

from refseg.bench.atomic import safe_name

NAMES = {
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "up": "../../escaped",
    "down and up": "a/../../../escaped",
    "a folder": "a/b",
    "absolute": "/tmp/escaped",
    "backslashes": "..\\..\\escaped",
    "a drive": "C:escaped",
    "a drive and a folder": "C:\\escaped",
    "a stream": "one:stream",
    "a zero byte": "one\0.jpg",
    "a line break": "one\ntwo",
    "a carriage return": "one\rtwo",
    "a tab": "one\ttwo",
    "an escape sequence": "\x1b[2J\x1b[31mone",
    "a C1 control": "\x9b31mone",
    "delete": "one\x7f",
    "a leading blank": " one",
    "a trailing blank": "one ",
    "a lone surrogate": "one\ud800",
    "300 letters": "x" * 300,
    "200 letters of two bytes": "é" * 200,
}

UNUSUAL = {
    "a percent code": "%2e%2e%2fone",
    "a tilde": "~root",
    "an option": "--help",
    "a wildcard": "*",
    "a shell command": "$(touch escaped)",
    "quotes": "'\"`",
    "markup": "<img src=x onerror=alert(1)>",
    "a reserved name": "CON",
    "right to left": "\u202eeno",
    "a separator of lines": "one\u2028two",
    "composed and not": "e\u0301é",
    "an emoji": "🐎",
    "a leading dot": ".one",
}
"""Names that are odd and allowed: they must stay in their folder and in their line."""


def video(meta, name):
    meta["videos"][name] = meta["videos"].pop("one")


def expression(meta, name):
    said = meta["videos"]["one"]["expressions"]
    said[name] = said.pop("0")


def frame(meta, name):
    meta["videos"]["one"]["frames"][0] = name


CASES = {
    f"{place.__name__}: {name}": (place, NAMES[name])
    for place, name in product((video, expression, frame), NAMES)
}
CASES |= {f"image: {name}": (None, NAMES[name]) for name in NAMES}
ODD = {
    f"{place.__name__}: {name}": (place, UNUSUAL[name])
    for place, name in product((video, expression), UNUSUAL)
}
IMAGES = {k: v for k, v in CASES.items() if v[0] is None}
VIDEOS = {k: v for k, v in CASES.items() if v[0] is not None}


@pytest.mark.parametrize("name", VIDEOS)
def test_name_that_is_no_name(scene, run_reader, name):
    place, text = CASES[name]
    dataset = scene.videos()
    scene.change("in/meta_expressions/valid/meta_expressions.json", lambda meta: place(meta, text))
    done = run_reader(dataset)
    assert "meta_expressions.json" in done.sentence


@pytest.mark.parametrize("name", IMAGES)
def test_image_that_is_no_name(scene, run_reader, name):
    dataset = scene.refer()
    _, text = CASES[name]
    scene.change("in/refcoco/instances.json", lambda coco: coco["images"][0].update(file_name=text))
    done = run_reader(dataset)
    assert "instances.json" in done.sentence


@pytest.mark.parametrize("name", ODD)
def test_odd_name_is_used_as_it_is(scene, run_reader, tmp_path, name):
    place, text = ODD[name]
    dataset = scene.videos()
    scene.change("in/meta_expressions/valid/meta_expressions.json", lambda meta: place(meta, text))
    if place is video:
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / f"in/valid/{kind}/one").rename(tmp_path / f"in/valid/{kind}/{text}")
    done = run_reader(dataset, codes=(0,))
    assert {i["video" if place is video else "expression"] for i in done.json["items"]} >= {text}
    own = f"{safe_name(text)}/0.json" if place is video else f"one/{safe_name(text)}.json"
    assert (tmp_path / "out/predictions" / own).is_file()
