import numpy as np
import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.deaot.engine import MemorySettings
from refseg.methods.deaot.tracker import DeAotTracker, FrameEncoder, aggregate


def follow(tracker, frames, labels):
    tracker.add_reference(frames[0], labels[0])
    out = []
    for frame, label in zip(frames[1:], labels[1:], strict=True):
        out.append(tracker.propagate(frame))
        tracker.update(label)
    return torch.stack(out)


def columns(count, size):
    """Labels of ``count`` columns on each of four frames, a pixel further each."""
    one = np.zeros(size, np.uint8)
    step = size[1] // count
    for k in range(count):
        one[6:-6, k * step + 1 : (k + 1) * step] = k + 1
    return np.stack([np.roll(one, t, 1) for t in range(4)])


def test_trackers_of_two_videos_do_not_mix(tiny, video):
    frames, labels = video
    alone = follow(DeAotTracker(tiny), frames, labels)
    backwards = follow(DeAotTracker(tiny), frames[::-1], labels[::-1])
    assert not torch.equal(alone, backwards)
    assert torch.equal(follow(DeAotTracker(tiny), frames, labels), alone)


def test_trackers_that_share_an_encoder_encode_a_frame_once(tiny, video):
    """And say what each says alone, also where all frames are read into one array."""
    frames, labels = video
    halves = [np.where(labels == k, np.uint8(1), np.uint8(0)) for k in (1, 2)]
    alone = [follow(DeAotTracker(tiny), frames, half) for half in halves]
    calls, buffer = [], np.empty_like(frames[0])
    hook = tiny.encoder.register_forward_hook(lambda *_: calls.append(1))
    encode = FrameEncoder(tiny)
    trackers = [DeAotTracker(tiny, encode=encode) for _ in halves]
    for t, frame in enumerate(frames):
        buffer[:] = frame
        for tracker, half, expected in zip(trackers, halves, alone, strict=True):
            if t == 0:
                tracker.add_reference(buffer, half[0])
            else:
                assert torch.equal(tracker.propagate(buffer), expected[t - 1])
                tracker.update(half[t])
    hook.remove()
    assert len(calls) == len(frames)


@pytest.mark.parametrize("size", [(112, 128), (128, 128), (37, 101), (9, 60)])
def test_any_frame_size_comes_back(tiny, size):
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    labels = np.zeros((2, *size), np.uint8)
    labels[:, 2:6, 10:20] = 1
    out = follow(DeAotTracker(tiny), frames, labels)
    assert out.shape == (1, 2, *size)
    assert out.dtype == torch.float32


def test_without_objects_all_is_background(tiny, video):
    frames, labels = video
    tracker = DeAotTracker(tiny)
    out = follow(tracker, frames, np.zeros_like(labels))
    assert out.shape[1] == 1
    assert tracker.objects == 0


def test_a_second_engine_sees_its_own_objects_alone(tiny, video):
    frames = video[0][:4]
    labels = columns(13, frames.shape[1:3])
    tracker = DeAotTracker(tiny, MemorySettings(long_term_gap=1))
    all_of_them = follow(tracker, frames, labels)
    assert tracker.objects == 13
    assert all_of_them.shape[1] == 14
    first = follow(
        DeAotTracker(tiny, MemorySettings(long_term_gap=1)), frames, np.where(labels <= 10, labels, 0)
    )
    rest = np.where(labels > 10, labels - 10, 0).astype(np.uint8)
    second = follow(DeAotTracker(tiny, MemorySettings(long_term_gap=1)), frames, rest)
    for t in range(3):
        expected = aggregate([first[t][None], second[t][None]])[0]
        assert torch.allclose(all_of_them[t], expected, atol=1e-5)


def test_engines_are_merged_by_probability():
    a, b = torch.randn(2, 1, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    merged = aggregate([a, b])[0].sigmoid()
    pa, pb = a[0].softmax(0), b[0].softmax(0)
    assert torch.allclose(merged, torch.cat([pa[:1] * pb[:1], pa[1:], pb[1:]]))
    sure = torch.tensor([100.0, -100.0]).view(1, 2, 1, 1)
    assert torch.allclose(aggregate([sure, -sure]).sigmoid().flatten(), torch.tensor([1e-5, 1e-5, 1 - 1e-5]))
    assert aggregate([a]) is a


def test_an_object_that_comes_later_is_followed_from_there(tiny, video):
    frames, labels = video
    tracker = DeAotTracker(tiny)
    tracker.add_reference(frames[0], np.where(labels[0] == 1, 1, 0).astype(np.uint8))
    assert tracker.propagate(frames[1]).shape[0] == 2
    tracker.add_reference(frames[1], labels[1])
    assert tracker.propagate(frames[2]).shape[0] == 3
    tracker.update(labels[2])
    # An object that is out of sight in a further reference is still followed.
    tracker.propagate(frames[3])
    tracker.add_reference(frames[3], np.where(labels[3] == 1, 1, 0).astype(np.uint8))
    assert tracker.propagate(frames[4]).shape[0] == 3


def test_a_further_reference_without_new_objects_is_an_update(tiny, video):
    frames, labels = video
    trackers = DeAotTracker(tiny), DeAotTracker(tiny)
    for tracker in trackers:
        tracker.add_reference(frames[0], labels[0])
        tracker.propagate(frames[1])
    trackers[0].update(labels[1])
    trackers[1].add_reference(frames[1], labels[1])
    assert torch.equal(*(tracker.propagate(frames[2]) for tracker in trackers))
    # A frame that has not been propagated is a reference, whether or not the last one was remembered.
    tokens = trackers[0].memory_tokens
    trackers[0].update(labels[2])
    for tracker in trackers:
        tracker.add_reference(frames[3], labels[3])
        assert tracker.memory_tokens == 2 * tokens


def test_what_does_not_fit_is_said(tiny, video):
    frames, labels = video
    tracker = DeAotTracker(tiny)
    with pytest.raises(RuntimeError, match="before any reference"):
        tracker.propagate(frames[0])
    with pytest.raises(RuntimeError, match="no frame to remember"):
        tracker.update(labels[0])
    with pytest.raises(InputError, match=r"shape \(10, 64\).*48x64"):
        tracker.add_reference(frames[0], labels[0][:10])
    tracker.add_reference(frames[0], labels[0])
    with pytest.raises(InputError, match=r"40x64 pixels.*48x64"):
        tracker.propagate(frames[1][:40])
    tracker.propagate(frames[1])
    with pytest.raises(InputError, match="name object 3, but the references have 2"):
        tracker.update(labels[1] + 1)
    tracker.update(labels[1])
