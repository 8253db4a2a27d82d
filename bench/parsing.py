"""JSON from files that may be anything: whatever is wrong with one is a ValueError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def parse_json(content: bytes | str, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return what JSON text holds.

    Args:
        content: The text, as UTF-8, UTF-16 or UTF-32 where it is bytes.
        pairs: Makes an object of its keys and values; None: a dict.

    Raises:
        ValueError: It is no JSON, nested too deeply, or holds a number too long to be one.
    """
    try:
        return json.loads(content, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_text(text: str) -> bool:
    """Return whether a string is characters: JSON can hold halves of surrogate pairs, which no file can."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
