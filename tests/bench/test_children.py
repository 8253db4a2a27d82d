"""Ctrl-C while processes are started: this process has it afterwards, those never."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from refseg.bench.children import starts_whole
from refseg.bench.engines import processes

BLOCKED = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


@pytest.fixture(autouse=True)
def interruptible():
    """A test run in the background ignores Ctrl-C."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


def blocked():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.fixture
def other():
    """A thread that was there before: one that is started within a block inherits what is blocked."""
    press = threading.Event()

    def wait():
        press.wait()
        if not over:
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    over = []
    thread = threading.Thread(target=wait)
    thread.start()
    yield lambda: (press.set(), thread.join())
    over.append(True)
    press.set()
    thread.join()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_ctrl_c_waits_until_the_block_has_ended(elsewhere, other):
    done = []
    with pytest.raises(KeyboardInterrupt):
        with starts_whole():
            if elsewhere:
                other()
            else:
                os.kill(os.getpid(), signal.SIGINT)
            done.append("started")
        done.append("after")
    assert done == ["started"] and not blocked()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_within_ends_the_waiting_too():
    with pytest.raises(ValueError, match="inside"), starts_whole():
        raise ValueError("inside")
    assert not blocked() and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_process_started_within_does_not_see_ctrl_c_and_one_started_after_does():
    def said():
        return subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True).stdout.strip()

    with starts_whole():
        within = said()
    assert (within, said()) == ("True", "False")


def test_another_thread_that_starts_processes_is_let_be():
    held = []

    def run():
        with starts_whole():
            held.append((blocked(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert held == [(False, signal.default_int_handler)]


@pytest.mark.parametrize(("given", "expected"), [("3", "3"), (None, "1")])
def test_workers_have_the_threads_that_the_user_set_and_else_a_share_of_the_cores(
    monkeypatch, given, expected
):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    with processes._share_of_cores(2):
        assert [os.environ[name] for name in names] == [expected] * 2
    assert [os.environ.get(name) for name in names] == [given, None]
