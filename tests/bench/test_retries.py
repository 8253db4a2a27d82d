"""The policy of second tries, as properties over any pattern of failures."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.retries import HOPELESS, Attempt, Retries
from refseg.bench.types import Expression, Video


def video(name, expressions, annotators=None):
    said = tuple(
        Expression(
            f"e{i}", "text", (str(i % 2 + 1),), annotator=None if annotators is None else annotators[i]
        )
        for i in range(expressions)
    )
    return Video(name, ("0",), (2, 2), said, lambda i: np.zeros((2, 2, 3), np.uint8))


def drain(retries, attempts, fails):
    """Make all attempts, and those that follow, and return them in order."""
    made = []
    queue = list(attempts)
    while queue or (again := retries.next()) is not None:
        attempt = queue.pop(0) if queue else again
        made.append(attempt)
        if fails(attempt):
            retries.failed(attempt, f"error {len(made)}")
        else:
            retries.succeeded(attempt)
    return made


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=4), min_size=1, max_size=6))
def test_what_is_named_is_what_failed_by_itself_and_all_else_was_predicted(bad):
    """An expression that fails alone fails in company too; a good one is lost to no neighbour."""
    videos = [video("good", 1), *(video(f"v{i}", len(b)) for i, b in enumerate(bad))]
    retries = Retries(videos)
    predicted = set()

    def fails(attempt):
        wrong = attempt.index and any(bad[attempt.index - 1][int(e.id[1:])] for e in attempt.expressions)
        if not wrong:
            predicted.update((attempt.index, e.id) for e in attempt.expressions)
        return wrong

    made = drain(retries, [Attempt(i, v.expressions) for i, v in enumerate(videos)], fails)
    lost = {
        f["video"]: f.get(
            "expressions", [e.id for e in next(v for v in videos if v.id == f["video"]).expressions]
        )
        for f in retries.failures
    }
    expected = {f"v{i}": [f"e{k}" for k, wrong in enumerate(b) if wrong] for i, b in enumerate(bad) if any(b)}
    assert lost == expected
    everything = {(i, e.id) for i, v in enumerate(videos) for e in v.expressions}
    assert predicted == {(i, e) for i, e in everything if e not in lost.get(videos[i].id, ())}
    # A video is tried at most twice whole and once by expression.
    for i, v in enumerate(videos):
        assert sum(a.index == i for a in made) <= 2 + len(v.expressions)
    assert retries.tried == len(made) - len(videos)


def test_an_annotator_s_expressions_are_merged_and_stay_together():
    one = video("v", 4, annotators=[0, 0, 1, 1])
    retries = Retries([one, video("good", 1)])
    retries.succeeded(Attempt(1, ()))
    made = drain(retries, [Attempt(0, one.expressions)], lambda a: len(a.expressions) > 2)
    assert [[e.id for e in a.expressions] for a in made[2:]] == [["e0", "e1"], ["e2", "e3"]]
    assert retries.failures == []


def test_errors_of_our_own_are_named_at_once():
    one = video("v", 2)
    retries = Retries([one])
    assert not retries.failed(Attempt(0, one.expressions), "frame 3 is damaged", final=True)
    assert retries.next() is None
    assert retries.failures == [{"video": "v", "error": "frame 3 is damaged"}]


def test_where_nothing_succeeds_retries_end():
    videos = [video(f"v{i}", 2) for i in range(20)]
    retries = Retries(videos)
    made = drain(retries, [Attempt(i, v.expressions) for i, v in enumerate(videos)], lambda a: True)
    assert len(retries.failures) == 20
    # The first few in full, then no video a third time.
    assert len(made) <= 20 * 2 + HOPELESS * 2


def test_the_first_error_of_a_video_by_expression_is_the_one_that_is_told():
    one = video("v", 2)
    retries = Retries([one, video("good", 1)])
    retries.succeeded(Attempt(1, ()))
    drain(
        retries,
        [Attempt(0, one.expressions)],
        lambda a: a.rung != "by_expression" or a.expressions[0].id == "e1",
    )
    (failure,) = retries.failures
    assert failure == {"video": "v", "error": "error 4", "expressions": ["e1"]}
