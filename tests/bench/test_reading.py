"""Frames are decoded early, each once, a bounded number of them, and faults come where they belong."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from refseg.bench.reading import THREADS, ReadAhead
from refseg.bench.types import Video

SIZE = (4, 6)


class Source:
    """Videos whose frames say which they are, and who counts frames that are alive."""

    def __init__(self, *lengths, broken=()):
        self.read, self.alive, self.most = [], 0, 0
        self._lock, self._broken = threading.Lock(), set(broken)
        self.videos = [self._video(v, n) for v, n in enumerate(lengths)]

    def _video(self, v, length):
        def read(i):
            with self._lock:
                self.read.append((v, i))
                self.alive += 1
                self.most = max(self.most, self.alive)
            if (v, i) in self._broken:
                raise ValueError(f"frame {i} of video {v} is damaged")
            frame = np.full((*SIZE, 3), 10 * v + i % 10, np.uint8)
            weakref.finalize(frame, self._gone)
            return frame

        return Video(str(v), tuple(map(str, range(length))), SIZE, (), read)

    def _gone(self):
        with self._lock:
            self.alive -= 1


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_frames_are_read_once_each_and_at_most_a_few_early(ahead):
    source = Source(20, 1, 1, 5)
    places = [(v, i) for v, n in enumerate((20, 1, 1, 5)) for i in range(n)]
    with ReadAhead(source.videos, ahead=ahead) as reader:
        for n, (v, i) in enumerate(places):
            assert (reader[v].read(i) == 10 * v + i % 10).all()
            time.sleep(0.001)
            assert {*source.read} <= {*places[: n + 1 + ahead]}
    assert sorted(source.read) == places


def test_memory_does_not_grow_with_the_video():
    source = Source(600)
    with ReadAhead(source.videos, ahead=5) as reader:
        video = reader[0]
        for i in range(600):
            frame = video.read(i)
            assert (frame == i % 10).all()
            if i % 100 == 0:
                time.sleep(0.01)
        del frame
    gc.collect()
    # Five that wait, the reader's, the one before it that is not let go yet, and one at each decoder.
    assert len(source.read) == 600 and source.most <= 5 + 2 + THREADS and source.alive == 0


def test_next_video_s_frames_are_there_before_it_begins():
    source = Source(3, 50)
    with ReadAhead(source.videos, ahead=4) as reader:
        for i in range(3):
            reader[0].read(i)
        time.sleep(0.05)
        assert {(1, 0), (1, 1)} <= {*source.read} and (1, 5) not in source.read


def test_frames_out_of_order_are_right_and_not_read_ahead_for():
    source, order = Source(10), [7, 2, 9, 0, 5]
    with ReadAhead(source.videos) as reader:
        video = reader[0]
        assert [int(video.read(i)[0, 0, 0]) for i in order] == order
        time.sleep(0.01)
    assert source.read == [(0, i) for i in order]


def test_the_same_frame_twice_keeps_what_is_ahead():
    source = Source(6)
    with ReadAhead(source.videos, ahead=2) as reader:
        for i in range(6):
            reader[0].read(i)
            reader[0].read(i)
    assert sorted(source.read) == sorted([(0, i) for i in range(6)] * 2)


def test_fault_of_a_frame_comes_where_it_is_asked_for_and_the_rest_reads():
    source = Source(4, 2, broken=[(0, 2), (1, 0)])
    with ReadAhead(source.videos) as reader:
        first, second = reader
        first.read(0)
        first.read(1)
        with pytest.raises(ValueError, match="frame 2 of video 0"):
            first.read(2)
        assert (first.read(3) == 3).all()
        with pytest.raises(ValueError, match="frame 0 of video 1"):
            second.read(0)
        assert (second.read(1) == 11).all()


def test_waiting_is_counted():
    second = threading.Event()

    def slow(i):
        time.sleep(0.05)
        if i == 1:
            second.set()
        return np.zeros((*SIZE, 3), np.uint8)

    with ReadAhead([Video("v", ("0", "1"), SIZE, (), slow)]) as reader:
        reader[0].read(0)
        first = reader.waited
        second.wait()
        reader[0].read(1)
        assert reader.waited - first < first >= 0.05


def test_leaving_early_stops_the_decoders():
    source = Source(1000)
    with pytest.raises(KeyError), ReadAhead(source.videos, ahead=50) as reader:
        reader[0].read(0)
        raise KeyError
    time.sleep(0.05)
    count = len(source.read)
    time.sleep(0.05)
    assert len(source.read) == count <= 51
