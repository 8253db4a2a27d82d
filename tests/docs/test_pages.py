"""Every block of commands in the docs is run, or says why not; names and links that stand in them exist."""

import argparse
import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from refseg.bench import registry
from refseg.bench.cli import main
from refseg.bench.cli.parser import build_parser
from refseg.bench.conformance import METHOD_CHECKS

ROOT = Path(__file__).parents[2]
MINI = ROOT / "tests/data/ref-davis-mini"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A block may stand in a list.
FENCE = re.compile(r"^ *```(?P<language>bash|python)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- (?P<kind>run|big|needs|test command)(?:, exit (?P<exit>\d))?(?: [^>]*)?-->\n\Z")
SPAN = re.compile(r"`([^`]+)`")
# What a shell would do something with.
SHELL = set("$|>&;`*(")


@dataclass(frozen=True)
class Block:
    """A block of commands.

    Attributes:
        place: Page and line.
        language: ``bash`` or ``python``.
        body: The commands.
        kind: How it is tested; empty where the page does not say so.
        code: The exit code that its last command has.
    """

    place: str
    language: str
    body: str
    kind: str
    code: int = 0


def blocks_of(page):
    text = page.read_text("utf-8")
    for found in FENCE.finditer(text):
        mark = MARK.search(text[: found.start()])
        line = text[: found.start()].count("\n") + 1
        yield Block(
            f"{page.name}:{line}",
            found["language"],
            found["body"],
            mark["kind"] if mark else "",
            int(mark["exit"] or 0) if mark else 0,
        )


def commands_of(block):
    """Yield the command lines of a block, those that go on in the next line as one, without comments."""
    for line in block.body.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def run_block(block):
    body = block.body.replace("/data/ref-davis", str(MINI)).replace(".venv/bin/", "")
    block = Block(block.place, block.language, body, block.kind, block.code)
    if block.language == "python":
        # A page's blocks go on from one another.
        exec(compile(body, block.place, "exec"), NAMES)
        return
    lines = list(commands_of(block))
    if all(line.startswith("bench ") and not SHELL & set(line) for line in lines):
        codes = []
        for line in lines:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
                try:
                    codes.append(main(shlex.split(line, comments=True)[1:]))
                except SystemExit as left:
                    codes.append(left.code)
            assert codes[-1] == (block.code if line == lines[-1] else 0), (
                f"{block.place}: {line}\n{said.getvalue()}"
            )
        return
    bench = f"bench() {{ {sys.executable} -c 'from refseg.bench.cli import main; raise SystemExit(main())' \"$@\"; }}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{bench}\n{body}"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == block.code, f"{block.place}:\n{done.stdout}{done.stderr}"


NAMES: dict = {}
BLOCKS = {page.name: list(blocks_of(page)) for page in PAGES}


def test_every_block_says_how_it_is_tested():
    silent = [b.place for blocks in BLOCKS.values() for b in blocks if not b.kind]
    assert not silent, f"write <!-- run -->, <!-- big --> or <!-- needs REASON --> above: {silent}"


@pytest.mark.parametrize("page", [p for p, blocks in BLOCKS.items() if any(b.kind == "run" for b in blocks)])
def test_blocks_run_one_after_the_other(page, work):
    NAMES.clear()
    for block in BLOCKS[page]:
        if block.kind == "run":
            run_block(block)


@pytest.mark.big
@pytest.mark.parametrize("page", [p for p, blocks in BLOCKS.items() if any(b.kind == "big" for b in blocks)])
def test_long_blocks_run_after_the_short_ones(page, work):
    NAMES.clear()
    for block in BLOCKS[page]:
        if block.kind in ("run", "big"):
            run_block(block)


