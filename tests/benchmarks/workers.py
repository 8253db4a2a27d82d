"""What worker processes gain, with a method that computes: ``python tests/benchmarks/workers.py``.

On a machine that others use too, wall clock says little. So beside it stands the processor time that each worker
takes: a run cannot be quicker than its busiest worker, and on idle cores it is as quick. Predictions of all are
compared with those of one process.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from refseg.bench import runner
from refseg.bench.engines.crew import CrewEngine, Ready
from refseg.bench.engines.processes import ProcessCrew
from refseg.bench.runner import RunRequest


class Timed(ProcessCrew):
    """Notes the processor time of every worker: when it is ready, and at the end."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ready, self.whole = {}, {}
        Timed.last = self

    def wait(self, seconds):
        events = super().wait(seconds)
        for event in events:
            if isinstance(event, Ready):
                self.ready[event.worker] = self._clock(event.worker)
        return events

    def close(self):
        self.whole = {worker: self._clock(worker) for worker in self._workers}
        super().close()

    def _clock(self, worker):
        # The processor time of another process, as clock_getcpuclockid(3) names its clock.
        return time.clock_gettime(((~self._workers[worker][0].pid) << 3) | 2)


def predictions(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


def measure(arguments, jobs, folder):
    """Predict, and return the predictions and the seconds: wall clock, and processor time of each worker's videos."""
    runner.choose_engine = lambda name, **_: CrewEngine(name, Timed, jobs, None)
    request = RunRequest(
        arguments.method, arguments.dataset, limit=arguments.videos, out=str(folder), page=False, shard="1/1"
    )
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.perf_counter()
    runner.run(request)
    wall = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    crew = Timed.last
    return predictions(folder), wall, own, [crew.whole[w] - crew.ready[w] for w in crew.whole], crew.ready


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="refsam_tiny")
    parser.add_argument("--dataset", default="refshapes")
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--jobs", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    first, alone = None, {}
    print(
        "round  jobs  wall s  start of each, CPU s  videos of each, CPU s  busiest  against one worker",
        flush=True,
    )
    for turn in range(arguments.rounds):
        for jobs in map(int, arguments.jobs.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                found, wall, own, each, ready = measure(arguments, jobs, Path(folder) / "run")
            first = first or found
            assert found == first, "workers predict something else than one does"
            alone.setdefault(turn, max(each))
            starts = ", ".join(f"{s:.1f}" for s in ready.values())
            shown = ", ".join(f"{s:.1f}" for s in each)
            print(
                f"{turn + 1:5}{jobs:6}{wall:8.1f}  {starts:21} {shown:22}{max(each):8.1f}"
                f"  {alone[turn] / max(each):.2f}  (this process {own:.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
