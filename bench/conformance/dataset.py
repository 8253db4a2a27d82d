"""What a dataset must keep to, asked on its first videos. Files are looked at by ``bench data check``."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refseg.bench import registry
from refseg.bench.config import find_root
from refseg.bench.conformance.report import Breach, NotAsked, Question, Report, ask_all
from refseg.bench.errors import InputError
from refseg.bench.progress import Progress
from refseg.bench.types import (
    Dataset,
    DatasetInfo,
    DatasetRequest,
    Expression,
    GroundTruth,
    ImageArray,
    LabelledDataset,
    Video,
    framewise,
)

VIDEOS = 3
"""How many videos are read."""

FRAMES = 6
"""How many frames of each are read."""

NO_SUCH = "no_such_thing"

_OPENS = ("videos",)
_READS = ("videos", "frames")
_QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "facts": ("info says what the dataset is, and its protocols exist", ()),
    "videos": ("ids, sizes and sentences of all videos can be used, and are the same each time", ()),
    "wrong_call": ("an unknown split or option is refused in a sentence", ()),
    "frames": ("frames are (H, W, 3) uint8 of the video's size, in any order", _OPENS),
    "own_frames": ("a reader may write into its frame, and several threads may read", _READS),
    "truth": ("the truth has the right shape and type, and says what the objects say", _OPENS),
    "label_maps": ("label maps say the same as the truth", (*_OPENS, "truth")),
    "fingerprint": ("info.fingerprint is the same each time it is opened", ()),
    "scores": ("the truth scores 100 by the dataset's own protocols", (*_OPENS, "facts", "truth")),
}
DATASET_CHECKS: Mapping[str, str] = {name: asks for name, (asks, _) in _QUESTIONS.items()}
"""Name of each question -> what is looked at."""


def check_dataset(
    dataset: str | DatasetRequest,
    *,
    skip: Collection[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Ask whether a dataset keeps the interface.

    Args:
        dataset: A registered name, or a request with split, root and options.
        skip: Names of questions to leave out (:data:`DATASET_CHECKS`).
        progress: Where it is shown.

    Raises:
        InputError: The dataset is unknown, or cannot be opened, e.g. for want of its folder.
    """
    request = DatasetRequest(dataset) if isinstance(dataset, str) else dataset
    registry.entry("datasets", request.name)
    exam = _Exam(replace(request, root=find_root(request.name, request.root)))
    questions = [
        Question(name, asks, getattr(exam, name), needs) for name, (asks, needs) in _QUESTIONS.items()
    ]
    return ask_all("dataset", request.name, questions, skip=skip, progress=progress)


