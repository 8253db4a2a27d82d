"""Peak memory of a run against its length: one line a length, each run in a process of its own.

    python memory.py frames 200 2000 20000
    python memory.py sentences 1000 10000 100000

``frames``: one video of so many frames, drawn as they are read, with two sentences. ``sentences``: so many sentences
about videos of two frames, ten a video. A method marks the bright pixels, which are the object; its masks are kept,
read again and scored, so every line must end in 100.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from refseg.bench import registry
from refseg.bench.cli import main
from refseg.bench.types import DatasetInfo, Expression, FramePrediction, GroundTruth, MethodInfo, Video

SIZE = (240, 320)
SMALL = (24, 32)
SENTENCES_A_VIDEO = 10


def labels(size, video, frame):
    """Return (H, W) uint8: one square, its place by the video's and the frame's number."""
    out = np.zeros(size, np.uint8)
    side = size[0] // 4
    y, x = (video * 7 + frame) % (size[0] - side), (video * 13 + 3 * frame) % (size[1] - side)
    out[y : y + side, x : x + side] = 1
    return out


def read(size, video, frame):
    return np.repeat(labels(size, video, frame)[..., None] * np.uint8(255), 3, axis=2)


@dataclass
class Videos(Sequence):
    """Videos made when they are asked for."""

    many: int
    frames: int
    size: tuple
    sentences: int

    def __len__(self):
        return self.many

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.many))]
        if not 0 <= index < self.many:
            raise IndexError(index)
        said = tuple(Expression(str(k), "the bright square", ("1",)) for k in range(self.sentences))
        frames = tuple(f"{t:05d}" for t in range(self.frames))
        return Video(f"{index:06d}", frames, self.size, said, partial(read, self.size, index))


class Drawn:
    """A dataset that is drawn and whose truth is read frame by frame."""

    def __init__(self, request, *, count, frames, size, sentences):
        self._size = size
        self._videos = Videos(count, frames, size, sentences)
        self.info = DatasetInfo(request.name, f"{count}x{frames}", "val", ("refytvos/per_expression",))

    def videos(self):
        return self._videos

    def ground_truth(self, video_id, expression_id):
        video = self._videos[int(video_id)]
        masks = [self.label_map(video_id, t) == 1 for t in range(len(video))]
        return GroundTruth(np.stack(masks))

    def label_map(self, video_id, frame):
        return labels(self._size, int(video_id), frame)

    def label_ids(self, video_id, expression_id):
        return (1,)

    def truth_fingerprint(self, video_id):
        return f"{self.info.version} {video_id}"


class Bright:
    """Marks the bright pixels."""

    def __init__(self, request):
        self.info = MethodInfo(request.name, "1")

    def segment(self, video, expressions):
        for t in range(len(video)):
            mask = video.read(t)[..., 0] > 128
            yield FramePrediction(
                t, np.stack([mask] * len(expressions)), np.ones(len(expressions), np.float32)
            )

    def modules(self):
        return {}


def measure(kind, length):
    """Run, in this process; print the peak of its memory in MiB, the seconds of CPU and the score as JSON."""
    if kind == "frames":
        build = partial(Drawn, count=1, frames=length, size=SIZE, sentences=2)
    else:
        count = max(1, length // SENTENCES_A_VIDEO)
        build = partial(Drawn, count=count, frames=2, size=SMALL, sentences=min(length, SENTENCES_A_VIDEO))
    with (
        registry.registered("methods", "bright", Bright),
        registry.registered("datasets", "drawn", build),
        tempfile.TemporaryDirectory() as folder,
    ):
        out, result = os.path.join(folder, "run"), os.path.join(folder, "result.json")
        command = [
            "run",
            "--method",
            "bright",
            "--dataset",
            "drawn",
            "--out",
            out,
            "--no-page",
            "--jobs",
            "1",
        ]
        code = main([*command, "--json", result])
        assert code == 0, code
        with open(result) as file:
            score = json.load(file)["metrics"]["J&F"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mib": peak, "cpu_s": time.process_time(), "score": score}), file=sys.stderr)


def curve(kind, lengths):
    """Print the table."""
    print(f"| {kind} | peak memory (MiB) | CPU (s) | J&F |\n| ---: | ---: | ---: | ---: |")
    for length in lengths:
        command = [sys.executable, __file__, "one", kind, str(length)]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(done.stderr.splitlines()[-1])
        print(
            f"| {length:,} | {found['peak_mib']:.0f} | {found['cpu_s']:.0f} | {found['score']:g} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1] == "one":
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        curve(sys.argv[1], list(map(int, sys.argv[2:])))
