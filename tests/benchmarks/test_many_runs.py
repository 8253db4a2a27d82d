"""How long a report over a thousand runs takes: everything parsed, the first time with an index, and again.

    pytest -m big -s tests/benchmarks/test_many_runs.py

Each run has a result of 1,000 sentences, and 100 files of predictions that nothing should look at.
"""

import json
import time

import pytest

from refseg.bench.cli import main
from refseg.bench.cli.run_index import NAME

RUNS, SENTENCES, PREDICTIONS = 1000, 1000, 100
MOST_SECONDS = 5


def write_run(folder, score):
    (folder / "predictions/video").mkdir(parents=True)
    for i in range(PREDICTIONS):
        (folder / f"predictions/video/{i}.json").touch()
    dataset = {"name": "refytvos", "split": "valid", "version": "1"}
    record = {
        "key": "k",
        "method": {"name": "reader"},
        "dataset": dataset,
        "protocols": ["p"],
        "status": "done",
    }
    (folder / "run.json").write_text(json.dumps(record))
    metrics = {"J&F": score, "J": score - 1, "F": score + 1}
    items = [
        {"video": f"video{i // 4:06d}", "expression": str(i % 4), **metrics, "frames": 27}
        for i in range(SENTENCES)
    ]
    result = {
        "protocol": "refytvos/per_expression",
        "metrics": metrics,
        "intervals": {"J&F": [score - 1, score + 1]},
        "scored": {"videos": 250, "of": 250, "in_split": 250},
        "failures": [],
        "items": items,
    }
    (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.big
def test_report_over_a_thousand_runs(tmp_path, capsys):
    for i in range(RUNS):
        write_run(tmp_path / f"runs/{i // 100}/{i:04d}", 40 + i / 100)
    seconds = {}
    for name in ("first", "again", "once more"):
        start, cpu = time.perf_counter(), time.process_time()
        assert main(["report", "--runs", str(tmp_path / "runs"), "--format", "csv"]) == 0
        seconds[name] = (time.perf_counter() - start, time.process_time() - cpu)
        assert len(capsys.readouterr().out.splitlines()) == RUNS + 1
    size = (tmp_path / "runs" / NAME).stat().st_size
    with capsys.disabled():
        told = ", ".join(f"{name} {cpu:.2f} s of CPU, {wall:.2f} s" for name, (wall, cpu) in seconds.items())
        print(f"\n{RUNS} runs of {SENTENCES} sentences: {told}; index {size / 2**20:.1f} MiB")
    # CPU time, since others use the machine too.
    assert min(seconds[name][1] for name in ("again", "once more")) < MOST_SECONDS
