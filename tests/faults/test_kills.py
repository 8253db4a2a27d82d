"""Commands that are killed at random moments and go on end where uninterrupted ones do: SIGKILL to real processes.

Half of the moments are times (of the processor), half are changes of files (before the n-th file is opened for
writing, renamed or deleted), which on a loaded machine are the ones that hit where it hurts.
"""

import csv
import json
import random
import shutil
from pathlib import Path

import pytest

# The default suite kills a few; the long form as many as a user is promised.
KILLS = [
    pytest.param(6, id="short"),
    pytest.param(50, id="long", marks=pytest.mark.big),
]
MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


def files(folder, pattern="**/*"):
    """Return what is in a folder, but for locks and what tells of times."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.glob(pattern))
        if p.is_file() and p.name not in (".lock", "run.json")
    }


def killed_and_resumed(forks, command, out, *, kills, seed, check_part, check_whole):
    """Kill a command at random moments, again and again on what it left, and check what it leaves at every end.

    Args:
        forks: Runs it.
        command: Gives the command line, from its folder.
        out: The folder.
        kills: How many.
        seed: Of the moments.
        check_part: Is called with the folder after every kill.
        check_whole: Is called with the folder whenever the command came to its end.
    """
    rng = random.Random(seed)
    whole = forks.run(*command(out))
    assert whole.code == 0, whole.text
    shutil.rmtree(out)
    done = 0
    while True:
        moment = {}
        if done < kills and rng.random() < 0.5:
            moment = {"kill_after": rng.uniform(0, 0.8 * whole.cpu)}
        elif done < kills:
            moment = {"die_at": rng.randint(1, max(1, whole.changes // 2))}
        ended = forks.run(*command(out), **moment)
        if ended.killed:
            done += 1
            check_part(out)
            continue
        assert ended.code == 0, ended.text
        check_whole(out)
        if done >= kills:
            return
        shutil.rmtree(out)


def run_command(dataset="tiles", *more):
    def command(out):
        return ("run", "--method", "faulty", "--dataset", dataset, "--no-page", "--out", out, *more)

    return command


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_run_ends_as_an_uninterrupted_one(forks, tmp_path, kills):
    command = run_command("tiles", "--set", "dataset.videos=10")
    assert forks.run(*command(tmp_path / "whole")).code == 0
    expected = files(tmp_path / "whole")
    assert len(expected) == 31 and "result.json" in expected

    def part(out):
        if out.exists():
            found = {n: c for n, c in files(out).items() if not Path(n).name.startswith(".tmp-")}
            assert found.items() <= expected.items()

    def whole(out):
        assert files(out) == expected
        assert json.loads((out / "run.json").read_bytes())["status"] == "done"

    killed_and_resumed(
        forks, command, tmp_path / "run", kills=kills, seed=kills, check_part=part, check_whole=whole
    )


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="short"), pytest.param(50, id="long", marks=pytest.mark.big)]
)
def test_a_killed_run_of_real_videos_keeps_its_label_maps_whole(forks, tmp_path, kills):
    command = ("--root", MINI, "--limit", 1)

    def empty(out):
        return ("run", "--method", "empty", "--dataset", "refdavis17", "--no-page", "--out", out, *command)

    assert forks.run(*empty(tmp_path / "whole")).code == 0
    expected = files(tmp_path / "whole")
    labels = {n for n in expected if n.startswith("annotations/")}
    assert labels

    def part(out):
        # The folder of label maps is whole or absent.
        found = {n for n in (files(out) if out.exists() else ()) if n.startswith("annotations/")}
        assert not found or found == labels

    def whole(out):
        assert files(out) == expected

    killed_and_resumed(
        forks, empty, tmp_path / "run", kills=kills, seed=kills, check_part=part, check_whole=whole
    )


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_ablation_ends_as_an_uninterrupted_one(forks, tmp_path, kills):
    def command(out):
        return ("ablate", "levels", "--seeds", 2, "--out", out, "--json", out.with_suffix(".json"))

    table = tmp_path / "run.json"
    assert forks.run("ablate", "levels", "--seeds", 2, "--out", tmp_path / "whole", "--json", table).code == 0
    expected, rows = files(tmp_path / "whole"), _table(table)
    # Each setting and seed, and the report of the grid in two forms.
    assert len(expected) == 3 * 19 + 2

    def whole(out):
        assert files(out) == expected and _table(table) == rows

    killed_and_resumed(
        forks,
        command,
        tmp_path / "run",
        kills=kills,
        seed=kills,
        check_part=lambda out: None,
        check_whole=whole,
    )


def _table(path):
    table = json.loads(path.read_bytes())
    return [{k: v for k, v in row.items() if k != "runs"} for row in table["rows"]]


@pytest.mark.parametrize("kills", KILLS)
def test_a_killed_training_ends_as_an_uninterrupted_one(forks, tmp_path, kills):
    def command(out):
        again = ["--resume"] if (out / "checkpoint.pt").exists() else []
        return ("train", "--method", "line", "--recipe", "linear", "--out", out, *again)

    assert forks.run(*command(tmp_path / "whole")).code == 0
    expected, weights = _losses(tmp_path / "whole"), _state(tmp_path / "whole")
    assert [step for step, name, _ in expected if name == "loss"] == [str(s) for s in range(5, 61, 5)]

    def part(out):
        if (out / "checkpoint.pt").exists():
            assert _state(out)["step"] % 7 == 0 or _state(out)["step"] == 60

    def whole(out):
        assert _losses(out) == expected
        found = _state(out)
        assert all(found["network"][n].equal(weights["network"][n]) for n in weights["network"])
        assert found["step"] == 60 and not list(out.glob("*.part")) and not list(out.glob(".tmp-*"))

    killed_and_resumed(
        forks, command, tmp_path / "run", kills=kills, seed=kills, check_part=part, check_whole=whole
    )


def _losses(out):
    with (out / "log.csv").open(newline="") as file:
        return [tuple(row) for row in csv.reader(file) if not row[1].endswith("_seconds")]


def _state(out):
    import torch

    return torch.load(out / "checkpoint.pt", weights_only=True)
