"""Progress and notes can be read in a log file, and on a dark and a light terminal."""

import io
import re
import sys
import time

import pytest

from refseg.bench.progress import Bars, Plain, for_terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-8][0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Open a terminal in the place of stderr."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def opened():
        # In the test itself: pytest puts its own stderr back between a fixture and its test.
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return opened


def work(progress):
    with progress.task("predicting", 3, "frames") as task:
        task.advance(2)
        task.note("video [b] failed: 'x' is [red]")
        task.advance()


def test_log_file_gets_lines_without_control_codes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress = for_terminal()
    assert isinstance(progress, Plain)
    work(progress)
    text = sys.stderr.getvalue()
    assert "\x1b" not in text and "\r" not in text
    assert text.splitlines()[0] == "bench: video [b] failed: 'x' is [red]"
    assert re.fullmatch(r"predicting: 3/3 frames in [\d.]+ s \([\d.]+ frames/s\)", text.splitlines()[1])


def test_terminal_gets_a_bar_whose_text_has_the_terminal_s_own_colour(terminal):
    shown, progress = terminal(), for_terminal()
    assert isinstance(progress, Bars)
    work(progress)
    text = shown.getvalue()
    assert "3/3" in text and "video [b] failed: 'x' is [red]" in text
    # The bar itself may have a colour; words and numbers have none.
    assert COLOUR.search(text) and not re.search(rf"{COLOUR.pattern}[^\x1b]*[A-Za-z0-9]", text)


def test_no_color_is_heard(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown = terminal()
    work(for_terminal())
    assert "3/3" in shown.getvalue() and not COLOUR.search(shown.getvalue())


@pytest.mark.parametrize(("steps", "said"), [(4, "40 s left"), (10, "3 min left"), (272, "1 h 30 min left")])
def test_a_log_says_what_is_left_in_units_that_people_read(monkeypatch, steps, said):
    now, log = [0.0], io.StringIO()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Plain(log).task("training", steps, "steps") as task:
        now[0] = 40.0
        task.advance(2)
    # Two steps took 40 seconds.
    assert said in log.getvalue().splitlines()[0]
