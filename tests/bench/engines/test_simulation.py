"""The simulation keeps what no schedule can break."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from refseg.bench.engines.simulation import Clip, Stages, drawn, simulate

STAGES = Stages(decode=0.01, encode=0.001, write=0.002, score=0.001)
CLIPS = st.lists(st.builds(Clip, st.integers(1, 300), st.integers(1, 20)), min_size=1, max_size=40)


@settings(deadline=None)
@given(CLIPS, st.integers(1, 80), st.booleans())
def test_no_run_is_quicker_than_its_work_or_its_longest_video(clips, gpus, first):
    found = simulate(clips, STAGES, gpus, largest_first=first)
    work = sum(c.frames * (STAGES.gpu_frame + STAGES.gpu_sentence * (c.sentences - 1)) for c in clips)
    assert found.predicting >= max(found.longest, work / gpus, found.storing) - 1e-9
    assert 0 <= found.idle < 1
    # Graham's bound of list scheduling, with all that is beside the GPU added.
    beside = sum(c.frames * c.sentences * STAGES.encode for c in clips) + found.storing
    assert found.predicting <= work / gpus + found.longest + beside + 1e-9


def test_one_gpu_takes_the_sum_and_order_does_not_matter():
    clips = drawn(20, 100, 50)
    one, other = (simulate(clips, STAGES, 1, largest_first=f) for f in (True, False))
    assert abs(one.predicting - other.predicting) < 0.1
    slow = simulate(clips, replace(STAGES, gpu_frame=2 * STAGES.gpu_frame, gpu_sentence=0.04), 1)
    assert 1.9 < slow.predicting / one.predicting < 2.1


def test_drawn_videos_have_the_given_numbers():
    clips = drawn(140, 2236, 79)
    assert len(clips) == 140 and sum(c.sentences for c in clips) == 2236
    assert abs(sum(c.frames for c in clips) / 140 - 79) < 1
    assert clips == drawn(140, 2236, 79) != drawn(140, 2236, 79, seed=1)
