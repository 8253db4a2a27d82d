"""How numba compiles the kernels, and their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
Int: TypeAlias = Any
"""An int64: what is one type to the compiler, numpy's stubs take for several."""

F = TypeVar("F", bound=Callable[..., Any])

_njit: Any = numba.njit
_OPTIONS = {"nogil": True, "error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile what Python calls; the machine code is kept for later processes."""
    try:
        made: F = _njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's cache can be written, so each process compiles anew.
        made = _njit(**_OPTIONS)(function)
    return made


def inner(function: F) -> F:
    """Compile what other kernels of the same file call; no wrapper for Python is made.

    The same file, because numba's cache does not see that another file's function changed.
    """
    made: F = _njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return made
