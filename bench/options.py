"""Typed options from ``KEY=VALUE`` strings: a frozen dataclass is the schema."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from refseg.bench.errors import InputError, unknown_name

T = TypeVar("T")

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The schema of what has no options."""


def split_assignments(pairs: Sequence[str]) -> dict[str, str]:
    """Turn ``["a=1", "b=x"]`` into a mapping.

    Raises:
        InputError: An element has no ``=`` or a key is given twice.
    """
    out: dict[str, str] = {}
    for pair in pairs:
        key, sep, value = pair.partition("=")
        if not sep or not key.strip():
            raise InputError(
                f"--set {pair!r} is not of the form KEY=VALUE; write for instance --set threshold=0.5."
            )
        if key.strip() in out:
            raise InputError(f"--set {key.strip()} is given twice; give it once.")
        out[key.strip()] = value.strip()
    return out


def split_prefix(options: Mapping[str, str], prefix: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options whose names do not begin with a prefix, and those that do, without it."""
    mine = {k: v for k, v in options.items() if not k.startswith(prefix)}
    return mine, {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix)}


def parse_options(schema: type[T], values: Mapping[str, str], *, owner: str) -> T:
    """Build ``schema`` (a dataclass with defaults) from strings, each converted to its field's type.

    Supported field types: bool, int, float, str, Literal[...], and each of them ``| None`` (``none`` gives None,
    unless it is one of the Literal's values).

    Args:
        schema: The dataclass.
        values: Option name -> text.
        owner: Whose options these are, for messages, e.g. ``"method refsam_tiny"``.

    Raises:
        InputError: An unknown option (nearest named) or a value that its type does not admit.
    """
    hints = typing.get_type_hints(schema)
    known = [f.name for f in dataclasses.fields(schema) if f.init]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise unknown_name(f"option of {owner}", key, known)
    return schema(**{key: _convert(key, text, hints[key], owner) for key, text in values.items()})


def _convert(key: str, text: str, kind: Any, owner: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        # Where none is itself one of the values, it means that value and not "as it is".
        named = any(typing.get_origin(a) is typing.Literal and text in typing.get_args(a) for a in args)
        if text.lower() == "none" and type(None) in args and not named:
            return None
        (inner,) = (a for a in args if a is not type(None))
        return _convert(key, text, inner, owner)
    if origin is typing.Literal:
        if text in args:
            return text
        raise InputError(f"Option {key}={text!r} of {owner} is not one of {', '.join(map(repr, args))}.")
    if kind is bool:
        if text.lower() in _TRUE | _FALSE:
            return text.lower() in _TRUE
        raise InputError(f"Option {key}={text!r} of {owner} is not a truth value; write true or false.")
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"Option {key}={text!r} of {owner} is not of type {kind.__name__}.") from None
