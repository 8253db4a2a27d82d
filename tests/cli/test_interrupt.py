"""Ctrl-C, a killed process and a second process on the same folder: real signals to real processes."""

import signal
import time

import pytest

WAITS = """
import time
from pathlib import Path

import refseg_discs


class Waits(refseg_discs.Threshold):
    # Stops in the middle of the second video for as long as there is a file "hold".
    def segment(self, video, expressions):
        for prediction in super().segment(video, expressions):
            while (video.id, prediction.frame) == ("1", 2) and Path("hold").exists():
                time.sleep(0.01)
            yield prediction


def build(request):
    return Waits(request)
"""


@pytest.fixture
def plugins(discs, package):
    return [discs, package("waits", "[refseg.methods]\nwaits = waits:build\n", WAITS)]


def call(out):
    return ("run", "--method", "waits", "--dataset", "discs", "--no-page", "--out", out, "--json", "-")


def predictions(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.glob("predictions/*/*.json")}


@pytest.fixture
def half_done(start, plugins, tmp_path):
    """A process in the middle of the second of three videos, and its folder."""
    hold, out = tmp_path / "hold", tmp_path / "run"
    hold.touch()
    process = start(*call(out), plugins=plugins)
    for _ in range(3000):
        if len(predictions(out)) == 2:
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    yield process, out
    hold.unlink(missing_ok=True)


@pytest.fixture
def goes_on(apart, plugins, tmp_path):
    """Check that the same command finishes a folder to what an uninterrupted run gives."""

    def check(out):
        (tmp_path / "hold").unlink()
        kept = predictions(out)
        whole, resumed = (apart(*call(folder), plugins=plugins) for folder in (tmp_path / "whole", out))
        assert whole.code == resumed.code == 0, resumed.err
        # Only the two other videos of four frames are predicted again.
        assert len(kept) == 2 and "8/8 frames" in resumed.err and "12/12 frames" in whole.err
        assert (
            predictions(out) == predictions(tmp_path / "whole") and kept.items() <= predictions(out).items()
        )
        assert {**resumed.json, "run": ""} == {**whole.json, "run": ""}

    return check


def test_ctrl_c_is_one_sentence_and_the_same_command_goes_on(half_done, goes_on):
    process, out = half_done
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and stdout == "" and "Traceback" not in stderr
    assert "bench: interrupted; what is done is kept" in stderr
    goes_on(out)


def test_killed_process_leaves_a_folder_that_the_same_command_completes(half_done, goes_on):
    process, out = half_done
    process.kill()
    process.communicate()
    goes_on(out)


def test_second_process_on_a_folder_is_told_and_the_first_is_not_disturbed(
    half_done, apart, plugins, tmp_path
):
    process, out = half_done
    second = apart(*call(out), plugins=plugins)
    assert second.code == 2 and "Another run is at work" in second.sentence
    (tmp_path / "hold").unlink()
    stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and '"J": 100.0' in stdout and len(predictions(out)) == 6
