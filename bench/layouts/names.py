"""Names that come from a file and become parts of a path."""

from __future__ import annotations

import unicodedata

from refseg.bench.errors import InputError

_LONGEST = 255


def safe_id(text: str, *, what: str, where: str) -> str:
    """Return ``text`` if it can be one part of a path that stays in its folder.

    Args:
        text: The id.
        what: What it names, e.g. ``"video id"``.
        where: The file it stands in.

    Raises:
        InputError: It is empty, holds a separator, a drive letter or a control character, is ``.`` or ``..``,
            has blanks at an end, or is too long for a file name.
    """
    bad = (
        not text
        or text in (".", "..")
        or text != text.strip()
        or any(c in "/\\:" or unicodedata.category(c) in ("Cc", "Cs") for c in text)
        or len(text.encode("utf-8", "replace")) > _LONGEST
    )
    if bad:
        raise InputError(
            f"{where} holds the {what} {text!r}, which cannot name a file in its folder; ids must be plain "
            "names without separators, '..' or control characters."
        )
    return text


def natural_key(text: str) -> tuple[int, int, str]:
    """Return a sort key: numbers by value, before other names (so "2" comes before "10")."""
    if text.isascii() and text.isdecimal():
        return (0, int(text), text)
    return (1, 0, text)


def printable(text: str) -> str:
    """Return a stranger's name as it may stand in a message: nothing in it can steer a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]
