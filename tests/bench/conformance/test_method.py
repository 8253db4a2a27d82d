"""Each way to break a method's interface is caught by the question that is about it, and good methods pass."""

import random
from dataclasses import replace

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.conformance import METHOD_CHECKS, check_method
from refseg.bench.errors import InputError
from refseg.bench.types import FramePrediction, MethodInfo, MethodRequest


class Good:
    """Marks pixels of the grey that a sentence ends with; its probability falls with the distance to it."""

    online = True

    def __init__(self, request):
        self.info = MethodInfo(request.name, "1", online=self.online)

    def segment(self, video, expressions):
        for i in range(len(video)):
            yield self.answer(i, video.read(i), expressions)

    def answer(self, i, frame, expressions):
        grey = frame.mean(axis=2)
        masks = np.stack([abs(grey - self.wanted(e)) < 20 for e in expressions])
        return FramePrediction(i, masks, np.full(len(masks), 0.5, np.float32), masks.astype(np.float16))

    def wanted(self, expression):
        word = expression.text.split()[-1]
        return int(word) if word.isdecimal() else -100

    def modules(self):
        return {}


class WrongName(Good):
    def __init__(self, request):
        self.info = MethodInfo("another", "1")


class NoRevision(Good):
    def __init__(self, request):
        self.info = MethodInfo(request.name, "")


class OptionsThatAreNoJson(Good):
    def __init__(self, request):
        self.info = MethodInfo(request.name, "1", config={"device": object()})


class ModulesInAList(Good):
    def modules(self):
        return [object()]


class LastFrameMissing(Good):
    def segment(self, video, expressions):
        yield from [*super().segment(video, expressions)][:-1]


class OneFrameTooMany(Good):
    def segment(self, video, expressions):
        while True:
            yield from super().segment(video, expressions)


class Backwards(Good):
    def segment(self, video, expressions):
        yield from [*super().segment(video, expressions)][::-1]


class PlainArrays(Good):
    def segment(self, video, expressions):
        for prediction in super().segment(video, expressions):
            yield prediction.masks


class Raises(Good):
    def answer(self, i, frame, expressions):
        return {}["weights"]


class Transposed(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, masks=good.masks.transpose(0, 2, 1), probabilities=None)


class OneMaskForAll(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, masks=good.masks[:1], probabilities=None)


class OfOneSize(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, masks=np.zeros((len(expressions), 40, 60), bool), probabilities=None)


class Soft(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, masks=good.masks.astype(np.float32))


class NotFinite(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, scores=good.scores * np.float32("nan"))


