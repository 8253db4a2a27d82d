"""Clips through the ordinary dataset interface: real frames, and a dataset whose objects come and go."""

from types import SimpleNamespace

import numpy as np
import pytest

from refseg.bench.errors import InputError
from refseg.bench.types import DatasetInfo, DatasetRequest, Expression, GroundTruth, Video
from refseg.datasets import label_maps
from refseg.datasets.folder import build as build_folder
from refseg.methods.refsam.training.augment import NONE, Augmentation
from refseg.methods.refsam.training.clips import Clips, clip_times


@pytest.fixture
def davis(real_root):
    return build_folder(DatasetRequest("folder", "valid", str(real_root)))


def clips(*datasets, frames=1, augmentation=NONE, **more):
    return Clips(datasets, frames=frames, augmentation=augmentation, image_size=128, **more)


class Coming:
    """One video of twelve frames; its object is in frames 9 to 11, in one quarter. Frame i is filled with i."""

    info = DatasetInfo("coming", "1", "train", ())

    def __init__(self, hidden=False):
        self._hidden = hidden

    def videos(self):
        said = (Expression("0", "the late one", ("1",)), Expression("1", "nothing", ()))
        names = tuple(map(str, range(12)))
        return [Video("v", names, (64, 64), said, lambda i: np.full((64, 64, 3), i, np.uint8))]

    def ground_truth(self, video_id, expression_id):
        masks = np.zeros((12, 64, 64), bool)
        masks[9:, :32, :32] = True
        return None if self._hidden else GroundTruth(masks)


def test_a_clip_is_the_papers():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        before, middle, after = clip_times(10, 30, 3, rng)
        assert middle == 10 and 1 <= 10 - before <= 3 and 1 <= after - 10 <= 3
        seen.add((before, after))
    assert len(seen) == 9
    for t in (0, 1, 28, 29):
        times = clip_times(t, 30, 3, rng)
        assert times == sorted(times) and t in times and times[0] >= 0 and times[-1] <= 29
    assert clip_times(4, 30, 1, rng) == [4] and clip_times(0, 1, 3, rng) == [0, 0, 0]
    assert len(clip_times(4, 30, 6, rng)) == 6


def test_an_epoch_shows_every_sentence_around_every_frame_once(davis):
    source = clips(davis)
    assert len(source) == 4 * 3 + 4 * 2
    for first in (0, len(source)):
        drawn = [source.draw(first + i) for i in range(len(source))]
        assert len({(c.text, c.keys) for c in drawn}) == len(source)
    order = [c.text for c in drawn]
    assert order != [source.draw(i).text for i in range(len(source))]


def test_a_sample_is_the_datasets_frame_and_mask(davis):
    clip = clips(davis).draw(0)
    _, name, frame = clip.keys[0].split("/")
    video = next(v for v in davis.videos() if v.id == name)
    expression = next(e for e in video.expressions if e.text == clip.text)
    truth = davis.ground_truth(name, expression.id).masks[video.frame_ids.index(frame)]
    assert (clip.masks[0].numpy() == truth).all()
    assert clip.frames.shape == (1, 72, 128, 3) and clip.geometry.original == video.size


def test_a_sample_depends_on_its_number_alone(davis):
    how = Augmentation()
    source, again = clips(davis, frames=3, augmentation=how), clips(davis, frames=3, augmentation=how)
    for i in (7, 3, 31):
        source.draw(i)
    one, two = source.draw(5), again.draw(5)
    assert (one.frames == two.frames).all() and (one.masks == two.masks).all() and one.text == two.text
    assert one.keys is None and len(one.frames) == len(one.masks) == 3
    other = clips(davis, frames=3, augmentation=how, seed=1).draw(5)
    assert one.frames.shape != other.frames.shape or not (one.frames == other.frames).all()


def test_a_clip_is_drawn_again_until_its_object_shows():
    source = clips(Coming(), frames=3)
    assert len(source) == 12  # the sentence without a target is left out
    for i in range(24):
        clip = source.draw(i)
        assert clip.masks.any() and clip.text == "the late one"


def test_datasets_are_mixed(davis):
    texts = {clips(davis, Coming()).draw(i).text for i in range(60)}
    assert "the late one" in texts and len(texts) > 4


def test_only_the_clips_label_maps_are_read(davis, monkeypatch):
    read = []
    inner = label_maps.read_label_map
    monkeypatch.setattr(label_maps, "read_label_map", lambda *a: (read.append(a[1]), inner(*a))[1])
    clips(davis).draw(0)
    assert len(read) == 1


def test_what_nothing_can_be_learnt_from_is_refused(davis):
    with pytest.raises(InputError, match="hidden"):
        clips(Coming(hidden=True)).draw(0)
    empty = SimpleNamespace(info=davis.info, videos=lambda: [])
    with pytest.raises(InputError, match="no sentence with a target"):
        clips(empty)
    nowhere = Coming()
    nowhere.ground_truth = lambda *a: GroundTruth(np.zeros((12, 64, 64), bool))
    with pytest.raises(InputError, match="none shows the object"):
        clips(nowhere).draw(0)
