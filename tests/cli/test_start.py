"""The command line starts without anything heavy, and its tables and JSON keep their form."""

import json
import shlex
import subprocess
import sys

import pytest

from refseg.bench import registry
from refseg.bench.cli.examples import EXAMPLES, subcommands
from refseg.bench.cli.parser import build_parser

HEAVY = (
    "torch",
    "numba",
    "numpy",
    "pycocotools",
    "cv2",
    "rich",
    "scipy",
    "refseg.methods",
    "refseg.datasets",
    "refseg.reports",
)


@pytest.mark.parametrize(
    "args", [["--help"], ["list"], ["run", "--help"], ["--version"], ["list", "nonsense"]]
)
def test_start_imports_nothing_heavy(args):
    code = (
        "import sys\nfrom refseg.bench.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in sys.modules if m.startswith({HEAVY!r})], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_every_command_has_a_help_with_examples():
    found = dict(subcommands(build_parser()))
    assert found.keys() == EXAMPLES.keys()
    for name, parser in found.items():
        text = parser.format_help()
        assert f"usage: bench {name} " in text and "examples:\n  # " in text
        # Descriptions are wrapped; examples stay on one line, to be copied.
        assert max(map(len, text.partition("examples:")[0].splitlines())) < 100


@pytest.mark.parametrize("command", [c for of_one in EXAMPLES.values() for _, c in of_one])
def test_examples_parse(command):
    words = shlex.split(command.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0])
    assert words[0] == "bench"
    args = build_parser().parse_args(words[1:])
    assert callable(args.run)


def test_names_alone_are_for_scripts_and_shells(bench):
    names = bench("list", "methods", "--names").out.splitlines()
    assert names == [n for n, e in registry.table("methods").items() if not e.error]
    assert bench("list", "--names").out.splitlines()[: len(names)] == names


def test_list_names_everything_once(bench):
    done = bench("list", "--json", "-")
    assert done.code == 0
    for kind, entries in done.json.items():
        assert [e["name"] for e in entries] == [*registry.table(kind)]
        assert all(e["summary"] for e in entries)
    text = bench("list").out
    assert all(f"  {name} " in text for table in map(registry.table, done.json) for name in table)
    only = bench("list", "datasets", "--json", "-").json
    assert [*only] == ["datasets"]


def test_broken_pipe_is_no_fault():
    command = f"{sys.executable} -c 'from refseg.bench.cli import main; raise SystemExit(main())' list | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stderr == ""


def test_json_goes_to_a_file_and_the_table_to_stdout(bench, tmp_path):
    done = bench("list", "--json", tmp_path / "new" / "list.json")
    assert done.out.startswith("methods\n")
    assert json.loads((tmp_path / "new" / "list.json").read_text()) == bench("list", "--json", "-").json


def test_fault_of_the_program_is_told_apart_from_wrong_input(bench, monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(registry, "table", broken)
    done = bench("list")
    assert done.code == 1 and done.sentence.startswith("a fault of this program, ZeroDivisionError: oh")
    monkeypatch.setenv("REFSEG_DEBUG", "1")
    assert "Traceback" in bench("list").err


def test_arguments_come_from_a_file(bench, tmp_path):
    (tmp_path / "list.args").write_text("# for the appendix\nmethods  # only these\n--json '-'\n")
    assert bench("list", "@list.args").json == bench("list", "methods", "--json", "-").json
    assert "gone.args" in bench("list", "@gone.args").sentence
    (tmp_path / "odd.args").write_text("'methods\n")
    assert "mend its quotes" in bench("list", "@odd.args").sentence


def test_folder_that_is_expected_is_drawn_below_the_sentence(bench):
    lines = bench("run", "--method", "empty", "--dataset", "refytvos").err.splitlines()
    assert lines[0].startswith("bench: The folder of refytvos is not set; give --root DIR")
    assert "    meta_expressions/valid/meta_expressions.json" in lines


def test_a_size_of_the_paper_says_at_once_what_files_it_needs(bench, monkeypatch, tmp_path):
    """Before the dataset's folder is looked for: a newcomer has neither."""
    monkeypatch.delenv("REFSEG_CHECKPOINTS", raising=False)
    done = bench("run", "--method", "refsam", "--dataset", "refytvos")
    assert done.code == 2 and len(done.err.splitlines()) == 1
    said = done.sentence
    assert said.startswith("2 checkpoints are missing: sam_vit_h_4b8939.pth (https://")
    assert "refsam_vit_h.safetensors (`bench train --method refsam_vit_h" in said
    assert "https://huggingface.co/google-t5/t5-3b" in said
    assert said.endswith("; `refsam_tiny` needs no file.")
    (tmp_path / "sam_vit_h_4b8939.pth").touch()
    (tmp_path / "refsam_vit_h.pth").touch()
    monkeypatch.setenv("REFSEG_CHECKPOINTS", str(tmp_path))
    done = bench("run", "--method", "refsam", "--dataset", "refytvos")
    assert done.sentence.startswith("The folder of refytvos is not set")
    (tmp_path / "refsam_vit_h.pth").unlink()
    options = ("--set", f"text_checkpoint={tmp_path}")
    said = bench("run", "--method", "refsam_vit_h", "--dataset", "refshapes", *options).sentence
    assert said.startswith("A checkpoint is missing: refsam_vit_h.safetensors") and "google-t5" not in said