class InPlace(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        frame //= 2
        return good


class ShortSentencesOnly(Good):
    def wanted(self, expression):
        assert len(expression.text) < 77, "too many tokens"
        return super().wanted(expression)


class AsciiOnly(Good):
    def wanted(self, expression):
        expression.text.encode("ascii")
        return super().wanted(expression)


class Unseeded(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, masks=np.random.default_rng().random(good.masks.shape) < 0.5)


class UnseededScores(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, scores=good.scores + np.float32(random.SystemRandom().random()))


class KeepsItsLastMasks(Good):
    last = None

    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        last, self.last = self.last, good.masks
        if last is not None and last.shape == good.masks.shape:
            good = replace(good, masks=good.masks | last)
        return good


class ForgetsOnlyAtTheEnd(KeepsItsLastMasks):
    def segment(self, video, expressions):
        yield from super().segment(video, expressions)
        self.last = None


class FirstComeFirstServed(Good):
    """A brighter square of an earlier sentence takes all pixels of later ones."""

    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        claims = good.masks.any(axis=(1, 2))
        return replace(good, masks=good.masks & (np.cumsum(claims) <= 1)[:, None, None])


class Softmax(Good):
    def answer(self, i, frame, expressions):
        good = super().answer(i, frame, expressions)
        return replace(good, scores=good.scores / len(expressions))


class LooksOneFrameAhead(Good):
    def segment(self, video, expressions):
        for i in range(len(video)):
            yield self.answer(i, video.read(min(i + 1, len(video) - 1)), expressions)


class LooksAtTheLastFrame(Good):
    def segment(self, video, expressions):
        last = super().answer(0, video.read(len(video) - 1), expressions)
        for good in super().segment(video, expressions):
            yield replace(good, masks=good.masks | last.masks)


class KnowsTheLength(Good):
    def segment(self, video, expressions):
        for good in super().segment(video, expressions):
            yield replace(good, scores=good.scores * np.float32((good.frame + 1) / len(video)))


class ImagesSwapped(Good):
    def segment_images(self, videos):
        alone = [next(iter(self.segment(v, v.expressions))) for v in videos]
        return [alone[0], alone[1], replace(alone[2], masks=alone[0].masks)]


class ImagesOfOneSize(Good):
    def segment_images(self, videos):
        frames = np.stack([v.read(0) for v in videos])
        return [self.answer(0, f, v.expressions) for f, v in zip(frames, videos, strict=True)]


class OneImageLost(Good):
    def segment_images(self, videos):
        return [next(iter(self.segment(v, v.expressions))) for v in videos[1:]]


class HoldsTheVideo(Good):
    def segment(self, video, expressions):
        frames = [video.read(i) for i in range(len(video))]
        for i, frame in enumerate(frames):
            yield self.answer(i, frame, expressions)


class RemembersEveryFrame(Good):
    def segment(self, video, expressions):
        memory = []
        for i in range(len(video)):
            memory.append(video.read(i).astype(np.float32))
            yield self.answer(i, memory[-1], expressions)


class RemembersTensors(Good):
    def segment(self, video, expressions):
        import torch

        memory = []
        for i in range(len(video)):
            memory.append(torch.from_numpy(video.read(i)).float())
            yield self.answer(i, video.read(i), expressions)


class NeverForgets(Good):
    def __init__(self, request):
        super().__init__(request)
        self.memory = []

    def answer(self, i, frame, expressions):
        self.memory.append(frame.astype(np.float32))
        return super().answer(i, frame, expressions)


BROKEN = {
    "facts": [WrongName, NoRevision, OptionsThatAreNoJson, ModulesInAList],
    "frames": [LastFrameMissing, OneFrameTooMany, Backwards, PlainArrays, Raises],
    "arrays": [Transposed, OneMaskForAll, OfOneSize, Soft, NotFinite],
    "input": [InPlace],
    "sentences": [ShortSentencesOnly, AsciiOnly],
    "repeat": [Unseeded, UnseededScores],
    "videos": [KeepsItsLastMasks, ForgetsOnlyAtTheEnd],
    "expressions": [FirstComeFirstServed, Softmax],
    "online": [LooksOneFrameAhead, LooksAtTheLastFrame, KnowsTheLength],
    "images": [ImagesSwapped, ImagesOfOneSize, OneImageLost],
    "memory": [HoldsTheVideo, RemembersEveryFrame, RemembersTensors, NeverForgets],
}


def test_every_question_has_a_method_that_fails_it():
    assert BROKEN.keys() == METHOD_CHECKS.keys()


@pytest.mark.parametrize(("question", "method"), [(q, m) for q, ms in BROKEN.items() for m in ms])
def test_broken_method_is_caught(check, question, method):
    # Looking at memory is the dear part.
    report = check(method, skip=() if question == "memory" else ("memory",))
    assert report.faults.keys() == {question}, report
    assert len(report.faults[question]) > 20 and not report.passed


def test_good_method_passes(check):
    report = check(Good)
    assert report.passed, report
    assert {c.name for c in report.checks if c.status == "skipped"} == {"images"}
    assert str(report).endswith("The interface is kept.")


def test_offline_method_may_look_ahead_and_hold_the_video(check):
    class Offline(HoldsTheVideo):
        online = False

        def answer(self, i, frame, expressions):
            return super().answer(i, frame, expressions)

    report = check(Offline)
    assert report.passed, report
    (memory,) = (c for c in report.checks if c.name == "memory")
    assert "as an offline method may" in memory.text


def test_place_of_an_error_is_told_in_the_author_s_file(check):
    fault = check(Raises).faults["frames"]
    assert fault.startswith("raises KeyError: 'weights' (test_method.py, line ")


def test_questions_that_cannot_be_answered_are_left_out_and_said_so(check):
    report = check(Backwards)
    status = {c.name: (c.status, c.text) for c in report.checks}
    assert status["online"] == ("skipped", "cannot be told before 'frames' passes")


def test_question_is_skipped_as_asked(check):
    report = check(RemembersEveryFrame, skip=["memory"])
    assert report.passed and report.as_json()["checks"][-1]["text"] == "left out as asked"
    with pytest.raises(InputError, match=r"Unknown check 'memry'.* Did you mean 'memory'"):
        check(Good, skip=["memry"])


@pytest.mark.parametrize("name", ["oracle", "empty", "full"])
def test_controls_pass(name, squares):
    report = check_method(name, dataset=squares)
    assert report.passed, report


@pytest.mark.parametrize("name", ["shuffled_frames", "shuffled_sentences"])
def test_shuffled_controls_pass(name, squares):
    with registry.registered("methods", "good", Good):
        report = check_method(MethodRequest(name, {"source": "good"}), dataset=squares)
    assert report.passed, report


def test_refsam_tiny_passes(squares):
    report = check_method("refsam_tiny", dataset=squares)
    assert report.passed, report


def test_refine_tiny_passes(squares):
    with registry.registered("methods", "good", Good):
        report = check_method(MethodRequest("refine_tiny", {"source": "good"}), dataset=squares)
    assert report.passed, report


def test_method_that_cannot_be_built_is_the_caller_s_fault(squares):
    with pytest.raises(InputError, match="--set source=PATH"):
        check_method("refine", dataset=squares)
    with pytest.raises(InputError, match="Unknown method 'refsam_tini'"):
        check_method("refsam_tini")
