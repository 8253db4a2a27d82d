"""Handing out work, with workers that are played: any pattern of deaths, hangs and machines that leave."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.engines import Job
from refseg.bench.engines.crew import MISHAPS, Advanced, Answered, CrewEngine, Lost, Ready
from refseg.bench.engines.worker import Answer, Blueprint
from refseg.bench.errors import InputError
from refseg.bench.progress import Silent
from refseg.bench.store import StoredPrediction
from refseg.bench.types import DatasetRequest, Expression, MethodInfo, MethodRequest, Video

SIZE = (2, 2)


class Known:
    info = MethodInfo("played", "1")


class Kept(dict):
    """A run folder in memory."""

    def write(self, stored):
        self[stored.video, stored.expression] = stored


def clip(i, frames, expressions=2):
    said = tuple(Expression(f"e{k}", "text") for k in range(expressions))
    return Video(
        f"v{i}", tuple(map(str, range(frames))), SIZE, said, lambda t: np.zeros((*SIZE, 3), np.uint8)
    )


@dataclass
class Played:
    """Workers in this process, one event a call; ``acts`` says how the next answers end.

    Attributes:
        videos: Of the dataset.
        acts: ``"good"``, ``"bad"`` (an exception), ``"die"``, ``"leave"`` (its machine does), in turn; then good.
        broken: How many workers cannot start.
    """

    videos: list
    acts: list = field(default_factory=list)
    broken: int = 0
    given: list = field(default_factory=list)
    most: int = 0

    def __call__(self, blueprint, key, jobs):
        self.numbers, self.workers, self.events = itertools.count(), {}, []
        return self

    def keep(self, count):
        while len(self.workers) < count:
            number = next(self.numbers)
            if self.broken:
                self.broken -= 1
                self.events.append(Lost(number, "no room"))
                self.workers[number] = None
                continue
            self.workers[number] = None
            self.events.append(Ready(number))
        self.most = max(self.most, len(self.workers))

    def give(self, worker, orders):
        self.given.append((worker, orders, sum(o is not None for o in self.workers.values())))
        self.workers[worker] = orders
        act = self.acts.pop(0) if self.acts else "good"
        if act == "die":
            self.events.append(Lost(worker, "it died"))
        elif act == "leave":
            self.events.append(Lost(worker, "its machine left", blameless=True))
        else:
            self.events.append((worker, act))

    def wait(self, seconds):
        assert self.events, "the engine waits for nothing"
        event = self.events.pop(0)
        if isinstance(event, tuple):
            worker, act = event
            orders, self.workers[worker] = self.workers[worker], None
            answers = [
                self._answer(o) if act == "good" else Answer(error="RuntimeError: bad") for o in orders
            ]
            return [Answered(worker, answers)]
        if isinstance(event, Lost):
            self.workers.pop(event.worker, None)
        return [event]

    def stop(self, worker):
        del self.workers[worker]
        self.events = [e for e in self.events if (e[0] if isinstance(e, tuple) else e.worker) != worker]

    def clear(self):
        self.workers.clear()
        self.events.clear()

    close = clear

    def _answer(self, order):
        place, ids = order
        video = self.videos[place]
        return Answer(
            tuple(StoredPrediction("k", video.id, e, SIZE, video.frame_ids, ("",), (1.0,)) for e in ids)
        )


def predict(played, jobs, images=1, time_limit=None):
    folder = Kept()
    blueprint = Blueprint(MethodRequest("played"), DatasetRequest("d"), images)
    todo = [(v, v.expressions) for v in played.videos]
    job = Job(Known(), blueprint, todo, range(len(todo)), folder, "k", Silent())
    passed = CrewEngine("local", played, jobs, time_limit).predict(job)
    return passed, folder


ACTS = st.lists(st.sampled_from(["good", "good", "good", "bad", "die", "leave"]), max_size=25)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), ACTS, st.integers(1, 4))
def test_every_expression_is_stored_or_named_whatever_happens(frames, acts, jobs):
    played = Played([clip(i, n) for i, n in enumerate(frames)], list(acts))
    passed, folder = predict(played, jobs)
    lost = {(f["video"], e) for f in passed.failures for e in f.get("expressions", ["e0", "e1"])}
    everything = {(v.id, e.id) for v in played.videos for e in v.expressions}
    assert lost | set(folder) == everything and not lost & set(folder)
    assert not played.workers and played.most <= jobs
    if not {"bad", "die"} & set(acts) and acts.count("leave") <= MISHAPS:
        assert not lost and passed.retries == 0


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 3))
def test_the_largest_videos_go_first(frames, jobs):
    played = Played([clip(i, n) for i, n in enumerate(frames)])
    predict(played, jobs)
    handed = [frames[orders[0][0]] for _, orders, _ in played.given]
    assert handed == sorted(frames, reverse=True)


def test_a_second_try_is_alone_in_a_new_worker():
    played = Played([clip(i, 2) for i in range(4)], ["bad", "good", "die"])
    passed, folder = predict(played, 3)
    assert len(folder) == 8 and not passed.failures and passed.retries == 2
    first, second = played.given[-2:]
    assert first[2] == second[2] == 0
    assert first[0] not in {worker for worker, *_ in played.given[:-2]}


def test_images_are_handed_out_several_at_once_and_tried_again_one_by_one():
    played = Played([clip(i, 1) for i in range(7)], ["good", "die"])
    passed, folder = predict(played, 1, images=3)
    assert [len(orders) for _, orders, _ in played.given] == [3, 3, 1, 1, 1, 1]
    assert len(folder) == 14 and not passed.failures


def test_a_video_that_every_machine_leaves_at_is_named_in_the_end():
    played = Played([clip(0, 2, expressions=1), clip(1, 3)], ["good"] + ["leave"] * 50)
    passed, folder = predict(played, 1)
    assert [f["video"] for f in passed.failures] == ["v0"] and len(folder) == 2


def test_fewer_workers_go_on_where_not_all_can_start():
    played = Played([clip(i, 2) for i in range(5)], broken=2)
    passed, folder = predict(played, 3)
    assert len(folder) == 10 and not passed.failures


def test_no_worker_at_all_is_one_sentence():
    played = Played([clip(0, 2), clip(1, 2)], broken=2)
    with pytest.raises(InputError, match="No worker can start: no room"):
        predict(played, 2)


def test_wrong_input_that_only_a_worker_meets_ends_the_run():
    played = Played([clip(0, 2)])
    played.keep = lambda count: played.events.append(Lost(0, "no such file", final=True))
    with pytest.raises(InputError, match="no such file"):
        predict(played, 1)


def test_frames_of_a_lost_try_are_taken_back():
    class Counted(Silent):
        done = 0

        def task(self, title, total, unit):
            import contextlib

            outer = self

            class Task:
                def advance(self, steps=1):
                    outer.done += steps

                def note(self, text):
                    pass

            return contextlib.nullcontext(Task())

    played = Played([clip(0, 4)], ["die"])
    give = played.give

    def give_and_count(worker, orders):
        played.events.append(Advanced(worker, 3))
        give(worker, orders)

    played.give = give_and_count
    played_wait = played.wait

    def wait(seconds):
        event = played.events[0]
        return [played.events.pop(0)] if isinstance(event, Advanced) else played_wait(seconds)

    played.wait = wait
    progress = Counted()
    blueprint = Blueprint(MethodRequest("played"), DatasetRequest("d"), 1)
    todo = [(v, v.expressions) for v in played.videos]
    CrewEngine("local", played, 1, None).predict(Job(Known(), blueprint, todo, [0], Kept(), "k", progress))
    assert progress.done == 4
