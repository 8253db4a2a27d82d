"""What is wrong with predictions, each kind of fault as one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from refseg.bench.errors import InputError
from refseg.bench.layouts.names import printable
from refseg.bench.layouts.png import MOST_IDS, FaultKind
from refseg.bench.types import OnMissing

Severity = Literal["error", "missing", "note"]

_EXAMPLES = 3

FAULTS: Mapping[FaultKind, str] = {
    "damaged": "files are damaged or no PNGs",
    "size": "files have another size than their video's frames",
    "colour": "files are coloured or 16-bit",
    "values": "masks hold other values than 0 and 255",
    "grey_palette": "label maps were turned from a palette into grey",
    "mask_as_labels": "label maps hold 0 and 255 in place of object ids",
    "object_id": f"label maps hold object ids over {MOST_IDS}",
}


@dataclass(frozen=True)
class Finding:
    """One kind of fault, with how often it was found.

    Attributes:
        kind: What it is; docs/predictions.md lists all.
        severity: ``error``: cannot be scored; ``missing``: ``--on-missing`` decides; ``note``: good to know.
        count: How many there are.
        examples: The first few: names, or for a file that cannot be used the whole sentence about it.
        text: One sentence.
    """

    kind: str
    severity: Severity
    count: int
    examples: tuple[str, ...]
    text: str

    def is_fatal(self, on_missing: OnMissing) -> bool:
        """Return whether nothing can be scored before it is mended."""
        return self.severity == "error" or (self.severity == "missing" and on_missing == "error")


def missing(kind: str, names: Sequence[str], of: int, what: str) -> list[Finding]:
    """Return the finding that some of ``of`` things are not there; none where no name is given."""
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    text = f"{len(names)} of {of} {what} {verb} missing ({shown(names)})."
    return [Finding(kind, "missing", len(names), _first(names), text)]


def faults(found: Mapping[FaultKind, Sequence[str]]) -> list[Finding]:
    """Return a finding for each kind of files that cannot be used, given the sentences about them."""
    out = []
    for kind, what in FAULTS.items():
        told = found.get(kind, ())
        if told:
            text = told[0] if len(told) == 1 else f"{len(told)} {what}; the first: {told[0]}"
            out.append(Finding(kind, "error", len(told), tuple(told[:_EXAMPLES]), text))
    return out


def note(kind: str, names: Sequence[str], text: str) -> Finding:
    """Return a finding that forbids nothing."""
    return Finding(kind, "note", len(names), _first(names), text)


def shown(names: Sequence[str]) -> str:
    """Return the first few names as they stand in a sentence."""
    return ", ".join(_first(names)) + (", …" if len(names) > _EXAMPLES else "")


def refuse(findings: Sequence[Finding], *, where: str, on_missing: OnMissing) -> None:
    """Raise where the findings forbid scoring.

    Raises:
        InputError: There are errors, or something is missing and that is an error.
    """
    fatal = [f for f in findings if f.is_fatal(on_missing)]
    if not fatal:
        return
    hints = [f for f in findings if f.kind == "misnamed"]
    told = " ".join(f.text for f in (*fatal, *hints))
    only_missing = all(f.severity == "missing" for f in fatal)
    mend = "; --on-missing empty scores what is missing as empty" if only_missing else ""
    raise InputError(f"{where} cannot be scored as it is: {told} Mend it{mend}.")


def _first(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(printable, names[:_EXAMPLES]))
