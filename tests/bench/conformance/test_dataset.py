"""Each way to break a dataset's interface is caught by the question that is about it, and good datasets pass."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.conformance import DATASET_CHECKS, check_dataset
from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest, GroundTruth

MINI = Path(__file__).parents[2] / "data/ref-davis-mini"


def with_info(**fields):
    def breaks(dataset):
        dataset.info = replace(dataset.info, **fields)

    return breaks


def with_videos(change):
    """Break the list of videos."""

    def breaks(dataset):
        videos = dataset.videos()
        dataset.videos = lambda: change([*videos])

    return breaks


def with_video(**fields):
    return with_videos(lambda videos: [videos[0], replace(videos[1], **fields), *videos[2:]])


def with_expression(**fields):
    def change(videos):
        first, *rest = videos[0].expressions
        return [replace(videos[0], expressions=(replace(first, **fields), *rest)), *videos[1:]]

    return with_videos(change)


def with_truth(change):
    """Break the truth: ``change(masks, expression's id)``."""

    def breaks(dataset):
        truth = dataset.ground_truth
        dataset.ground_truth = lambda video, expression: change(truth(video, expression), expression)

    return breaks


def with_frames(change):
    """Break the frames: ``change(video, read)`` returns another reader."""
    return with_videos(lambda videos: [replace(v, read=change(v, v.read)) for v in videos])


def one_array(video, read):
    kept = read(0)

    def read_into(i):
        kept[:] = read(i)
        return kept

    return read_into


def kept_frames(video, read):
    frames = [read(i) for i in range(len(video))]
    return lambda i: frames[i]


def forward_only(video, read):
    place = itertools.count()
    return lambda i: read(next(place) % len(video))


def with_labels(dataset):
    def label_maps(video_id):
        masks = [dataset.ground_truth(video_id, e.id).masks for e in dataset.video(0).expressions]
        return sum(np.uint8(k + 1) * m for k, m in enumerate(masks))

    dataset.label_maps = label_maps


opened = itertools.count()


def other_fingerprint(dataset):
    dataset.info = replace(dataset.info, fingerprint=str(next(opened)))


BROKEN = {
    "facts": [
        with_info(name="another"),
        with_info(version=""),
        with_info(fingerprint=""),
        with_info(protocols=()),
        with_info(protocols=("refshapes/per_expresion",)),
    ],
    "videos": [
        with_videos(lambda videos: []),
        with_videos(lambda videos: [*videos, videos[0]]),
        with_video(id=""),
        with_video(frame_ids=()),
        with_video(frame_ids=("a", "a")),
        with_video(size=(40, 60, 3)),
        with_expression(text=" "),
        with_expression(id="140"),
        with_expression(object_ids="60"),
        with_expression(attributes={"type": {1, 2}}),
    ],
    "frames": [
        with_frames(lambda v, read: lambda i: read(i)[:, :-1]),
        with_frames(lambda v, read: lambda i: read(i) / 255),
        with_frames(lambda v, read: lambda i: read(i)[..., 0]),
        with_frames(forward_only),
    ],
    "own_frames": [with_frames(kept_frames)],
    "truth": [
        with_truth(lambda t, e: GroundTruth(t.masks[:-1])),
        with_truth(lambda t, e: GroundTruth(t.masks.astype(np.uint8))),
        with_truth(lambda t, e: GroundTruth(t.masks, t.masks[0])),
        with_truth(lambda t, e: GroundTruth(np.zeros_like(t.masks))),
        with_truth(lambda t, e: None if e == "60" else t),
        with_expression(object_ids=()),
    ],
    "label_maps": [with_labels],
    "fingerprint": [other_fingerprint],
}


def test_every_question_has_a_dataset_that_fails_it():
    assert {*BROKEN} | {"wrong_call", "scores"} == {*DATASET_CHECKS}


@pytest.mark.parametrize(("question", "breaks"), [(q, b) for q, bs in BROKEN.items() for b in bs])
def test_broken_dataset_is_caught(check_squares, question, breaks):
    report = check_squares(breaks, skip=["scores", "wrong_call"])
    assert report.faults.keys() == {question}, report
    assert len(report.faults[question]) > 20


def test_good_dataset_passes(check_squares):
    report = check_squares(lambda dataset: None)
    assert report.passed, report
    assert {c.name for c in report.checks if c.status == "skipped"} == {"label_maps"}


def test_one_array_for_all_frames_is_caught(check_squares):
    report = check_squares(with_frames(one_array), skip=["scores"])
    assert report.faults.keys() & {"frames", "own_frames"}, report


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda kind, request: kind(DatasetRequest("squares")), "An unknown split (no_such_thing) is taken"),
        (
            lambda kind, request: kind(replace(request, options={})),
            "An unknown option (no_such_thing) is taken",
        ),
        (lambda kind, request: kind({None: request}[request.split]), "An unknown split raises KeyError"),
    ],
)
def test_wrong_calls_that_are_not_refused_are_caught(squares, build, said):
    with registry.registered("datasets", "squares", lambda request: build(type(squares), request)):
        report = check_dataset("squares", skip=["scores"])
    assert report.faults.keys() == {"wrong_call"} and said in report.faults["wrong_call"]


def test_truth_that_does_not_score_100_is_caught(check_squares, monkeypatch):
    from refseg.bench.protocols.per_expression import PerExpression

    whole = PerExpression.aggregate
    monkeypatch.setattr(
        PerExpression, "aggregate", lambda self, items: {"J&F": whole(self, items)["J&F"] / 2}
    )
    report = check_squares(lambda dataset: None)
    assert report.faults == {"scores": "The truth scores J&F 50.00 by refshapes/per_expression, and not 100."}


def test_hidden_labels_are_no_fault(check_squares):
    report = check_squares(with_truth(lambda t, e: None))
    assert report.passed, report


def test_part_of_a_split_is_told(check_squares):
    report = check_squares(with_videos(lambda videos: videos[:3]), skip=["scores"])
    assert report.passed
    assert [c.text for c in report.checks if c.name == "videos"] == [
        "the copy holds 3 of 4 videos, 9 of 12 sentences"
    ]


def test_refshapes_and_real_videos_pass():
    for request in (DatasetRequest("refshapes", "no_target"), DatasetRequest("refdavis17", root=str(MINI))):
        report = check_dataset(request)
        assert report.passed, report


def test_dataset_without_its_folder_is_the_caller_s_fault():
    with pytest.raises(InputError, match="folder of refdavis17 is not set"):
        check_dataset("refdavis17")
