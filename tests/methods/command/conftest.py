"""A program in a file of its own, as somebody else would write it, and videos to run it on."""

import sys

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.types import Expression, MethodRequest, Video

SIZE = (20, 30)

HEAD = """
import json, os, sys, time
from pathlib import Path
import numpy as np
from PIL import Image

work = Path(sys.argv[-1])
request = json.loads((work / "request.json").read_text())


def answer(expression, frame):
    pixels = np.array(Image.open(work / "frames" / f"{frame}.png"))
    return (pixels[..., 0] > 100) if "bright" in expression["text"] else (pixels[..., 0] < 50)


def write(expression, frame, mask):
    Image.fromarray(mask.astype(np.uint8) * 255).save(work / "masks" / expression["folder"] / f"{frame}.png")
"""

ALL = """
for expression in request["expressions"]:
    for frame in request["frames"]:
        write(expression, frame, answer(expression, frame))
"""


@pytest.fixture
def program(tmp_path):
    """Write a program; returns what ``--set run=`` takes."""

    def write(body=ALL, *arguments):
        path = tmp_path / "program with space.py"
        path.write_text(HEAD + body)
        return " ".join([sys.executable, "-I", f"'{path}'", *arguments])

    return write


@pytest.fixture
def build():
    """Build the method ``command``."""

    def made(run, device="cpu", **options):
        texts = {name: str(value) for name, value in options.items()}
        return registry.build_method(MethodRequest("command", {"run": run, **texts}, device))

    return made


@pytest.fixture
def video():
    """Three frames whose left part is bright and whose right part is dark; ids that are no file names."""

    def read(t):
        frame = np.full((*SIZE, 3), 70, np.uint8)
        frame[:, : 5 + t] = 200
        frame[:, 20:] = 10
        return frame

    said = (Expression("../0", "the bright part"), Expression("ü/1", "the dark part; $(touch pwned) `id` 'x"))
    return Video("set/video 1", ("a/1", "a/2", "a/3"), SIZE, said, read)