class _Exam:
    """The questions; each is a method of its name in :data:`DATASET_CHECKS`."""

    def __init__(self, request: DatasetRequest) -> None:
        self._request = request
        self._dataset: Dataset = registry.build_dataset(request)

    @property
    def _few(self) -> list[Video]:
        return list(self._dataset.videos()[:VIDEOS])

    def facts(self) -> str:
        info = self._dataset.info
        if not isinstance(info, DatasetInfo):
            raise Breach(f"info is a {type(info).__name__}; a DatasetInfo is expected.")
        if info.name != self._request.name:
            raise Breach(
                f"info.name is {info.name!r}, but it was asked for as {self._request.name!r}; take request.name."
            )
        for name in ("version", "split", "fingerprint"):
            if not getattr(info, name):
                raise Breach(f"info.{name} is empty; it is part of every result.")
        if not info.protocols:
            raise Breach(
                "info.protocols is empty; name what it is scored with, e.g. 'refytvos/per_expression'."
            )
        for name in info.protocols:
            registry.entry("protocols", name)
        asked = self._request.split
        return "" if asked in (None, info.split) else f"the split {asked} is called {info.split}"

    def videos(self) -> str:
        videos = list(self._dataset.videos())
        if not videos:
            raise Breach("videos() is empty; is the folder the right one?")
        _refuse_twice("video", (v.id for v in videos))
        for video in videos:
            _check_video(video)
        again = list(self._dataset.videos())
        if again != videos:
            raise Breach("videos() says something else when it is asked again.")
        info = self._dataset.info
        expressions = sum(len(v.expressions) for v in videos)
        counts = (
            ("videos", len(videos), info.expected_videos),
            ("sentences", expressions, info.expected_expressions),
        )
        short = [
            f"{found} of {wanted} {name}" for name, found, wanted in counts if wanted not in (None, found)
        ]
        return f"the copy holds {', '.join(short)}" if short else ""

    def wrong_call(self) -> str:
        for what, request in (
            ("split", replace(self._request, split=NO_SUCH)),
            ("option", replace(self._request, options={**self._request.options, NO_SUCH: "1"})),
        ):
            try:
                registry.build_dataset(request).videos()
            except InputError:
                continue
            except Exception as error:
                raise Breach(
                    f"An unknown {what} raises {type(error).__name__}; raise an InputError that names what is known."
                ) from error
            raise Breach(
                f"An unknown {what} ({NO_SUCH}) is taken; raise an InputError that names what is known."
            )
        return ""

    def frames(self) -> str:
        for video in self._few:
            chosen = range(min(len(video), FRAMES))
            first = {i: video.read(i).copy() for i in chosen if _check_frame(video, i)}
            for i in reversed(chosen):
                if not np.array_equal(first[i], video.read(i)):
                    raise Breach(
                        f"Frame {i} of video {video.id} is another one when frames are read backwards."
                    )
        return ""

    def own_frames(self) -> str:
        video = self._few[0]
        chosen = list(range(min(len(video), FRAMES)))
        first = {i: video.read(i).copy() for i in chosen}
        frame = video.read(0)
        frame[:] = 255 - frame
        if not np.array_equal(first[0], video.read(0)):
            raise Breach(
                f"Frame 0 of video {video.id} has changed after its reader wrote into it; return a new array each time."
            )
        with ThreadPoolExecutor(4) as pool:
            for i, found in zip(chosen * 4, pool.map(video.read, chosen * 4), strict=True):
                if not np.array_equal(first[i], found):
                    raise Breach(f"Frame {i} of video {video.id} is another one when several threads read.")
        return ""

    def truth(self) -> str:
        hidden = 0
        for video, expression, truth in self._truths():
            if truth is None:
                hidden += 1
                continue
            _check_truth(video, expression, truth)
            again = self._dataset.ground_truth(video.id, expression.id)
            if again is None or not np.array_equal(again.masks, truth.masks):
                raise Breach(
                    f"The truth of {video.id}/{expression.id} is another one when it is asked for again."
                )
        if hidden == sum(len(v.expressions) for v in self._few):
            return "labels are hidden"
        if hidden:
            raise Breach(
                "Some truths of one split are None and others are not; labels are hidden for all or for none."
            )
        return ""

    def label_maps(self) -> str:
        dataset = self._dataset
        maps = framewise(dataset)
        if maps is None and not isinstance(dataset, LabelledDataset):
            raise NotAsked("it has no label maps")
        for video, expression, truth in self._truths():
            what = f"the truth of {video.id}/{expression.id}"
            if truth is None or not expression.object_ids:
                continue
            if isinstance(dataset, LabelledDataset):
                labels = dataset.label_maps(video.id)
                ids = [int(i) for i in expression.object_ids]
                if not np.array_equal(np.isin(labels, ids), truth.masks):
                    raise Breach(f"label_maps says otherwise than {what}.")
            if maps is not None:
                ids = list(maps.label_ids(video.id, expression.id))
                for t in range(min(len(video), FRAMES)):
                    if not np.array_equal(np.isin(maps.label_map(video.id, t), ids), truth.masks[t]):
                        raise Breach(f"label_map of frame {t} says otherwise than {what}.")
        return ""

    def fingerprint(self) -> str:
        again = registry.build_dataset(self._request).info.fingerprint
        if again != self._dataset.info.fingerprint:
            raise Breach(
                "It is another one when the dataset is opened again, so nothing of a run could be used again."
            )
        return ""

    def scores(self) -> str:
        from refseg.bench.runner import RunRequest, run

        if all(truth is None for _, _, truth in self._truths()):
            raise NotAsked("labels are hidden")
        request = self._request
        with tempfile.TemporaryDirectory(prefix="refseg-check-") as folder:
            asked = RunRequest(
                method="oracle",
                dataset=request.name,
                split=request.split,
                root=request.root,
                out=str(Path(folder) / "run"),
                limit=VIDEOS,
                options={f"dataset.{k}": v for k, v in request.options.items()},
                page=False,
            )
            result = run(asked)
        if result["failures"]:
            first = result["failures"][0]
            raise Breach(f"Video {first['video']} cannot be predicted by the truth itself: {first['error']}")
        for one in (result, *result["also"]):
            name, value = next(iter(one["metrics"].items()))
            if value < 100 - 1e-6:
                raise Breach(f"The truth scores {name} {value:.2f} by {one['protocol']}, and not 100.")
        return ""

    def _truths(self) -> Iterable[tuple[Video, Expression, GroundTruth | None]]:
        for video in self._few:
            for expression in video.expressions:
                yield video, expression, self._dataset.ground_truth(video.id, expression.id)


