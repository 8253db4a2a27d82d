"""The README's first command, as somebody runs it who has nothing yet."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.big
def test_readme_s_command_prints_what_the_readme_shows(tmp_path):
    text = (ROOT / "README.md").read_text("utf-8")
    command, shown = re.search(r"## Run it\n.*?```bash\n(.*?)```.*?```\n(.*?)```", text, re.DOTALL).groups()
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=tmp_path / "clone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == shown.strip()
