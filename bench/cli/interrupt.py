"""Ctrl-C ends a command within two seconds, also one that is in the middle of long work in C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

GRACE = 1.2
"""Seconds that a command has to end by itself after Ctrl-C."""

_OVER = b"\0"


@contextlib.contextmanager
def ends_soon(tell: Callable[[], None], code: int) -> Iterator[None]:
    """End this process where a ``with`` block has not ended ``GRACE`` seconds after Ctrl-C.

    Python raises KeyboardInterrupt between two steps of its own; a model's one long operation is one step. Files are
    whole or absent at any moment, so that nothing is lost by leaving at once. Does nothing outside of the main thread.

    Args:
        tell: Says that the command was interrupted.
        code: The exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        # The system writes a signal's number here at once, whatever the main thread is at.
        while (number := os.read(reader, 1)) != _OVER:
            if number[0] == signal.SIGINT and not over.wait(GRACE):
                tell()
                os._exit(code)

    watcher = threading.Thread(target=watch, name="ctrl-c", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(earlier)
        # Closing would not do: a forked child may hold the other end still.
        os.write(writer, _OVER)
        watcher.join()
        os.close(writer)
        os.close(reader)
