"""Questions that are asked one after the other, and what came of them."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from refseg.bench.errors import RefsegError, unknown_name
from refseg.bench.progress import Progress, Silent

Status = Literal["passed", "failed", "skipped"]

_OURS = str(Path(__file__).parent)


class Breach(RefsegError):
    """The interface is broken, and how."""


class NotAsked(RefsegError):
    """The question does not arise, and why."""


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Attributes:
        name: Short name, e.g. ``"online"``.
        asks: What was looked at, in words.
        status: What came of it.
        text: How the interface is broken, why the question was left out, or what else is to be said.
    """

    name: str
    asks: str
    status: Status
    text: str = ""


@dataclass(frozen=True)
class Report:
    """All questions of one method or dataset.

    Attributes:
        kind: What was looked at.
        name: Its name.
        checks: The questions in the order asked.
    """

    kind: Literal["method", "dataset"]
    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is broken."""
        return not self.faults

    @property
    def faults(self) -> dict[str, str]:
        """Name of each question that failed -> how the interface is broken."""
        return {c.name: c.text for c in self.checks if c.status == "failed"}

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        checks = [asdict(c) for c in self.checks]
        return {"kind": self.kind, "name": self.name, "passed": self.passed, "checks": checks}

    def __str__(self) -> str:
        width = max(len(c.name) for c in self.checks)
        lines = [f"{self.kind} {self.name}"]
        for c in self.checks:
            lines.append(f"  {c.status:8}{c.name:{width}}  {c.asks}")
            lines += [f"  {'':8}{'':{width}}  -> {c.text}"] if c.text else []
        broken = len(self.faults)
        lines.append(
            f"{broken} of {len(self.checks)} questions failed." if broken else "The interface is kept."
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        name: Short name.
        asks: What is looked at, in words.
        ask: Returns what is to be said beside; raises :class:`Breach` or :class:`NotAsked`. Any other exception is
            the method's or the dataset's own, and a breach too.
        needs: Questions that must have passed, else this one cannot be answered.
    """

    name: str
    asks: str
    ask: Callable[[], str]
    needs: tuple[str, ...] = ()


def ask_all(
    kind: Literal["method", "dataset"],
    name: str,
    questions: Sequence[Question],
    *,
    skip: Collection[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Ask every question that can be asked.

    Args:
        kind: What is looked at.
        name: Its name.
        questions: The questions in order.
        skip: Names of questions to leave out.
        progress: Where it is shown.

    Raises:
        InputError: A name to skip is unknown.
    """
    for one in skip:
        if one not in {q.name for q in questions}:
            raise unknown_name("check", one, [q.name for q in questions])
    done: dict[str, Check] = {}
    with (progress or Silent()).task(f"checking {name}", len(questions), "questions") as task:
        for q in questions:
            done[q.name] = Check(q.name, q.asks, *_answer(q, done, skip))
            task.advance()
    return Report(kind, name, tuple(done.values()))


def told(error: Exception) -> str:
    """Return an exception as one line, with the place of the author's own code that raised it."""
    if isinstance(error, RefsegError):
        return str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(_OURS)]
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"raises {type(error).__name__}: {' '.join(str(error).split())}{where}"


def _answer(q: Question, done: Mapping[str, Check], skip: Collection[str]) -> tuple[Status, str]:
    if q.name in skip:
        return "skipped", "left out as asked"
    for need in q.needs:
        if done[need].status != "passed":
            return "skipped", f"cannot be told before {need!r} passes"
    try:
        return "passed", q.ask()
    except NotAsked as reason:
        return "skipped", str(reason)
    except Exception as error:
        return "failed", told(error)
