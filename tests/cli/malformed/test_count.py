"""How many malformed inputs there are; a few of them through a process of its own."""

import importlib.util
import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
LEAST = 300


def cases(name):
    spec = importlib.util.spec_from_file_location(f"counted_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CASES


def test_there_are_at_least_300_of_all_kinds():
    found = {p.stem: len(cases(p.stem)) for p in FOLDER.glob("test_*.py") if "\nCASES = {" in p.read_text()}
    kinds = (
        "json",
        "names",
        "metadata",
        "pictures",
        "masks",
        "zips",
        "pickles",
        "run_lengths",
        "checkpoints",
    )
    assert {*found} >= {f"test_{kind}" for kind in (*kinds, "arguments", "extremes")}
    assert sum(found.values()) >= LEAST and min(found.values()) >= 7, found


@pytest.mark.parametrize(
    ("kind", "name", "file"),
    [
        ("test_zips", "up", "masks.zip"),
        ("test_zips", "a bomb of 100 MiB", "masks.zip"),
        ("test_masks", "predicted mask: half of the lines", "masks/one/0/00001.png"),
    ],
)
def test_a_process_of_its_own_says_the_same(scene, apart, kind, name, file):
    dataset = scene.videos()
    scene.masks()
    case = cases(kind)[name]
    scene.path(file).write_bytes(case if isinstance(case, bytes) else case[1])
    done = apart("score", file.partition("/")[0], *dataset, plugins=(os.environ.get("PYTHONPATH", ""),))
    assert done.code == 2 and len(done.sentence) > 20
