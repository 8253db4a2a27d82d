"""Child processes: started whole or not at all, and not outliving the process that started them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType


def end_with_parent() -> None:
    """End this process when the one that started it is gone, however it went; call it in the child."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextlib.contextmanager
def starts_whole() -> Iterator[None]:
    """Keep Ctrl-C back while a ``with`` block starts processes: they never see it, this one does after the block.

    A spawned child that its parent leaves half started, or that is interrupted while it imports, prints a traceback.
    Does nothing outside of the main thread, which alone is interrupted.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed meanwhile; after the block.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    pressed: list[FrameType | None] = []
    # Started here, since its start ends with SIGINT let through.
    resource_tracker.ensure_running()
    earlier = signal.signal(signal.SIGINT, lambda _, frame: pressed.append(frame))
    # A child inherits what is blocked, but no handler; and another thread may take the signal for this one.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, earlier)
    if pressed and callable(earlier):
        earlier(signal.SIGINT, pressed[0])
