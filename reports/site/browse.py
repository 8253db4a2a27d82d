"""The data of a group's viewer: an index of all sentences with every run's scores, and a file a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refseg.bench.errors import InputError, RefsegError
from refseg.bench.progress import Progress
from refseg.bench.scorer import needs_of
from refseg.bench.types import Dataset, Expression, Video
from refseg.reports.decomposition import Floats, Kind, main_kind
from refseg.reports.gallery import score_names
from refseg.reports.page import reopened, without_folders
from refseg.reports.site.runs import Group, Run
from refseg.reports.site.sheets import PER_SHEET, Shown, sheets, shown_frames
from refseg.reports.site.video import Judged, look_at

Write = Callable[[str, bytes], None]
Pair = tuple[str, str]

_MOST_LABELS = 12


@dataclass(frozen=True)
class Errors:
    """A run's errors: means over its sentences.

    Attributes:
        run: The run.
        sentences: How many were judged.
        shares: (6,) of the frames, 0..1.
        losses: (6,) of J, 0..1; with J they sum to 1.
    """

    run: Run
    sentences: int
    shares: Floats
    losses: Floats

    @property
    def kept(self) -> float:
        """Return J, 0..1."""
        return float(1 - self.losses.sum())


@dataclass
class Browsed:
    """What the pages say of a group beside its data.

    Attributes:
        errors: Of each run whose masks could be judged.
        sentences: How many the viewer lists.
        trouble: Why there are no pictures; empty: there are.
        troubles: A sentence on each file that cannot be shown.
    """

    errors: list[Errors] = field(default_factory=list)
    sentences: int = 0
    trouble: str = ""
    troubles: list[str] = field(default_factory=list)


def browse(group: Group, write: Write, progress: Progress) -> Browsed:
    """Write a group's data: ``index.js``, and for each video ``vNNNN.js`` and its frames."""
    runs = [run for run in group.runs if run.result is not None]
    dataset, trouble = _opened(runs)
    out = Browsed(trouble=without_folders(trouble))
    videos = _videos(dataset, runs)
    table = _Table(runs, videos)
    listed = []
    with progress.task(f"site of {group.title}", len(videos), "videos") as task:
        for number, video in enumerate(videos):
            name, shown = f"v{number + 1:04}", shown_frames(video)
            files: list[tuple[str, bytes]] = []
            if dataset is not None:
                try:
                    data = look_at(dataset, video, shown, runs)
                    files = [(f"{name}/{part}.jpg", jpeg) for part, jpeg in sheets(video, shown)]
                except (RefsegError, OSError, ValueError) as error:
                    out.troubles.append(without_folders(f"video {video.id}: {error}"))
                else:
                    files.append((f"{name}.js", script(name, data.content())))
                    out.troubles += map(without_folders, data.troubles)
                    table.judge(data.judged)
            for path, content in files:
                write(f"{group.folder}/{path}", content)
            listed.append(_facts(video, shown, name if files else ""))
            table.add(video, number)
            task.advance()
    out.errors = list(table.errors())
    out.sentences = len(table.sentences)
    index = {"title": group.title, "perSheet": PER_SHEET, "videos": listed, **table.content()}
    write(f"{group.folder}/index.js", script("index", index))
    return out


