"""Processes and threads: the same result as one of them, and the same sentence where something is wrong."""

from pathlib import Path

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, run
from refseg.bench.scorer import ScoreRequest, score
from refseg.bench.scoring.frames import each_frame, label_frames, mask_frames, threads
from refseg.bench.scoring.parallel import Scored, score_videos, usual_jobs
from refseg.bench.types import Expression, Video
from refseg.datasets.refdavis import RefDavis

MINI = Path(__file__).parents[2] / "data/ref-davis-mini"


def on_davis(predictions, **kwargs):
    result = score(ScoreRequest(str(predictions), "refdavis17", root=str(MINI), **kwargs))
    return {k: v for k, v in result.items() if k != "predictions"}


def test_processes_and_threads_give_what_one_gives():
    # Two videos: two processes of two threads each.
    assert on_davis(MINI / "results/rvos", jobs=4) == on_davis(MINI / "results/rvos", jobs=1)


def test_wrong_input_in_another_process_is_told_as_here(tmp_path):
    request = RunRequest("oracle", "refdavis17", root=str(MINI), out=str(tmp_path / "run"), page=False)
    run(request)
    next((tmp_path / "run/predictions/libby").iterdir()).write_text("{}")
    told = []
    for jobs in (1, 2):
        with pytest.raises(InputError) as error:
            on_davis(tmp_path / "run", jobs=jobs)
        told.append(str(error.value))
    assert told[0] == told[1] and "damaged" in told[0]


def test_what_cannot_be_sent_is_scored_here():
    seen = []

    def unsendable(video):
        seen.append(video)
        return Scored([], [str(video)])

    assert [s.missing for s in score_videos(unsendable, 3, 2)] == [["0"], ["1"], ["2"]] and seen == [0, 1, 2]


def test_threads_keep_the_order_and_the_first_error():
    for count in (1, 3):
        with threads(count):
            assert [*each_frame(lambda i: i * i, range(100))] == [i * i for i in range(100)]
            assert [*each_frame(str, [])] == []
            with pytest.raises(ZeroDivisionError):
                list(each_frame(lambda i: 1 // (20 - i), range(100)))


def test_processes_are_started_where_they_pay(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})

    def video(frames, expressions):
        said = tuple(Expression(str(i), "x") for i in range(expressions))
        return Video("v", tuple(map(str, range(frames))), (4, 4), said, lambda i: None)

    assert usual_jobs([video(100, 8)] * 3) == 1
    assert usual_jobs([video(1000, 8)] * 2) == 2
    assert usual_jobs([video(1000, 8)] * 1000) == 4


def test_scoring_reads_frames_and_never_a_whole_video(monkeypatch):
    whole = on_davis(MINI / "results/rvos")
    for name in ("ground_truth", "label_maps"):
        monkeypatch.setattr(RefDavis, name, lambda *args: pytest.fail("a whole video was read"))
    assert on_davis(MINI / "results/rvos") == whole


def test_predictions_that_come_as_whole_arrays_are_read_frame_by_frame():
    masks = np.random.default_rng(0).random((3, 5, 70)) < 0.4
    labels = np.random.default_rng(1).integers(0, 4, (3, 5, 70), dtype=np.uint8)

    class Whole:
        def masks(self, video, expression):
            return masks if expression.id == "0" else None

        def label_maps(self, video, annotator):
            return labels if annotator == 0 else None

    video = Video("v", ("0", "1", "2"), (5, 70), (Expression("0", "a"), Expression("1", "b")), lambda i: None)
    frames, merged = mask_frames(Whole(), video, video.expressions[0]), label_frames(Whole(), video, 0)
    for t in range(3):
        assert (frames(t).unpacked(0) == masks[t]).all()
        assert all((merged(t).of(i).unpacked(0) == (labels[t] == i)).all() for i in range(1, 4))
    assert (
        mask_frames(Whole(), video, video.expressions[1]) is None and label_frames(Whole(), video, 1) is None
    )
