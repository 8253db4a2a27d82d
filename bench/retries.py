"""What becomes of a video that fails: it is tried again alone, then sentence by sentence, then named.

Out of memory, a process that dies and a hang are often the company's fault (other workers, many sentences at
once), so each rung asks for less at a time. Our own errors (a damaged frame, a broken promise of the method) come
again however often one asks, and are named at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from refseg.bench.merge import merge_groups
from refseg.bench.types import Expression, Video

Rung = Literal["first", "alone", "by_expression"]

HOPELESS = 3
"""Where so many videos are named and none has succeeded, the fault is not theirs and nothing is tried again."""


@dataclass(frozen=True)
class Attempt:
    """One try at expressions of one video.

    Attributes:
        index: Which of the videos that are to be predicted.
        expressions: Those that are asked for.
        rung: How often and how it is tried.
    """

    index: int
    expressions: tuple[Expression, ...]
    rung: Rung = "first"


class Retries:
    """The policy, and the list of what failed for good.

    Args:
        videos: The videos that are to be predicted, by the attempts' index.
    """

    def __init__(self, videos: Sequence[Video]) -> None:
        self._videos = videos
        self._waiting: deque[Attempt] = deque()
        self._lost: dict[int, tuple[list[Expression], str]] = {}
        self._succeeded = False
        self.tried = 0
        """How many attempts were second or third ones."""

    def __len__(self) -> int:
        return len(self._waiting)

    def video(self, attempt: Attempt) -> Video:
        """Return the video of an attempt."""
        return self._videos[attempt.index]

    def next(self) -> Attempt | None:
        """Return what is to be tried next, with nothing else at work beside it; None: nothing."""
        if not self._waiting:
            return None
        self.tried += 1
        return self._waiting.popleft()

    def succeeded(self, attempt: Attempt) -> None:
        """Take note that an attempt gave all its predictions."""
        self._succeeded = True

    def failed(self, attempt: Attempt, error: str, *, final: bool = False) -> bool:
        """Take a failed attempt.

        Args:
            attempt: What failed.
            error: Why, one line.
            final: It would fail again.

        Returns:
            Whether it is tried again.
        """
        hopeless = not self._succeeded and len(self._lost) >= HOPELESS
        again = [] if final or hopeless else self._lower(attempt)
        if not again:
            expressions, first = self._lost.get(attempt.index, ([], error))
            self._lost[attempt.index] = ([*expressions, *attempt.expressions], first)
        # A video's sentences come one after the other, and before the next video's.
        self._waiting = (
            deque(again) + self._waiting if attempt.rung == "alone" else self._waiting + deque(again)
        )
        return bool(again)

    def give_back(self, attempt: Attempt) -> None:
        """Take back a second or third attempt that was cut short by nothing of its own."""
        self.tried -= 1
        self._waiting.appendleft(attempt)

    @property
    def failures(self) -> list[dict[str, object]]:
        """``{"video", "error"}`` of every video that failed for good, in the videos' order.

        Where some of its expressions were predicted, ``"expressions"`` names those that were not.
        """
        out: list[dict[str, object]] = []
        for index, (expressions, error) in sorted(self._lost.items()):
            video = self._videos[index]
            lost: dict[str, object] = {"video": video.id, "error": error}
            if len(expressions) < len(video.expressions):
                lost["expressions"] = [e.id for e in expressions]
            out.append(lost)
        return out

    def _lower(self, attempt: Attempt) -> list[Attempt]:
        if attempt.rung == "first":
            return [Attempt(attempt.index, attempt.expressions, "alone")]
        units = _units(self._videos[attempt.index], attempt.expressions) if attempt.rung == "alone" else []
        return [Attempt(attempt.index, unit, "by_expression") for unit in units] if len(units) > 1 else []


def _units(video: Video, expressions: Sequence[Expression]) -> list[tuple[Expression, ...]]:
    """Return the least that can be asked for: an expression, or an annotator's, which are merged with each other."""
    group_of = {e.id: group.annotator for group in merge_groups(video) for e in group.expressions}
    units: dict[tuple[str, object], list[Expression]] = {}
    for e in expressions:
        unit = ("annotator", group_of[e.id]) if e.id in group_of else ("expression", e.id)
        units.setdefault(unit, []).append(e)
    return [tuple(unit) for unit in units.values()]
