"""Grids of one's own from TOML files: the fields of :class:`Grid`, :class:`Setting` and :class:`Training`, no code."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from refseg.bench import registry
from refseg.bench.errors import InputError, unknown_name
from refseg.bench.grids import Grid, Setting, Training

SUFFIX = ".toml"
_PARTS: Mapping[str, type[Setting] | type[Training]] = {"settings": Setting, "trainings": Training}
_OURS = {"table", "curve", "published", "full_size"}
"""What belongs to grids that answer a table of the paper."""

T = TypeVar("T", bound=Grid | Setting | Training)


def read_grid(path: Path) -> Grid:
    """Return the grid that a file holds; it is called as the file is, without its suffix.

    Raises:
        InputError: The file is no TOML, or what it holds is no grid; says where and what was expected.
    """
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a grid's TOML file.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no TOML: {error}; see docs/ablations.md for a grid.") from None
    where = str(path)
    parts = {key: _tables(content.pop(key, []), f"{where}, {key}") for key in _PARTS}
    if not parts["settings"]:
        raise InputError(f"{where} has no [[settings]]; give at least one, with label and method.")
    made = {
        key: tuple(_made(_PARTS[key], table, f"{where}, {key} {i + 1}") for i, table in enumerate(tables))
        for key, tables in parts.items()
    }
    content.setdefault("title", path.stem)
    grid = _made(Grid, content, where, name=path.stem, **made)
    _check(grid, where)
    return grid


def _check(grid: Grid, where: str) -> None:
    """Refuse names that do not exist, before anything is trained."""
    registry.entry("datasets", grid.dataset)
    labels = [setting.label for setting in grid.settings]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"{where} has two settings with the label {label!r}; give each its own.")
    if grid.base and grid.base not in labels:
        raise unknown_name(f"base of {where}", grid.base, labels)
    known: list[str] = []
    for training in grid.trainings:
        registry.entry("recipes", training.recipe)
        if not training.name.isidentifier() or training.name in known:
            raise InputError(
                f"{where} calls a training {training.name!r}; give each a name of its own, of letters, digits and _."
            )
        _check_places({**training.options, **training.quick}, known, f"{where}, training {training.name}")
        known.append(training.name)
    for setting in grid.settings:
        registry.entry("methods", setting.method)
        if known:
            options = {**setting.options, **setting.switches, **setting.training}
            _check_places(options, known, f"{where}, {setting.label}")


def _check_places(options: Mapping[str, str], known: Sequence[str], where: str) -> None:
    """Refuse ``{name}`` in an option's value where no earlier training has the name."""
    for key, value in options.items():
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(value) if name is not None]
        except ValueError:
            raise InputError(f"{where}: {key} = {value!r} has a single brace; write it twice.") from None
        for name in names:
            if name not in known:
                raise unknown_name(f"training in {key} of {where}", name, known)


def _tables(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise InputError(f"{where} must be tables, as [[{where.rsplit(' ', 1)[-1]}]] begins one.")
    return value


def _made(kind: type[T], table: Mapping[str, Any], where: str, **given: Any) -> T:
    """Return a table as one of the classes; texts are texts, options become texts."""
    admitted = {f.name: f for f in fields(kind) if f.name not in _OURS | given.keys()}
    for key in table:
        if key not in admitted:
            raise unknown_name(f"key of {where}", key, admitted)
    for name, field in admitted.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in table:
            raise InputError(f"{where} has no {name}; give one.")
    values = {key: _value(str(admitted[key].type), value, f"{where}, {key}") for key, value in table.items()}
    return kind(**values, **given)


def _value(kind: str, value: Any, where: str) -> Any:
    if kind.startswith("Mapping"):
        if not isinstance(value, dict) or not all(isinstance(v, str | int | float) for v in value.values()):
            raise InputError(f"{where} must be options, such as {{threshold = 0.5}}; found {_short(value)}.")
        return {key: str(v).lower() if isinstance(v, bool) else str(v) for key, v in value.items()}
    if kind.startswith("tuple"):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise InputError(f'{where} must be a list of texts, such as ["type"]; found {_short(value)}.')
        return tuple(value)
    wanted = bool if kind == "bool" else str
    if not isinstance(value, wanted) or value == "":
        expected = "true or false" if wanted is bool else "a text"
        raise InputError(f"{where} must be {expected}; found {_short(value)}.")
    return value


def _short(value: Any) -> str:
    return repr(value)[:60]
