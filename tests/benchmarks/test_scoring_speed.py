"""How fast scoring is beside the official tools, in CPU time measured in one run, and how much memory it takes.

    pytest -m big -s tests/benchmarks/test_scoring_speed.py

Times are never asserted; the numbers that both sides compute are, and so is memory. vos-benchmark is the baseline
of whole runs where it can be imported, else the plain form of its work in ``plain.py``.
"""

import importlib.util
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench.layouts.png import decode_labels, encode_labels
from refseg.bench.scoring.measures import region_and_boundary

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"
RESULTS, GOLDEN = SHARED / "real/davis17-results", SHARED / "golden/metrics"
META = SHARED / "real/refdavis17_valid_meta_expressions.json"

real = pytest.mark.skipif(not RESULTS.exists(), reason="the real masks are not beside the repository")
pytestmark = pytest.mark.big

BENCH = "from refseg.bench.cli import main; raise SystemExit(main())"
VOS_BENCHMARK = (
    "import sys\nfrom vos_benchmark.benchmark import benchmark\n"
    "jf, j, f, _ = benchmark([sys.argv[1]], [sys.argv[2]], num_processes=1, verbose=False)\n"
    "print(float(jf[0]), float(j[0]), float(f[0]))"
)


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) and peak memory of a process, and what it printed."""

    seconds: float
    mib: float
    out: str


def cost(*args, **env):
    """Run Python with these arguments in a process of its own."""
    before = {**os.environ, "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in env.items()}}
    with subprocess.Popen(
        [sys.executable, *map(str, args)], stdout=subprocess.PIPE, env=before, text=True
    ) as child:
        out = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, out)


def scored(predictions, root, protocol, **env):
    """Run ``bench score`` in one process."""
    chosen = ("--protocol", protocol) if protocol else ()
    args = ("score", predictions, "--dataset", "refdavis17", "--root", root, *chosen, "--jobs", 1)
    return cost("-c", BENCH, *args, "--json", "-", **env)


def metrics(done):
    return json.loads(done.out)["metrics"]


def official(name):
    """Return an official evaluation's global numbers in percent, under our names."""
    values = (GOLDEN / f"{name}_global.csv").read_text().splitlines()[1].split(",")
    names = ("J&F", "J", "J-recall", "J-decay", "F", "F-recall", "F-decay")
    return {n: 100 * float(v) for n, v in zip(names, values, strict=True)}


def told(benchmark, capsys, **figures):
    """Print figures and keep them with the benchmark's record."""
    benchmark.extra_info.update(figures)
    with capsys.disabled():
        print("\n" + ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in figures.items()))


