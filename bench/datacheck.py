"""Describes and checks a dataset through nothing but its own interface."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from refseg.bench.errors import RefsegError
from refseg.bench.progress import Progress, Silent
from refseg.bench.types import Dataset, Video


def describe_dataset(dataset: Dataset) -> dict[str, Any]:
    """Return a split's counts, and how many expressions have each value of their attributes."""
    info, videos = dataset.info, dataset.videos()
    attributes: dict[str, Counter[str]] = {}
    for expression in (e for v in videos for e in v.expressions):
        for name, value in expression.attributes.items():
            if isinstance(value, str | bool):
                attributes.setdefault(name, Counter())[str(value)] += 1
    return {
        "dataset": info.name,
        "version": info.version,
        "split": info.split,
        "protocols": list(info.protocols),
        "fingerprint": info.fingerprint,
        "videos": len(videos),
        "expected_videos": info.expected_videos,
        "expressions": sum(len(v.expressions) for v in videos),
        "expected_expressions": info.expected_expressions,
        "frames": sum(len(v) for v in videos),
        "attributes": {name: dict(sorted(c.items())) for name, c in sorted(attributes.items())},
    }


def check_dataset(
    dataset: Dataset, *, all_frames: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Read a split's frames and truth; return its description with ``problems``, one sentence each.

    Args:
        dataset: The split.
        all_frames: Read every frame; else the first and the last of each video.
        progress: Where it is shown.
    """
    facts = describe_dataset(dataset)
    problems = []
    for name in ("videos", "expressions"):
        expected = facts[f"expected_{name}"]
        if expected is not None and expected != facts[name]:
            problems.append(f"{facts[name]} {name} were found; {expected} are published.")
    videos = dataset.videos()
    with (progress or Silent()).task("reading", len(videos), "videos") as task:
        for video in videos:
            problems += _frame_problems(video, all_frames)
            problems += _truth_problems(dataset, video)
            task.advance()
    return facts | {"problems": problems}


def _frame_problems(video: Video, all_frames: bool) -> list[str]:
    problems = []
    for i in range(len(video)) if all_frames else sorted({0, len(video) - 1}):
        try:
            frame = video.read(i)
        except (RefsegError, OSError, ValueError) as error:
            problems.append(str(error))
            continue
        if frame.shape != (*video.size, 3) or frame.dtype != np.uint8:
            problems.append(
                f"Frame {video.frame_ids[i]} of video {video.id} is {frame.shape} {frame.dtype}; "
                f"{(*video.size, 3)} uint8 is expected."
            )
    return problems


def _truth_problems(dataset: Dataset, video: Video) -> list[str]:
    problems = []
    for expression in video.expressions:
        if not expression.text.strip():
            problems.append(f"Expression {expression.id} of video {video.id} has no text.")
        try:
            truth = dataset.ground_truth(video.id, expression.id)
        except (RefsegError, OSError, ValueError) as error:
            problems.append(str(error))
            continue
        expected = (len(video), *video.size)
        if truth is not None and truth.masks.shape != expected:
            problems.append(
                f"The truth of {video.id}/{expression.id} is {truth.masks.shape}; {expected} is expected."
            )
    return problems