def script(name: str, value: Any) -> bytes:
    """Return a script that hands a value to the page: JSON in ASCII, so that no text in it can end or break it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # Also safe where somebody pastes the file into a page.
    return f"refseg.take({json.dumps(name)},{text.replace('<', chr(92) + 'u003c')});\n".encode("ascii")


def _opened(runs: Sequence[Run]) -> tuple[Dataset | None, str]:
    trouble = "no run is finished"
    for run in runs:
        dataset, trouble = reopened(run.record)
        if dataset is not None:
            return dataset, ""
    return None, trouble


def _videos(dataset: Dataset | None, runs: Sequence[Run]) -> list[Video]:
    """Return the videos that any run is of; without the dataset, what the scores tell of them."""
    if dataset is not None:
        most = max(int(run.record["counts"]["videos"]) for run in runs)
        return list(dataset.videos())[:most]
    found: dict[str, dict[str, int]] = {}
    for run in runs:
        one = next((one for one in run.scored if _one_a_sentence(one["items"])), None)
        for item in one["items"] if one else ():
            found.setdefault(item["video"], {})[item["expression"]] = int(item["frames"])
    return [
        Video(
            name,
            tuple(map(str, range(max(said.values())))),
            (1, 1),
            tuple(Expression(e, "") for e in said),
            _no_frame,
        )
        for name, said in found.items()
    ]


def _no_frame(i: int) -> Any:
    raise ValueError("The dataset is not at hand.")


def _one_a_sentence(items: Sequence[Mapping[str, Any]]) -> bool:
    return len({(i["video"], i["expression"]) for i in items}) == len(items)


def _facts(video: Video, shown: Shown, file: str) -> dict[str, Any]:
    return {
        "id": video.id,
        "file": file,
        "size": list(video.size),
        "frames": len(video),
        "shown": len(shown.times),
        "frame": list(shown.size),
        "sheets": shown.sheets,
    }


class _Table:
    """Sentences as rows, runs as columns."""

    def __init__(self, runs: Sequence[Run], videos: Sequence[Video]) -> None:
        self._runs = runs
        self.sentences: list[list[Any]] = []
        self._attributes = _attributes(videos)
        self.protocol, self._names = _sentence_protocol(runs, videos)
        self._scores = {run.number: _scores(run, self.protocol) for run in runs}
        self._columns: dict[int, list[list[float | None] | None]] = {run.number: [] for run in runs}
        self._judged: dict[int, list[Judged | None]] = {run.number: [] for run in runs}

    def judge(self, judged: Mapping[int, Sequence[Judged | None]]) -> None:
        """Take what the masks of the next video are."""
        for number, column in self._judged.items():
            column += judged[number]

    def add(self, video: Video, number: int) -> None:
        """Take the next video's sentences."""
        for k, expression in enumerate(video.expressions):
            facts = [_label(expression.attributes.get(name)) for name in self._attributes]
            self.sentences.append([number, k, expression.id, expression.text, facts])
            for run, column in self._columns.items():
                item = self._scores[run].get((video.id, expression.id))
                column.append(None if item is None else [rounded(item.get(n)) for n in self._names])
        for judged in self._judged.values():
            # A video that could not be looked at.
            judged += [None] * (len(self.sentences) - len(judged))

    def errors(self) -> list[Errors]:
        """Return each run's errors."""
        out = []
        for run in self._runs:
            known = [j for j in self._judged[run.number] if j is not None]
            if known:
                parts = (np.mean([getattr(j, n) for j in known], axis=0) for n in ("shares", "losses"))
                out.append(Errors(run, len(known), *parts))
        return out

    def content(self) -> dict[str, Any]:
        """Return it as the page's script reads it."""
        return {
            "protocol": self.protocol,
            "scores": self._names,
            "kinds": [kind.words for kind in Kind],
            "attributes": [{"name": n, "values": v} for n, v in self._attributes.items()],
            "sentences": self.sentences,
            "runs": [self._run(run) for run in self._runs],
        }

    def _run(self, run: Run) -> dict[str, Any]:
        judged = self._judged[run.number]
        return {
            "number": run.number,
            "label": run.label,
            "page": run.page,
            "control": bool(run.record["method"].get("uses_truth")),
            "scores": self._columns[run.number],
            "main": [None if j is None else int(main_kind(j.shares)) for j in judged],
            "shares": [None if j is None else np.rint(100 * j.shares).astype(int).tolist() for j in judged],
            "iou": [None if j is None else rounded(100 * float(j.iou.mean())) for j in judged],
        }


def _attributes(videos: Sequence[Video]) -> dict[str, list[str]]:
    """Return the facts about sentences that tell them apart, with their values."""
    values: dict[str, dict[str, None]] = {}
    for video in videos:
        for expression in video.expressions:
            for name, value in expression.attributes.items():
                if isinstance(value, str | bool):
                    values.setdefault(name, {})[_label(value)] = None
    return {n: sorted(v) for n, v in values.items() if 1 < len(v) <= _MOST_LABELS}


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else ""


def _sentence_protocol(runs: Sequence[Run], videos: Sequence[Video]) -> tuple[str, list[str]]:
    """Return the first protocol whose items are sentences, all of the run's, and the names of its scores."""
    pairs = {(v.id, e.id) for v in videos for e in v.expressions}
    for run in runs:
        for one in run.scored:
            items = one["items"]
            found = {(i["video"], i["expression"]) for i in items}
            asked = {v for v, _ in found}
            whole = {p for p in pairs if p[0] in asked}
            if items and len(found) == len(items) and found == whole and not _of_objects(one["protocol"]):
                names = score_names(items)
                return str(one["protocol"]), sorted(names, key=lambda n: n not in one["metrics"])
    return "", []


def _of_objects(protocol: str) -> bool:
    """Return whether a protocol scores merged objects, which are not a sentence's own masks."""
    try:
        return "label_maps" in needs_of(protocol)
    except InputError:
        # A third party's that is not installed here.
        return False


def _scores(run: Run, protocol: str) -> dict[Pair, Mapping[str, Any]]:
    return {
        (i["video"], i["expression"]): i
        for one in run.scored
        if one["protocol"] == protocol
        for i in one["items"]
    }


def rounded(value: Any) -> float | None:
    """Return a score as pages hold it, to 0.01; None where it is none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(float(value), 2) if number else None
