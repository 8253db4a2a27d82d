"""A run in shards, each a process of its own as in a SLURM array, and scored as one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.errors import InputError
from refseg.bench.exporter import export_run
from refseg.bench.scorer import ScoreRequest, score
from refseg.bench.shards import Shard, places_of


class Clip(tuple):
    expressions = ("e",)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.data())
def test_shards_are_a_partition_of_about_equal_parts(frames, data):
    videos = [Clip(range(n)) for n in frames]
    of = data.draw(st.integers(1, len(videos)))
    shards = [places_of(Shard(i, of), videos) for i in range(1, of + 1)]
    assert sorted(place for shard in shards for place in shard) == [*range(len(videos))]
    loads = [sum(frames[place] for place in shard) for shard in shards]
    # Largest first: no shard exceeds the least by more than one video.
    assert max(loads) - min(loads) <= max(frames)


def call(out, *more):
    return ("run", "--method", "faulty", "--dataset", "tiles", "--no-page", "--out", out, *more)


def test_shards_in_processes_score_as_one_run(command, installed, tmp_path):
    """What docs/workers.md tells users of SLURM, with processes for the array's tasks."""
    tasks = [command(*call(tmp_path / f"shard-{i}", "--shard", f"{i}/3")) for i in (1, 2, 3)]
    for task in tasks:
        stdout, stderr = task.communicate()
        assert task.returncode == 0, stderr
        assert "`bench score` scores all shards' folders together" in stdout
    whole = command(*call(tmp_path / "whole"))
    assert whole.wait() == 0
    folders = [str(tmp_path / f"shard-{i}") for i in (2, 1, 3)]
    expected = json.loads((tmp_path / "whole/result.json").read_bytes())
    together = score(ScoreRequest(folders[0], "tiles", shards=tuple(folders[1:])))
    for name in ("metrics", "intervals", "items", "failures", "scored", "partial", "method", "breakdown"):
        assert together[name] == expected[name], name

    written, counts = export_run(folders, "ytvos", str(tmp_path / "together"))
    export_run(str(tmp_path / "whole"), "ytvos", str(tmp_path / "alone"))
    assert counts == {"videos": 6, "in_split": 6}
    names = {p.relative_to(tmp_path / "alone"): p.read_bytes() for p in (tmp_path / "alone").rglob("*.png")}
    assert names and all((written / n).read_bytes() == data for n, data in names.items()), written

    with pytest.raises(InputError, match=r"Of 3 shards, number 1 is not among the folders"):
        score(ScoreRequest(folders[0], "tiles", shards=(folders[2],)))
    with pytest.raises(InputError, match="is a run and no shard"):
        score(ScoreRequest(folders[0], "tiles", shards=(str(tmp_path / "whole"),)))


def test_a_shard_of_another_run_or_one_that_is_not_done_is_refused(runs, tmp_path):
    runs("one", shard="1/2")
    runs("other", shard="2/2", options={"level": "3"})
    two = (str(tmp_path / "one"), "tiles")
    with pytest.raises(InputError, match="shards of different runs"):
        score(ScoreRequest(*two, shards=(str(tmp_path / "other"),)))
    result = runs("two", "v0=raise,v1=raise,v2=raise,v3=raise,v4=raise", shard="2/2")
    lost = {f["video"] for f in result["failures"]}
    assert lost
    # A failed video of any shard is left out of the whole's score, and named.
    together = score(ScoreRequest(*two, shards=(str(tmp_path / "two"),)))
    assert {f["video"] for f in together["failures"]} == lost
    assert together["scored"]["videos"] == 6 - len(lost)
    record = json.loads((tmp_path / "two/run.json").read_bytes())
    (tmp_path / "two/run.json").write_text(json.dumps(record | {"status": "predicting"}))
    with pytest.raises(InputError, match=r"Shard 2/2 in .* is not finished"):
        score(ScoreRequest(*two, shards=(str(tmp_path / "two"),)))
