"""Command lines and configurations with anything in them."""

import json
from itertools import product

import pytest

HOSTILE = {
    "nothing": "",
    "a blank": " ",
    "a line break": "a\nb",
    "an escape sequence": "\x1b[2J\x1b[31mred",
    "half a character": "\udc80",
    "up": "../../escaped",
    "100,000 letters": "x" * 100_000,
    "a format string": "%s{0}{x}%n",
    "right to left": "\u202eeno",
    "an emoji": "🐎",
    "NaN": "nan",
    "a huge number": "9" * 500,
    "a negative number": "-1",
    "digits of another script": "４",
}
OPTIONS = (
    "--method",
    "--dataset",
    "--split",
    "--root",
    "--protocol",
    "--limit",
    "--set",
    "--device",
    "--dtype",
    "--jobs",
)

CONFIGS = {
    "datasets is a list": {"datasets": []},
    "datasets is a string": {"datasets": "folder"},
    "datasets is null": {"datasets": None},
    "a dataset's root is a number": {"datasets": {"folder": {"root": 7}}},
    "a dataset's root is a list": {"datasets": {"folder": {"root": ["in"]}}},
    "a dataset's root is empty": {"datasets": {"folder": {"root": ""}}},
    "a dataset's root is gone": {"datasets": {"folder": {"root": "/nowhere/at all"}}},
    "a dataset's root has a zero byte": {"datasets": {"folder": {"root": "in\0"}}},
    "a dataset's root is half a character": {"datasets": {"folder": {"root": "\ud800"}}},
    "a dataset's root steers the terminal": {"datasets": {"folder": {"root": "\x1b[2J"}}},
    "a dataset's root is too long": {"datasets": {"folder": {"root": "x" * 5000}}},
    "a dataset's root is a file": {"datasets": {"folder": {"root": "config.json"}}},
}
CHECKPOINTS = {
    "checkpoints is a list": {"checkpoints": []},
    "checkpoints is a string": {"checkpoints": "/weights"},
    "a checkpoint is a number": {"checkpoints": {"sam_vit_b": 7}},
    "a checkpoint is a list": {"checkpoints": {"sam_vit_b": ["x.pth"]}},
    "a checkpoint is gone": {"checkpoints": {"sam_vit_b": "/nowhere/x.pth"}},
    "a checkpoint has a zero byte": {"checkpoints": {"sam_vit_b": "x\0.pth"}},
    "a checkpoint is half a character": {"checkpoints": {"sam_vit_b": "\ud800"}},
    "a checkpoint is too long": {"checkpoints": {"sam_vit_b": "x" * 5000}},
}

CASES = {
    **{f"{option} {name}": (option, text) for option, (name, text) in product(OPTIONS, HOSTILE.items())},
    **{f"configuration: {name}": config for name, config in (CONFIGS | CHECKPOINTS).items()},
}
ARGUMENTS = {k: v for k, v in CASES.items() if isinstance(v, tuple)}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_argument(scene, judged, name):
    option, text = CASES[name]
    scene.videos()
    call = {"--method": "reader", "--dataset": "folder", "--root": "in"} | {option: text}
    words = [word for pair in call.items() for word in pair]
    # Where no protocol or split is named at all, the dataset's own is meant.
    codes = (
        (0,) if (option == "--protocol" and not text.strip()) or (option, text) == ("--split", "") else (2,)
    )
    judged("run", *words, "--no-page", "--out", "out", "--json", "-", codes=codes)


@pytest.mark.parametrize("name", CONFIGS)
def test_configured_dataset(scene, judged, name):
    scene.videos()
    scene.path("config.json").write_text(json.dumps(CONFIGS[name]))
    judged("run", "--method", "reader", "--dataset", "folder", "--no-page", "--out", "out")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_configured_checkpoint(scene, judged, name):
    dataset = scene.videos()
    scene.path("config.json").write_text(json.dumps(CHECKPOINTS[name]))
    judged("run", "--method", "refsam_vit_b", *dataset, "--no-page", "--out", "out")
