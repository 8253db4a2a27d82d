"""Shells complete commands, options and registered names."""

import shutil
import subprocess
import sys

import pytest

from refseg.bench.cli.completion import SHELLS, script
from refseg.bench.cli.parser import build_parser

BENCH = f"""
bench() {{ {sys.executable} -c 'from refseg.bench.cli import main; main()' "$@"; }}
complete_words() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_bench; echo "${{COMPREPLY[@]}}"; }}
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path):
    (tmp_path / "bench.bash").write_text(script(build_parser(), "bash") + BENCH)
    asked = (
        "complete_words bench che\n"
        "complete_words bench run --images\n"
        "complete_words bench run --method refsam_t\n"
        "complete_words bench check-dataset refsh\n"
    )
    done = subprocess.run(
        ["bash", "-c", f"source {tmp_path}/bench.bash\n{asked}"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "check-method check-dataset",
        "--images-at-once",
        "refsam_tiny",
        "refshapes",
    ]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell, bench):
    done = bench("completion", shell)
    assert done.code == 0 and "bench list methods --names" in done.out


def test_completion_without_shtab_is_one_sentence(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "pip install shtab" in bench("completion", "bash").sentence


def test_unknown_shell_is_refused(bench):
    assert "'bash'" in bench("completion", "bas").sentence
