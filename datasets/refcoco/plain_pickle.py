"""Reads pickles of plain data, and nothing else: REFER's ``refs(<splitBy>).p`` were written by Python 2.

A pickle is a program. This reader knows only the instructions that build lists, tuples, dicts, strings and numbers;
any other one (a global, a call, an object's state, an outside reference) is refused before it is carried out. Python 2
strings are read as latin-1, as every RIS repository does.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from refseg.bench.errors import InputError

MOST_BYTES = 512 * 2**20
"""Larger files are refused unread; REFER's take tens of megabytes."""

MOST_READS = 100_000_000
"""Reads that a file may cost (about two an instruction), so that a small file cannot fill the memory; REFER's largest
costs some ten million, gRefCOCO's some thirty."""

_PLAIN = """
PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE
EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT DICT SETITEM SETITEMS
PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
"""
_NAMES = {ord(op.code): op.name for op in pickletools.opcodes}
_BROKEN = (
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
    pickle.UnpicklingError,
)


class _Refused(Exception):
    """An instruction that plain data does not need, or too many of them."""


class _PlainOnly(dict[int, Callable[..., None]]):
    def __missing__(self, code: int) -> NoReturn:
        raise _Refused(f"the instruction {_NAMES.get(code, f'0x{code:02x}')}")


class _Counted:
    """A file in memory that may be read from so many times."""

    def __init__(self, data: bytes) -> None:
        self._file, self._left = io.BytesIO(data), MOST_READS

    def read(self, size: int) -> bytes:
        self._count()
        return self._file.read(size)

    def readline(self) -> bytes:
        self._count()
        return self._file.readline()

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Refused(f"more than {MOST_READS // 2:,} instructions")


class _Unpickler(pickle._Unpickler):
    """The library's reader in Python; its memo is a dict, so an entry's number costs no memory."""

    dispatch = _PlainOnly(
        {code: pickle._Unpickler.dispatch[code] for code, n in _NAMES.items() if n in _PLAIN.split()}
    )


def read_plain_pickle(path: Path) -> Any:
    """Return what a pickle of plain data holds.

    Raises:
        InputError: It is missing, no pickle, truncated, too large, or holds anything but plain data.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MOST_BYTES else b""
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if size > MOST_BYTES:
        raise InputError(
            f"{path} is {size:,} bytes; one above {MOST_BYTES:,} is not REFER's: copy it again from its source."
        )
    try:
        return _Unpickler(_Counted(data), encoding="latin1").load()
    except _Refused as error:
        raise InputError(
            f"{path} is refused: its pickle holds {error}, and only lists, dicts, strings and numbers are read, so "
            "that a file cannot run code or fill the memory; copy it again from its source."
        ) from None
    except _BROKEN as error:
        raise InputError(
            f"{path} is no whole pickle ({type(error).__name__}: {error}); copy it again from its source."
        ) from None