def options_of(parser, path=()):
    """Yield each subcommand's words with the options that it knows."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    yield path, {*parser._option_string_actions}
    for group in groups:
        for name, inner in group.choices.items():
            yield from options_of(inner, (*path, name))


def test_commands_and_options_in_the_text_exist():
    known = dict(options_of(build_parser()))
    # The simulation of many workers is a program of its own.
    every = {option for options in known.values() for option in options} | {"--ids", "--writers"}
    commands = 0
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        # A span may go on in the next line; fences have a test of their own.
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for words in (span.split() for span in SPAN.findall(text)):
            options = {w.partition("=")[0] for w in words if w.startswith("--")}
            if words[:1] == ["bench"] and words[1:2] not in (["COMMAND"], []):
                path = next((p for p in (tuple(words[1:3]), tuple(words[1:2])) if p in known), ())
                assert path or words[1].startswith("-"), f"{page.name}: there is no {' '.join(words)}"
                assert options <= known[path] | {"--help"}, f"{page.name}: {' '.join(words)}"
                commands += 1
            elif words[0].startswith("--") and page.name != "others.md":
                assert options <= every, f"{page.name}: no command has {options - every}"
    assert commands > 60


def test_every_command_line_parses():
    """Also those that cannot be run here."""
    lines = [
        line for blocks in BLOCKS.values() for b in blocks if b.language == "bash" for line in commands_of(b)
    ]
    commands = [line.replace(".venv/bin/", "").strip() for line in lines]
    commands = [c for c in commands if c.startswith("bench ")]
    assert len(commands) > 40
    for command in commands:
        words = shlex.split(re.split(r" (?:>|\||&&) ", command)[0], comments=True)[1:]
        if {"-h", "--help", "--version"} & {*words}:
            continue
        try:
            build_parser().parse_args([w for w in words if w != "||" and w != "true"])
        except Exception as error:
            pytest.fail(f"{command}: {error}")


def test_every_name_stands_on_its_page():
    for kind, page in (("methods", "methods.md"), ("protocols", "scoring.md"), ("datasets", "datasets.md")):
        text = (ROOT / "docs" / page).read_text("utf-8")
        missing = [n for n, e in registry.TABLE[kind].items() if f"`{n}`" not in text]
        assert not missing, f"docs/{page} says nothing of {missing}"


def test_every_command_is_in_the_list_of_commands():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/commands.md").read_text("utf-8"), re.MULTILINE)
    listed = {name for row in rows for name in SPAN.findall(row) if not name.startswith("REFSEG")}
    assert listed == {path[0] for path, _ in options_of(build_parser()) if path}


def test_every_file_of_the_harness_is_in_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| in `bench/` |")[2].partition("\n## ")[0]
    listed = {
        name.rstrip("/")
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in SPAN.findall(row)
    }
    there = {p.name for p in (ROOT / "bench").iterdir() if p.suffix == ".py" or p.is_dir()}
    assert listed == there - {"__init__.py", "__pycache__"}


def test_questions_of_the_conformance_suite_are_told():
    text = (ROOT / "docs/own_method.md").read_text("utf-8").partition("| question |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [*METHOD_CHECKS]


def test_messages_of_the_faq_are_messages_of_the_program():
    files = [p for part in ("bench", "methods", "datasets", "reports") for p in (ROOT / part).rglob("*.py")]
    # A message may go on in the next line of the source.
    code = re.sub(r"[\"']\s*\n\s*f?[\"']", "", "\n".join(p.read_text("utf-8") for p in files))
    messages = re.findall(r"\*\*`([^`]+)`", (ROOT / "docs/faq.md").read_text("utf-8"))
    parts = [part.strip(" ,") for message in messages for part in message.split("…")]
    assert len(messages) > 15
    assert not [part for part in parts if len(part) >= 6 and part not in code]


def test_every_page_is_in_the_site():
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("nav:")[2]
    missing = [p.name for p in PAGES[1:] if f": {p.name}\n" not in nav]
    assert not missing, f"mkdocs.yml, nav: add {missing}"


def test_links_between_files_lead_somewhere():
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
