"""What a method promises is checked frame by frame; frames are decoded ahead."""

from dataclasses import replace

import numpy as np
import pytest

from refseg.bench.predict import ContractError, check_frame, checked, predict_all
from refseg.bench.progress import Silent
from refseg.bench.store import RunFolder
from refseg.bench.types import Expression, FramePrediction, MethodInfo, Video

SIZE = (3, 4)


def clip(name="v", frames=3, read=None, expressions=2):
    said = tuple(Expression(str(i), f"text {i}") for i in range(expressions))
    return Video(
        name, tuple(map(str, range(frames))), SIZE, said, read or (lambda i: np.zeros((*SIZE, 3), np.uint8))
    )


def good(frame, k=2):
    masks = np.zeros((k, *SIZE), bool)
    return FramePrediction(frame, masks, np.ones(k, np.float32), masks.astype(np.float16))


class Says:
    """A method that yields a given list."""

    info = MethodInfo("says", "1")

    def __init__(self, predictions):
        self._predictions = predictions

    def segment(self, video, expressions):
        yield from self._predictions

    def modules(self):
        return {}


def everything(predictions):
    video = clip()
    return list(checked(Says(predictions), video, video.expressions))


def test_good_predictions_pass_unchanged():
    predictions = [good(i) for i in range(3)]
    assert everything(predictions) == predictions
    assert everything([replace(p, probabilities=None) for p in predictions])


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([0, 1], "yields 2 frames; the video has 3"),
        ([], "yields 0 frames"),
        ([0, 1, 2, 3], "more than the 3 frames"),
        ([0, 2, 1], "yields frame 2 where frame 1 is expected"),
        ([0, 0, 1, 2], "yields frame 0 where frame 1 is expected"),
        ([1, 2, 3], "yields frame 1 where frame 0 is expected"),
    ],
)
def test_frames_come_in_order_each_once(frames, said):
    with pytest.raises(ContractError, match=said):
        everything([good(i) for i in frames])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"masks": np.zeros((2, 4, 3), bool)}, r"masks of shape \(2, 4, 3\); \(2, 3, 4\) is expected"),
        ({"masks": np.zeros((1, *SIZE), bool)}, "masks of shape"),
        ({"masks": np.zeros((2, *SIZE), np.uint8)}, "masks of dtype uint8"),
        ({"masks": [[True]]}, "masks of type list"),
        ({"scores": np.ones(3, np.float32)}, "scores of shape"),
        ({"scores": np.ones(2, int)}, "scores of dtype"),
        ({"scores": np.array([1, np.nan], np.float32)}, "scores that are not finite"),
        ({"probabilities": np.zeros((2, 4, 3), np.float16)}, "probabilities of shape"),
        ({"probabilities": np.full((2, *SIZE), np.inf, np.float16)}, "probabilities that are not finite"),
        ({"extras": [{}]}, "extras that are not 2 objects"),
        ({"extras": [{}, [1]]}, "extras that are not 2 objects"),
        ({"extras": [{}, {"box": np.zeros(4)}]}, "extras that are no JSON values"),
        ({"extras": [{}, {"score": float("nan")}]}, "extras that are no JSON values"),
    ],
)
def test_arrays_have_their_shape_and_type(change, said):
    with pytest.raises(ContractError, match=said):
        everything([good(0), replace(good(1), **change), good(2)])


class Images(Says):
    """A method that takes several images at once, and refuses a batch with a bad one."""

    def __init__(self):
        self.batches = []

    def segment_images(self, videos):
        self.batches.append([v.id for v in videos])
        for video in videos:
            video.read(0)
            yield good(0, len(video.expressions))

    def segment(self, video, expressions):
        self.batches.append([video.id])
        video.read(0)
        yield good(0, len(expressions))


def run_all(method, videos, folder, **options):
    return predict_all(
        method, [(v, v.expressions) for v in videos], folder, "k", progress=Silent(), **options
    )


def test_images_go_several_at_once_and_videos_one_by_one(tmp_path):
    folder, images = RunFolder(tmp_path), [clip(f"i{n}", frames=1) for n in range(19)]
    method = Images()
    done = run_all(method, images, folder)
    assert [len(b) for b in method.batches] == [8, 8, 3] and done.frames == 19 and not done.failures
    assert all(folder.read(v.id, "1") for v in images)
    method = Images()
    run_all(method, images[:7], RunFolder(tmp_path / "threes"), images_at_once=3)
    assert [len(b) for b in method.batches] == [3, 3, 1]
    method = Images()
    run_all(method, [clip("a", frames=1), clip("b", frames=2)], RunFolder(tmp_path / "other"))
    assert method.batches == [["a"], ["b"]]


def test_bad_image_costs_only_itself(tmp_path):
    def broken(i):
        raise OSError("truncated")

    folder = RunFolder(tmp_path)
    images = [clip("a", 1), clip("bad", 1, read=broken), clip("c", 1)]
    done = run_all(Images(), images, folder)
    assert done.failures == [{"video": "bad", "error": "OSError: truncated"}]
    assert folder.read("a", "0") and folder.read("c", "0") and folder.read("bad", "0") is None


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_probabilities_must_be_finite_in_every_type(value, dtype):
    largest = np.finfo(np.float16).max
    fine = np.full((1, 2, 3), -largest, dtype)
    fine[0, 0, 0] = np.finfo(np.float16).smallest_subnormal
    check_frame("m", FramePrediction(0, fine > 0, np.ones(1, np.float32), fine), (1, 2, 3))
    fine[0, 1, 2] = value
    with pytest.raises(ContractError, match="not finite"):
        check_frame("m", FramePrediction(0, fine > 0, np.ones(1, np.float32), fine), (1, 2, 3))
