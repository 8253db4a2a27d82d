"""What many GPUs would do with a dataset, from stage times that are measured here: ``python -m`` this module.

    python -m refseg.bench.engines.simulation --gpus 1,8,64 --meta valid_meta_expressions.json

Reading, decoding, run-length coding, writing and scoring are measured on this machine; what a GPU takes and what a
shared storage gives are assumptions, options of the command. The model is the engines': workers load their weights,
take videos one after the other, read ahead while they compute, and one process stores what they answer.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from refseg.bench.engines.crew import WRITERS

SIZE = (720, 1280)
"""(H, W) of the frames that are measured: Refer-YouTube-VOS's most frequent one."""


@dataclass(frozen=True)
class Clip:
    """A video: its frames and sentences."""

    frames: int
    sentences: int


@dataclass(frozen=True)
class Stages:
    """Seconds of each stage.

    Attributes:
        start: A worker's start beside reading its weights: process, imports, building the model.
        weights: Bytes that a machine reads once; its workers share them in its memory.
        gpu_frame: GPU, a frame.
        gpu_sentence: GPU, a frame and sentence beyond the first.
        frame_bytes: Bytes of an encoded frame.
        decode: CPU, a frame.
        encode: CPU, a mask's run lengths.
        write: Storing one file.
        score: CPU, a mask.
        storage: Bytes a second that the shared storage gives to all.
        gpus_a_machine: Workers that share a machine.
        decoders: Threads that decode for one worker.
        cores: Cores that score.
        writers: Files of a video that are written at once.
    """

    start: float = 20.0
    weights: float = 7.5e9
    gpu_frame: float = 1 / 4.8
    gpu_sentence: float = 0.02
    frame_bytes: float = 130e3
    decode: float = 0.01
    encode: float = 0.001
    write: float = 0.005
    score: float = 0.001
    storage: float = 2e9
    gpus_a_machine: int = 8
    decoders: int = 4
    cores: int = 16
    writers: int = WRITERS


@dataclass(frozen=True)
class Outcome:
    """Seconds of a run.

    Attributes:
        loading: Until every worker has its weights.
        predicting: From then until the last video is stored.
        scoring: All masks.
        idle: Share of the GPUs' time, from the first to the last video, in which they wait.
        storing: Seconds of work of the one process that stores.
        reading: Least seconds in which the shared storage gives all frames.
        longest: Seconds of the longest video, under which no number of GPUs gets.
    """

    loading: float
    predicting: float
    scoring: float
    idle: float
    storing: float
    reading: float
    longest: float

    @property
    def total(self) -> float:
        """Return the whole run's seconds."""
        return self.loading + self.predicting + self.scoring


