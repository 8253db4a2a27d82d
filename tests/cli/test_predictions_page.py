"""docs/predictions.md says what the program does."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from refseg.bench.layouts.findings import FAULTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/predictions.md").read_text(encoding="utf-8")
OTHERS = {
    "missing_video",
    "missing_expression",
    "missing_frame",
    "mixed_values",
    "empty",
    "misnamed",
    "extra",
}


def test_every_finding_is_explained():
    told = {m[1] for m in re.finditer(r"^\| `(\w+)` \| (?:missing|error|note) \|", PAGE, re.MULTILINE)}
    assert told == {*FAULTS, *OTHERS, "one_annotator", "lost_overlap", "lost_scores"}


def test_the_example_prints_what_the_page_shows(bench, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "tests/data/ref-davis-mini", tmp_path / "tests/data/ref-davis-mini")
    monkeypatch.chdir(tmp_path)
    example = PAGE.partition("<!-- example -->")[2].partition("<!-- end -->")[0].strip().strip("`").strip()
    for step in example.removeprefix("$ ").split("\n$ "):
        command, _, shown = step.partition("\n")
        name, *args = shlex.split(command)
        if name == "cp":
            shutil.copytree(args[1], args[2])
        elif name == "rm":
            Path(args[0]).unlink()
        elif name == "mv":
            Path(args[0]).rename(args[1])
        else:
            done = bench(*args)
            assert done.code == 2
            printed = [line for line in done.err.splitlines() if line.startswith("bench: ")]
            assert shown.splitlines() == [*done.out.splitlines(), *printed]


@pytest.mark.parametrize("link", re.findall(r"`((?:tests|bench|docs)/[\w/.-]+\.\w+)`", PAGE))
def test_files_that_the_page_names_are_there(link):
    assert (ROOT / link).is_file()
