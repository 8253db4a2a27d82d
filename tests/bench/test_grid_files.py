"""Grids from TOML files: what they hold, what is refused, and a run of one."""

import re
from pathlib import Path

import pytest

from refseg.bench.ablation import GridRequest, grid_folder
from refseg.bench.errors import InputError
from refseg.bench.grid_files import read_grid
from refseg.bench.grids import Grid, Setting, Training

DOCS = Path(__file__).parents[2] / "docs/ablations.md"

WHOLE = """
title = "Layers"
note = "Small."
dataset = "refshapes"
split = "test"
base = "one"
attributes = ["type", "needs_time"]

[[trainings]]
name = "images"
recipe = "refsam_refshapes"
options = {image_steps = 40, lr = 1e-3, use_adapter = false}
takes = ["mlp_layers"]
quick = {image_steps = 2}

[[trainings]]
name = "clips"
recipe = "refsam_refshapes"
method = "refsam_tiny"
options = {start = "{images}"}

[[settings]]
label = "one"
method = "refsam_tiny"
switches = {mlp_layers = 1}
training = {lr = "0.002"}

[[settings]]
label = "two"
method = "refsam_tiny"
options = {threshold = 0.4, track_token = true}
seeded = true
"""

SMALL = """
dataset = "refshapes"
[[settings]]
label = "a"
method = "empty"
"""


@pytest.fixture
def read(tmp_path):
    def read(text, name="mine"):
        path = tmp_path / f"{name}.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_grid(path)

    return read


def test_a_file_is_the_grid_that_python_would_make(read):
    images = Training(
        "images",
        "refsam_refshapes",
        {"image_steps": "40", "lr": "0.001", "use_adapter": "false"},
        takes=("mlp_layers",),
        quick={"image_steps": "2"},
    )
    clips = Training("clips", "refsam_refshapes", {"start": "{images}"}, method="refsam_tiny")
    one = Setting("one", "refsam_tiny", switches={"mlp_layers": "1"}, training={"lr": "0.002"})
    two = Setting("two", "refsam_tiny", {"threshold": "0.4", "track_token": "true"}, seeded=True)
    assert read(WHOLE) == Grid(
        "mine",
        "Layers",
        "refshapes",
        (one, two),
        attributes=("type", "needs_time"),
        split="test",
        trainings=(images, clips),
        base="one",
        note="Small.",
    )


def test_the_file_in_the_documentation_is_one(read):
    (block,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    grid = read(block, "thresholds")
    assert [(s.label, dict(s.options)) for s in grid.settings] == [
        ("a half", {}),
        ("a third", {"threshold": "0.33"}),
    ]
    assert grid.base == "a half" and not grid.trainings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff\xfe", "is no TOML"),
        ("title = ", "is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
        ('dataset = "refshapes"', r"has no \[\[settings\]\]"),
        ('settings = "all"\ndataset = "refshapes"', "settings must be tables"),
        ("settings = [1]", "settings must be tables"),
        (SMALL.replace("dataset", "datset"), "Unknown key of .*mine.toml 'datset'. Did you mean 'dataset'"),
        (SMALL.replace("refshapes", "refshape"), "Unknown dataset 'refshape'"),
        (SMALL.replace("empty", "emptiness"), "Unknown method 'emptiness'"),
        (SMALL.replace('label = "a"', ""), "settings 1 has no label"),
        (SMALL.replace('label = "a"', "label = 3"), "label must be a text; found 3"),
        (SMALL.replace('label = "a"', 'label = ""'), "label must be a text"),
        (SMALL + "published = 'x'", "Unknown key of .*settings 1 'published'"),
        (SMALL + "options = 3", "options must be options"),
        (SMALL + "options = {a = [1]}", "options must be options"),
        (SMALL + "seeded = 1", "seeded must be true or false; found 1"),
        ("attributes = 'type'\n" + SMALL, "attributes must be a list of texts"),
        ("base = 'b'\n" + SMALL, "Unknown base of .* 'b'"),
        (SMALL + SMALL.partition('refshapes"\n')[2], "two settings with the label 'a'"),
        (
            WHOLE.replace("{images}", "{image}"),
            "Unknown training in start of .* 'image'. Did you mean 'images'",
        ),
        (WHOLE.replace("{images}", "{images.__class__}"), "Unknown training"),
        (WHOLE.replace("{images}", "{images"), "has a single brace"),
        (WHOLE.replace('name = "clips"', 'name = "../clips"'), "calls a training '../clips'"),
        (WHOLE.replace('name = "clips"', 'name = "images"'), "calls a training 'images'"),
        (WHOLE.replace('recipe = "refsam_refshapes"', 'recipe = "none"', 1), "Unknown recipe 'none'"),
    ],
)
def test_what_is_no_grid_is_refused_in_a_sentence(read, text, said):
    with pytest.raises(InputError, match=said) as refused:
        read(text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 900


def test_a_missing_file_and_the_folder_of_a_strange_name(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_grid(tmp_path / "none.toml")
    folder = grid_folder(GridRequest("elsewhere/..toml"))
    assert folder.parent == Path("runs") and ".." not in folder.parts