def simulate(clips: Sequence[Clip], stages: Stages, gpus: int, *, largest_first: bool = True) -> Outcome:
    """Return how a run goes.

    Args:
        clips: The videos, in the dataset's order.
        stages: How long each stage takes.
        gpus: How many workers.
        largest_first: The engines' order; False: the dataset's.
    """
    machines = -(-gpus // stages.gpus_a_machine)
    loading = stages.start + machines * stages.weights / stages.storage
    order = sorted(clips, key=lambda c: -c.frames * c.sentences) if largest_first else list(clips)
    # Frames that all workers read at once share the storage.
    read = stages.frame_bytes / (stages.storage / gpus)
    free = [0.0] * gpus
    busy, stored = 0.0, 0.0
    answers: list[tuple[float, int]] = []
    for clip in order:
        gpu = _gpu(clip, stages)
        other = clip.frames * max(read, stages.decode / stages.decoders)
        masks = clip.frames * clip.sentences * stages.encode
        start = heapq.heappop(free)
        heapq.heappush(free, start + max(gpu, other) + masks)
        answers.append((start + max(gpu, other) + masks, clip.sentences))
        busy += gpu
    for at, files in sorted(answers):
        stored = max(stored, at) + -(-files // stages.writers) * stages.write
    last = max(stored, max(free))
    masks = sum(c.frames * c.sentences for c in clips)
    return Outcome(
        loading=loading,
        predicting=last,
        scoring=masks * stages.score / stages.cores,
        idle=1 - busy / (gpus * last),
        storing=sum(-(-c.sentences // stages.writers) for c in clips) * stages.write,
        reading=sum(c.frames for c in clips) * stages.frame_bytes / stages.storage,
        longest=max(_gpu(c, stages) for c in clips),
    )


def _gpu(clip: Clip, stages: Stages) -> float:
    return clip.frames * (stages.gpu_frame + stages.gpu_sentence * (clip.sentences - 1))


def read_meta(path: Path, ids: Path | None = None) -> list[Clip]:
    """Return the videos of a ``meta_expressions.json``; only those that a file of ids names, where there is one."""
    videos = json.loads(path.read_bytes())["videos"]
    names = ids.read_text().split() if ids else list(videos)
    return [Clip(len(videos[n]["frames"]), len(videos[n]["expressions"])) for n in names]


def drawn(videos: int, sentences: int, frames: int, *, seed: int = 0) -> list[Clip]:
    """Return videos of lengths with a long tail (log-normal, sigma 0.6) and the given mean, and sentences to match."""
    rng = random.Random(seed)
    raw = [rng.lognormvariate(0, 0.6) for _ in range(videos)]
    scale = frames * videos / sum(raw)
    share = [sentences * (i + 1) // videos - sentences * i // videos for i in range(videos)]
    return [Clip(max(1, round(x * scale)), max(1, n)) for x, n in zip(raw, share, strict=True)]


def measured(rounds: int = 5) -> dict[str, float]:
    """Measure the stages of this machine: the least of some rounds, of processor time but for writing."""
    import cv2
    import numpy as np

    from refseg.bench.atomic import write_bytes
    from refseg.bench.scoring.measures import region_and_boundary
    from refseg.bench.store import encode

    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(0, 255, (45, 80, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC
    )
    jpeg = cv2.imencode(".jpg", picture)[1]
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    mask = (rows - 300) ** 2 + (columns - 500) ** 2 < 150**2
    moved = np.roll(mask, 9, axis=1)
    cpu, wall = time.process_time, time.perf_counter
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "file"
        return {
            "decode": _least(lambda: cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cpu, rounds),
            "encode": _least(lambda: encode(mask[None]), cpu, rounds),
            "write": _least(lambda: write_bytes(path, bytes(20_000)), wall, rounds),
            "score": _least(lambda: region_and_boundary(mask[None], moved[None]), cpu, rounds),
        }


def _least(work: Callable[[], object], clock: Callable[[], float], rounds: int) -> float:
    work()
    best = float("inf")
    for _ in range(rounds):
        start = clock()
        for _ in range(10):
            work()
        best = min(best, (clock() - start) / 10)
    return best


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What many GPUs would do with a dataset.")
    parser.add_argument("--gpus", default="1,8,64")
    parser.add_argument("--meta", type=Path, help="meta_expressions.json; without, the videos are drawn")
    parser.add_argument("--ids", type=Path, help="a file with the ids of the videos that count")
    parser.add_argument("--videos", type=int, default=140)
    parser.add_argument("--sentences", type=int, default=2236)
    parser.add_argument("--mean-frames", type=int, default=79)
    for name, default in Stages.__dataclass_fields__.items():
        if name not in ("decode", "encode", "write", "score"):
            kind = int if isinstance(default.default, int) else float
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default.default)
    args = parser.parse_args(argv)
    clips = (
        read_meta(args.meta, args.ids) if args.meta else drawn(args.videos, args.sentences, args.mean_frames)
    )
    times = measured()
    chosen = {name: getattr(args, name) for name in Stages.__dataclass_fields__ if hasattr(args, name)}
    stages = Stages(**chosen | times)
    print("measured here: " + ", ".join(f"{name} {1000 * t:.2f} ms" for name, t in times.items()))
    print(
        f"{len(clips)} videos, {sum(c.frames for c in clips)} frames, {sum(c.sentences for c in clips)} sentences"
    )
    print("gpus  order           load  predict  score   total  GPUs idle  storing  reading  longest")
    for gpus in map(int, args.gpus.split(",")):
        for first, order in ((False, "dataset's"), (True, "largest first")):
            o = simulate(clips, stages, gpus, largest_first=first)
            print(
                f"{gpus:4}  {order:13}{o.loading:7.1f}{o.predicting:9.1f}{o.scoring:7.1f}{o.total:8.1f}"
                f"{100 * o.idle:9.0f} %{o.storing:9.1f}{o.reading:9.1f}{o.longest:9.1f}"
            )


if __name__ == "__main__":
    main()
