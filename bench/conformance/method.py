"""What a method must keep to, asked on a few short videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping

from refseg.bench import registry
from refseg.bench.conformance.answers import answers, begun, compare, raw_answers
from refseg.bench.conformance.clips import FRAMES, Clips, Cut, sources_of, watched
from refseg.bench.conformance.memory import held, most_held, tracing
from refseg.bench.conformance.report import Breach, NotAsked, Question, Report, ask_all
from refseg.bench.predict import ContractError, check_frame
from refseg.bench.progress import Progress
from refseg.bench.types import Dataset, FramePrediction, Method, MethodInfo, MethodRequest

CROP = (13, 22)
"""Cut off a clip, so that its sides are no multiple of a patch."""

LONG = 4 * FRAMES
"""Frames of the long clip whose memory is held against a short one's."""

MEMORY_SHARE = 0.25
"""Share of a decoded frame's bytes that memory may grow by with every frame; packed masks stay below."""

LEAST_GROWTH = 4096
"""Bytes a frame that are never told of: what libraries keep of their calls."""

STRANGE = (
    f"the {'very ' * 80}small thing, which moves",
    "un café « à gauche » — “left” one; 左边的球 🙂",
    "CAT.",
)
"""Sentences of real datasets are as long, and written like this."""


def check_method(
    method: str | MethodRequest,
    *,
    dataset: Dataset | None = None,
    skip: Collection[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Ask whether a method keeps the interface.

    Args:
        method: A registered name, or a request with options and device.
        dataset: Where clips are cut from; None: RefShapes.
        skip: Names of questions to leave out (:data:`METHOD_CHECKS`).
        progress: Where it is shown.

    Raises:
        InputError: The method is unknown, or cannot be built with these options, e.g. for want of a checkpoint.
    """
    from refseg.bench.runner import open_dataset

    request = MethodRequest(method) if isinstance(method, str) else method
    registry.entry("methods", request.name)
    exam = _Exam(request, dataset or open_dataset("refshapes", None, None))
    questions = [
        Question(name, asks, getattr(exam, name), needs) for name, (asks, needs) in _QUESTIONS.items()
    ]
    return ask_all("method", request.name, questions, skip=skip, progress=progress)


_ANSWERS = ("frames", "arrays")
_ALIKE = (*_ANSWERS, "repeat", "videos")
_QUESTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "facts": ("info and modules() say what the method is", ()),
    "frames": ("every frame is answered once, in order", ()),
    "arrays": (
        "masks, scores and probabilities have the right shape and type, in videos of any size",
        ("frames",),
    ),
    "input": ("frames it is given are not written into", _ANSWERS),
    "sentences": ("long sentences and any letters are taken", _ANSWERS),
    "repeat": ("the same video gets the same answer", _ANSWERS),
    "videos": ("a video's answer does not depend on those before it", (*_ANSWERS, "repeat")),
    "expressions": ("a sentence's answer does not depend on which others are asked", _ALIKE),
    "online": ("a frame's answer does not depend on later frames", _ALIKE),
    "images": ("several images at once get the answers that each gets alone", _ALIKE),
    "memory": ("memory grows neither with a video's length nor from video to video", _ANSWERS),
}
METHOD_CHECKS: Mapping[str, str] = {name: asks for name, (asks, _) in _QUESTIONS.items()}
"""Name of each question -> what is looked at."""


class _Exam:
    """The questions; each is a method of its name in :data:`METHOD_CHECKS`."""

    def __init__(self, request: MethodRequest, dataset: Dataset) -> None:
        self._request, self._dataset = request, dataset
        self._a, self._b, self._c = (v.id for v in sources_of(dataset, 3))
        whole = [Cut(v, _WHOLE) for v in (self._a, self._b, self._c)]
        crop = Cut(self._b, _WHOLE[:2], "cropped", crop=CROP)
        images = [Cut(self._c, (i,), f"image {i}", crop=CROP if i == 1 else (0, 0)) for i in range(3)]
        strange = Cut(self._a, _WHOLE[:2], "strange", texts=STRANGE)
        self._clips = Clips(dataset, [*whole, crop, *images, strange])
        self._asked = [v for v in self._clips.videos() if v.id != "strange"]
        self._images = [v for v in self._asked if len(v) == 1]
        self._method = self._built(self._clips)
        self._first: dict[str, list[FramePrediction]] = {}
        """What a fresh method answered on each clip, one after the other."""

    def facts(self) -> str:
        info = self._method.info
        if not isinstance(info, MethodInfo):
            raise Breach(f"info is a {type(info).__name__}; a MethodInfo is expected.")
        if info.name != self._request.name:
            raise Breach(
                f"info.name is {info.name!r}, but it was asked for as {self._request.name!r}; take request.name."
            )
        if not info.revision:
            raise Breach("info.revision is empty; change it whenever predictions may change, e.g. '1'.")
        try:
            json.dumps([dict(info.config), dict(info.weights)], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Breach(f"info.config and info.weights must be JSON values: {error}.") from None
        modules = self._method.modules()
        if not isinstance(modules, Mapping) or not all(hasattr(m, "parameters") for m in modules.values()):
            raise Breach("modules() must return a mapping of names to torch modules; {} where there is none.")
        return ""

    def frames(self) -> str:
        for video in self._asked:
            found: list[FramePrediction] = []
            for i, p in enumerate(raw_answers(self._method, video)):
                if not isinstance(p, FramePrediction):
                    raise Breach(
                        f"Video {video.id}: it yields a {type(p).__name__}; a FramePrediction is expected."
                    )
                if i >= len(video):
                    raise Breach(f"Video {video.id}: it yields more than the video's {len(video)} frames.")
                if p.frame != i:
                    raise Breach(
                        f"Video {video.id}: it yields frame {p.frame} where frame {i} is expected; frames come in "
                        "order, each once."
                    )
                found.append(p)
            if len(found) < len(video):
                raise Breach(f"Video {video.id}: it yields {len(found)} frames; the video has {len(video)}.")
            self._first[video.id] = found
        return ""

    def arrays(self) -> str:
        for video in self._asked:
            for p in self._first[video.id]:
                try:
                    check_frame(self._method.info.name, p, (len(video.expressions), *video.size))
                except ContractError as error:
                    raise Breach(f"Video {video.id} of {video.size}, frame {p.frame}: {error}") from None
        return ""

    def input(self) -> str:
        video, written = watched(self._clips.video(self._a))
        answers(self._method, video)
        if written():
            raise Breach(
                f"Video {video.id}: frame {written()[0]} was changed in place; others read the same array, so "
                "work on a copy."
            )
        return ""

    def sentences(self) -> str:
        answers(self._method, self._clips.video("strange"))
        return ""

    def repeat(self) -> str:
        video = self._clips.video(self._a)
        what = "Built twice and shown the same video, it answers otherwise (random numbers without a seed?)"
        again = answers(self._built(self._clips), video)
        compare(f"{what}; video {video.id}", self._first[video.id], again)
        return ""

    def videos(self) -> str:
        a, b = self._clips.video(self._a), self._clips.video(self._b)
        method = self._built(self._clips)
        begun(method, a, 2)
        what = f"Video {b.id} gets another answer after video {a.id} was broken off"
        compare(what, answers(self._built(self._clips), b), answers(method, b))
        what = f"Video {a.id} gets another answer after video {b.id} than before it"
        compare(what, self._first[a.id], answers(method, a))
        return ""

    def expressions(self) -> str:
        method, video = self._built(self._clips), self._clips.video(self._b)
        together = self._first[video.id]
        for k, expression in enumerate(video.expressions):
            what = f"Video {video.id}: asked alone, expression {expression.id} gets another answer than among all"
            compare(what, together, answers(method, video, [expression]), rows=[k])
        rows = list(range(len(video.expressions)))[::-1]
        other = answers(method, video, [video.expressions[k] for k in rows])
        what = f"Video {video.id}: asked in reverse order, expressions get other answers"
        compare(what, together, other, rows=rows)
        return ""

    def online(self) -> str:
        if not self._method.info.online:
            raise NotAsked("info.online is False: it may look at the whole video")
        half = FRAMES // 2
        known = {self._a: 1, self._b: half, self._c: half}
        changed = [Cut(name, _WHOLE, changed_from=known[name]) for name in (self._a, self._b)]
        future = Clips(self._dataset, [*changed, Cut(self._c, _WHOLE[:half])])
        method = self._built(future)
        for name, frames in known.items():
            change = "where it ends there" if name == self._c else "with other frames from there on"
            what = (
                f"It says that it is online, but looks ahead. Video {name} up to frame {frames - 1}, {change}"
            )
            compare(what, self._first[name][:frames], answers(method, future.video(name)))
        return ""

    def images(self) -> str:
        several: Callable[..., Iterable[FramePrediction]] | None
        several = getattr(self._method, "segment_images", None)
        if several is None:
            raise NotAsked("it has no segment_images and takes images one by one")
        together = list(several(self._images))
        if len(together) != len(self._images):
            raise Breach(f"segment_images yields {len(together)} predictions for {len(self._images)} images.")
        for video, p in zip(self._images, together, strict=True):
            check_frame(self._method.info.name, p, (len(video.expressions), *video.size))
            compare(f"{video.id} of several at once", self._first[video.id], [p])
        return ""

    def memory(self) -> str:
        lengths = (FRAMES, LONG)
        cuts = [Cut(self._a, tuple(i % FRAMES for i in range(n)), f"{n} frames") for n in lengths]
        clips = Clips(self._dataset, cuts)
        short, long = clips.videos()
        frame = short.size[0] * short.size[1] * 3
        most_growth = max(MEMORY_SHARE * frame, LEAST_GROWTH)
        method = self._built(clips)
        with tracing():
            # What is loaded once (libraries, compiled kernels, the clips' own frames) is no growth.
            answers(method, long)
            for i in range(FRAMES):
                short.read(i)
            before, most = held(), [most_held(method, video) for video in (short, long)]
            left = (held() - before) / sum(lengths)
        growth = (most[1] - most[0]) / (LONG - FRAMES)
        if left > most_growth:
            raise Breach(f"It holds {left / 1024:.0f} KiB more for every frame, after the video has ended.")
        if growth <= most_growth:
            return ""
        if self._method.info.online:
            raise Breach(
                f"It holds {growth / 1024:.0f} KiB more with every frame of a video, whose frames have "
                f"{frame / 1024:.0f} KiB."
            )
        return f"{growth / 1024:.0f} KiB a frame are held, as an offline method may"

    def _built(self, clips: Clips) -> Method:
        method = registry.build_method(self._request)
        bind = getattr(method, "bind", None)
        if bind is not None:
            bind(clips)
        return method


_WHOLE = tuple(range(FRAMES))
