"""The harness: types, registry, runner, store, scoring and command line.

What a notebook needs stands here and is imported when it is first used::

    import refseg.bench

    result = refseg.bench.run("refsam_tiny", "refshapes", limit=4)
    result.table, result.items, result.plot()

``__all__`` is the public interface, with the modules ``types``, ``errors``, ``options`` and ``registry`` for authors
of methods and datasets; what is not in it may change in any release.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refseg.bench.deprecation import moved_name

if TYPE_CHECKING:
    from refseg.bench.api import Result, load_result, open_dataset, run, score
    from refseg.bench.conformance import Report, check_dataset, check_method

_HOMES: Mapping[str, str] = {
    "Report": "refseg.bench.conformance",
    "Result": "refseg.bench.api",
    "check_dataset": "refseg.bench.conformance",
    "check_method": "refseg.bench.conformance",
    "load_result": "refseg.bench.api",
    "open_dataset": "refseg.bench.api",
    "run": "refseg.bench.api",
    "score": "refseg.bench.api",
}

__all__ = [
    "Report",
    "Result",
    "check_dataset",
    "check_method",
    "load_result",
    "open_dataset",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    name = moved_name(name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
