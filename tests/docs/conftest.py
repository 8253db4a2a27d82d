"""The pages, and a folder to work in that holds what their commands ask for."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINI = ROOT / "tests/data/ref-davis-mini"


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Nobody's computer: an empty configuration, a folder ``results`` of another program's masks."""
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for name in ("REFSEG_DATA", "REFSEG_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "work"
    shutil.copytree(MINI / "results/osvos", folder / "results")
    monkeypatch.chdir(folder)
    return folder