def _check_video(video: Video) -> None:
    if not isinstance(video.id, str) or not video.id:
        raise Breach(f"A video's id is {video.id!r}; a text is expected.")
    if not video.frame_ids:
        raise Breach(f"Video {video.id} has no frame.")
    _refuse_twice(f"frame of video {video.id}", video.frame_ids)
    if len(video.size) != 2 or not all(isinstance(n, int) and n > 0 for n in video.size):
        raise Breach(f"Video {video.id} has the size {video.size}; (H, W) in whole pixels is expected.")
    _refuse_twice(f"expression of video {video.id}", (e.id for e in video.expressions))
    for e in video.expressions:
        if not isinstance(e.text, str) or not e.text.strip():
            raise Breach(f"Expression {e.id} of video {video.id} has no text.")
        ids: Any = e.object_ids
        if isinstance(ids, str) or not all(isinstance(i, str) for i in ids):
            raise Breach(f"object_ids of {video.id}/{e.id} is {ids!r}; a tuple of texts is expected.")
        try:
            json.dumps(dict(e.attributes), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Breach(f"attributes of {video.id}/{e.id} are no JSON values: {error}.") from None


def _check_frame(video: Video, i: int) -> bool:
    frame: ImageArray = video.read(i)
    wanted = (*video.size, 3)
    if not isinstance(frame, np.ndarray) or frame.shape != wanted or frame.dtype != np.uint8:
        found = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise Breach(f"Frame {i} of video {video.id} is {found}; {wanted} uint8 is expected.")
    return True


def _check_truth(video: Video, expression: Expression, truth: GroundTruth) -> None:
    what, wanted = f"The truth of {video.id}/{expression.id}", (len(video), *video.size)
    for name in ("masks", "void"):
        array = getattr(truth, name)
        if name == "void" and array is None:
            continue
        if not isinstance(array, np.ndarray) or array.shape != wanted or array.dtype != np.bool_:
            found = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise Breach(f"{what}: {name} is {found}; {wanted} bool is expected.")
    if not expression.object_ids and truth.masks.any():
        raise Breach(
            f"{what} has pixels, but object_ids is empty, which says that nothing fits the sentence."
        )
    if expression.object_ids and not truth.masks.any():
        raise Breach(
            f"{what} is empty in every frame, though it names objects; an empty answer would score 100."
        )


def _refuse_twice(what: str, ids: Iterable[str]) -> None:
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice:
        raise Breach(f"The {what} {twice[0]!r} is there twice.")