def by_turns(ours, theirs, count):
    """Return the least CPU seconds that each side took for one of ``count`` things."""
    times = {ours: [], theirs: []}
    for _ in range(7):
        for side, found in times.items():
            start = time.process_time()
            side()
            found.append((time.process_time() - start) / count)
    return min(times[ours]), min(times[theirs])


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """The results ``rvos`` with ids renamed to those of the objects, as the official semi-supervised task wants."""
    out = tmp_path_factory.mktemp("matched")
    for video, renaming in json.loads((GOLDEN / "davis17_semi_matched_label_map.json").read_text()).items():
        ids = np.zeros(256, np.uint8)
        for old, new in renaming.items():
            ids[int(old)] = new
        (out / video).mkdir()
        for file in (RESULTS / "rvos" / video).iterdir():
            labels = ids[decode_labels(file.read_bytes(), file.name, None)]
            (out / video / file.name).write_bytes(encode_labels(labels))
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Ref-DAVIS17 with the results ``osvos`` as its truth; of the frames one header a video is needed."""
    out = tmp_path_factory.mktemp("root")
    (out / "meta_expressions/valid").mkdir(parents=True)
    (out / "meta_expressions/valid/meta_expressions.json").write_bytes(META.read_bytes())
    (out / "valid").mkdir()
    (out / "valid/Annotations").symlink_to(RESULTS / "osvos")
    for video, facts in json.loads(META.read_text())["videos"].items():
        frame = facts["frames"][0]
        (out / "valid/JPEGImages" / video).mkdir(parents=True)
        with Image.open(RESULTS / "osvos" / video / f"{frame}.png") as labels:
            Image.new("RGB", labels.size).save(out / "valid/JPEGImages" / video / f"{frame}.jpg")
    return out


@real
@pytest.mark.benchmark(timer=time.process_time)
def test_j_and_f_of_a_mask(benchmark, capsys, matched):
    from plain import j_and_f

    clips = []
    for video in sorted(matched.iterdir())[::3]:
        mine, theirs = (
            np.stack(
                [
                    decode_labels(file.read_bytes(), file.name, None)
                    for file in sorted((folder / video.name).iterdir())[5::10]
                ]
            )
            for folder in (matched, RESULTS / "osvos")
        )
        clips += [(mine == i, theirs == i) for i in range(1, int(theirs.max()) + 1)]
    masks = sum(len(clip) for clip, _ in clips)

    def ours():
        return [(*s,) for mine, theirs in clips for s in zip(*region_and_boundary(mine, theirs), strict=True)]

    def plainly():
        return [j_and_f(t, m) for mine, theirs in clips for m, t in zip(mine, theirs, strict=True)]

    assert ours() == plainly()
    mine, theirs = by_turns(ours, plainly, masks)
    benchmark.pedantic(ours, rounds=3)
    told(
        benchmark,
        capsys,
        masks=masks,
        plain_ms=1e3 * theirs,
        ours_ms=1e3 * mine,
        times_faster=theirs / mine,
    )


@real
@pytest.mark.benchmark(timer=time.process_time)
def test_decoding_a_label_map(benchmark, capsys):
    files = [f.read_bytes() for f in sorted((RESULTS / "rvos").glob("*/*.png"))[::20]]

    def ours():
        return [decode_labels(data, "", None) for data in files]

    def pillow():
        return [np.asarray(Image.open(io.BytesIO(data))) for data in files]

    assert all(np.array_equal(a, b) for a, b in zip(ours(), pillow(), strict=True))
    mine, theirs = by_turns(ours, pillow, len(files))
    benchmark.pedantic(ours, rounds=3)
    told(benchmark, capsys, pillow_ms=1e3 * theirs, ours_ms=1e3 * mine, times_faster=theirs / mine)


@real
def test_whole_run_from_folders(benchmark, capsys, root, matched, tmp_path):
    def run(i):
        return scored(matched, root, "davis/semi_supervised", REFSEG_CACHE=tmp_path / f"cold{i}")

    run("once")
    known = importlib.util.find_spec("vos_benchmark") is not None
    other = ("-c", VOS_BENCHMARK) if known else (HERE / "plain.py",)
    runs = [(cost(*other, RESULTS / "osvos", matched), run(i), run(i)) for i in range(3)]
    benchmark.pedantic(run, (0,), rounds=1)
    theirs, cold, warm = (min(r[i].seconds for r in runs) for i in range(3))
    assert metrics(runs[0][1]) == pytest.approx(official("davis17_semi_matched"), abs=1e-10)
    assert metrics(runs[0][2]) == metrics(runs[0][1])
    name = "vos_benchmark_s" if known else "plain_s"
    kept = sum(f.stat().st_size for f in (tmp_path / "cold0").rglob("*.runs")) / 2**20
    figures = {name: theirs, "cold_s": cold, "warm_s": warm, "kept_mib": kept}
    told(benchmark, capsys, **figures, cold_times=theirs / cold, warm_times=theirs / warm)


@real
def test_official_unsupervised_evaluation(benchmark, capsys, root, tmp_path):
    def run():
        return scored(RESULTS / "rvos", root, "davis/unsupervised", REFSEG_CACHE=tmp_path / "cache")

    first = run()
    second = benchmark.pedantic(run, rounds=1)
    assert metrics(first) == pytest.approx(official("davis17_unsup"), abs=1e-10)
    assert metrics(second) == metrics(first)
    assert max(first.mib, second.mib) < 1024
    told(benchmark, capsys, cold_s=first.seconds, warm_s=second.seconds, mib=max(first.mib, second.mib))


def test_memory_of_a_long_video(benchmark, capsys, tmp_path):
    """2,000 frames of 1920x1080 with 8 objects and 32 sentences, by both protocols."""
    figures = {}
    for frames in (200, 2000):
        folder = tmp_path / str(frames)
        cost(HERE / "long_video.py", folder, frames)
        for state in ("cold", "warm"):
            done = scored(folder / "predictions", folder / "root", None, REFSEG_CACHE=tmp_path / "cache")
            result = json.loads(done.out)
            # The prediction's ellipses lie within a few pixels of the true ones.
            assert 70 < result["metrics"]["J"] < 100 and len(result["items"]) == 32
            assert done.mib < 1024
            figures |= {f"{frames}_{state}_mib": done.mib, f"{frames}_{state}_s": done.seconds}
    benchmark.pedantic(lambda: None, rounds=1)
    told(benchmark, capsys, **figures)


@real
def test_first_cost_of_compiled_code(benchmark, capsys, root, matched, tmp_path):
    """A run in which nothing is compiled yet, less one in which all is."""

    def run(**env):
        return scored(matched, root, "davis/semi_supervised", REFSEG_CACHE=tmp_path / "truth", **env)

    run()
    first = run(NUMBA_CACHE_DIR=tmp_path / "code")
    second = benchmark.pedantic(run, kwargs={"NUMBA_CACHE_DIR": tmp_path / "code"}, rounds=1)
    told(
        benchmark,
        capsys,
        first_s=first.seconds,
        later_s=second.seconds,
        compiling_s=first.seconds - second.seconds,
    )
