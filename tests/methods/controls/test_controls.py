"""Controls on RefShapes and on clips whose answer arithmetic gives."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.predict import checked
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import (
    DatasetInfo,
    DatasetRequest,
    Expression,
    FramePrediction,
    GroundTruth,
    MethodInfo,
    MethodRequest,
    Video,
)
from refseg.methods.controls.shuffled import handed_round

SIZE = (4, 6)
FRAMES = 5


class Sees:
    """A method that answers by what it is shown: the text's length and the frame's brightness."""

    def __init__(self, request):
        self.info = MethodInfo(
            request.name, "7", config=dict(request.options), weights={"w": "abc"}, threshold=0.4
        )
        self.texts = []

    def segment(self, video, expressions):
        self.texts.append((video.id, {e.id: e.text for e in expressions}))
        for i in range(len(video)):
            masks = np.zeros((len(expressions), *video.size), bool)
            masks[:, 0, : int(video.read(i)[0, 0, 0])] = True
            yield FramePrediction(
                i, masks, np.full(len(expressions), i, np.float32), masks.astype(np.float16)
            )

    def modules(self):
        return {"net": "its network"}


class Clips:
    """Two clips; frame i is filled with i. "few" has one object, so that its sentences have no other."""

    info = DatasetInfo("two_clips", "1", "val", ("refshapes/per_expression",))

    def __init__(self, hidden=False):
        self._hidden = hidden

    def videos(self):
        return [self._video("many", "1123"), self._video("few", "11")]

    def _video(self, name, objects):
        said = tuple(Expression(str(i), f"{name} {i} object {o}", (o,)) for i, o in enumerate(objects))
        return Video(
            name, tuple(map(str, range(FRAMES))), SIZE, said, lambda i: np.full((*SIZE, 3), i, np.uint8)
        )

    def ground_truth(self, video_id, expression_id):
        masks = np.zeros((FRAMES, *SIZE), bool)
        masks[:, :, int(expression_id)] = True
        return None if self._hidden else GroundTruth(masks)


@pytest.fixture
def sees():
    """Registers the method; returns those that were built."""
    built = []

    def build(request):
        built.append(Sees(request))
        return built[-1]

    with registry.registered("methods", "sees", build):
        yield built


def control(name, dataset=None, **options):
    method = registry.build_method(MethodRequest(name, options))
    bind = getattr(method, "bind", None)
    if bind is not None:
        bind(dataset or Clips())
    return method


def answers(method, video):
    return list(checked(method, video, video.expressions))


@pytest.mark.parametrize("name", ["oracle", "empty", "full"])
def test_known_answers(name):
    video = Clips().videos()[0]
    for t, prediction in enumerate(answers(control(name), video)):
        for k, expression in enumerate(video.expressions):
            expected = {
                "oracle": Clips().ground_truth("many", expression.id).masks[t],
                "empty": False,
                "full": True,
            }
            assert (prediction.masks[k] == expected[name]).all()
        assert (prediction.probabilities == prediction.masks).all()


class Moving(Clips):
    """The object is one row of pixels, another in every frame."""

    def ground_truth(self, video_id, expression_id):
        return GroundTruth(np.eye(FRAMES, SIZE[0], dtype=bool)[:, :, None] & np.ones(SIZE, bool))


@pytest.mark.parametrize("late", [0, 1, 2, 9])
def test_a_late_oracle_answers_with_the_truth_of_frames_before(late):
    truth = Moving().ground_truth("many", "0").masks
    found = answers(control("oracle", Moving(), frames_late=str(late)), Moving().videos()[0])
    assert all((p.masks[0] == truth[max(0, t - late)]).all() for t, p in enumerate(found))
    with pytest.raises(InputError, match="would know the future"):
        control("oracle", frames_late="-1")


def test_scores_on_real_scenes_are_what_arithmetic_says(tmp_path):
    """On RefShapes: the truth 100; of empty and full masks J from the share of frames and pixels of the truth."""
    request = {"dataset": "refshapes", "limit": 2, "page": False}
    result = {n: run(RunRequest(n, **request, out=str(tmp_path / n))) for n in ("oracle", "empty", "full")}
    dataset = registry.build_dataset(DatasetRequest("refshapes"))
    truths = [dataset.ground_truth(v.id, e.id).masks for v in dataset.videos()[:2] for e in v.expressions]
    assert result["oracle"]["metrics"]["J&F"] == 100
    hidden = np.mean([(~m.any(axis=(1, 2))).mean() for m in truths])
    covered = np.mean([m.mean() for m in truths])
    assert result["empty"]["metrics"]["J"] == pytest.approx(100 * hidden)
    assert result["full"]["metrics"]["J"] == pytest.approx(100 * covered)
    assert 0 < covered < 0.3


def test_oracle_says_that_it_needs_public_labels(tmp_path):
    with pytest.raises(InputError, match="hidden"):
        answers(control("oracle", Clips(hidden=True)), Clips().videos()[0])
    assert control("oracle").info.uses_truth and not control("empty").info.uses_truth


@pytest.mark.parametrize("name", ["oracle", "empty", "full", "shuffled_sentences", "shuffled_frames"])
def test_unknown_option_is_told(name, sees):
    with pytest.raises(InputError, match="Unknown option of method"):
        control(name, sauce="sees")


def test_sentences_of_other_objects_are_told(sees):
    method = control("shuffled_sentences", source="sees")
    for video in Clips().videos():
        answers(method, video)
    texts = dict(method.source.texts)
    objects = {"0": "1", "1": "1", "2": "2", "3": "3"}
    assert {*texts["many"]} == {*objects}
    for expression, text in texts["many"].items():
        assert text.startswith("many") and text[-1] != objects[expression]
    # Nothing in "few" refers to another object, so its texts are another video's.
    assert all(text.startswith("many") for text in texts["few"].values())


def test_shuffle_depends_on_seed_and_video_only(sees):
    video, other = Clips().videos()

    def told(seed, videos):
        method = control("shuffled_sentences", source="sees", seed=str(seed))
        for v in videos:
            answers(method, v)
        return dict(method.source.texts)

    assert told(0, [video, other]) == told(0, [other, video])
    # A resumed run asks for some expressions only and must tell them the same.
    method = control("shuffled_sentences", source="sees")
    list(method.segment(video, video.expressions[2:]))
    (_, part), whole = method.source.texts[0], told(0, [video])["many"]
    assert part == {k: whole[k] for k in part}
    assert len({tuple(told(seed, [video])["many"].items()) for seed in range(8)}) > 1


objects = st.lists(st.lists(st.sampled_from("123"), max_size=2, unique=True), max_size=9)


@given(objects, st.integers(0, 99))
def test_nobody_gets_a_sentence_of_the_same_objects(objects, seed):
    said = [Expression(str(i), str(i), tuple(o)) for i, o in enumerate(objects)]
    texts = handed_round(said, np.random.default_rng(seed))
    sets = {e.id: frozenset(e.object_ids) for e in said}
    for expression in said:
        others = [e for e in said if sets[e.id] != sets[expression.id]]
        assert (expression.id in texts) == bool(others)
        if others:
            assert sets[texts[expression.id]] != sets[expression.id]
    largest = max(Counter(sets.values()).values(), default=0)
    if texts and 2 * largest <= len(said):
        assert sorted(texts.values()) == sorted(e.id for e in said)


def test_frames_are_shown_in_another_order_and_masks_put_back(sees):
    video = Clips().videos()[0]
    seen = []

    def read(i):
        seen.append(i)
        return np.full((*SIZE, 3), i, np.uint8)

    found = answers(control("shuffled_frames", source="sees", seed="1"), replace(video, read=read))
    assert sorted(seen) == list(range(FRAMES)) and seen != sorted(seen)
    # The source's mask is as wide as the frame is bright, so each mask tells which frame it is of.
    assert [int(p.masks[0].sum()) for p in found] == list(range(FRAMES))
    assert [seen[int(p.scores[0])] for p in found] == list(range(FRAMES))
    assert [int(p.probabilities[0].sum()) for p in found] == list(range(FRAMES))


def test_frames_that_do_not_fit_in_memory_are_refused(sees):
    video = replace(Clips().videos()[0], frame_ids=tuple(map(str, range(2000))), size=(2160, 3840))
    with pytest.raises(InputError, match="GiB"):
        next(control("shuffled_frames", source="sees").segment(video, video.expressions))


@pytest.mark.parametrize("name", ["shuffled_sentences", "shuffled_frames"])
def test_wrapped_method_tells_of_its_source(name, sees):
    method = control(name, **{"source": "sees", "seed": "3", "source.level": "2"})
    info = method.info
    assert sees[-1].info.config == {"level": "2"}
    assert info.config == {"source": "sees", "seed": 3, "source_config": {"level": "2"}}
    assert "sees" in info.revision and "7" in info.revision and info.weights == {"w": "abc"}
    assert info.threshold == 0.4 and method.modules() == {"net": "its network"}
    assert info.online == (name == "shuffled_sentences")
    with pytest.raises(InputError, match="answers with the truth"):
        control(name, source="oracle")
    with pytest.raises(InputError, match="Unknown method"):
        control(name, source="orcle")
