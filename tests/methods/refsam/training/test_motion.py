import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg.datasets.refshapes.grammar import motion_phrases, vocabulary
from refseg.datasets.refshapes.scene import MOTIONS
from refseg.datasets.refshapes.train import LEAST_PIXELS, clip_sample
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.train import RefSamTrainOptions, make_batch
from refseg.methods.refsam.training import shapes
from refseg.methods.refsam.training.motion import (
    LEAST_HELD,
    PAIRS,
    moves_of,
    phrases,
    told_by_motion,
    unsure,
)
from refseg.methods.refsam.training.shapes import clip_losses, collate, given_track, place_tokens
from refseg.methods.sam.transforms import cell_shares

ONLY_MOTION = {"motion": 100}


def clip(index, times, count=4, **options):
    return clip_sample(5, index, count, times, weights=ONLY_MOTION, **options)


@pytest.fixture(scope="module")
def batch():
    return collate([clip(i, [0, 2, 4]) for i in range(6)], 128)


def centre(mask):
    y, x = np.nonzero(np.asarray(mask))
    return np.array([x.mean(), y.mean()])


def whole(labels, name):
    """Return whether an object is cut neither by its frame nor by another, so that its mask's centre is its own."""
    y, x = np.nonzero(labels == name)
    around = labels[max(0, y.min() - 2) : y.max() + 3, max(0, x.min() - 2) : x.max() + 3]
    inside = y.min() > 0 and y.max() < labels.shape[0] - 1 and x.min() > 0 and x.max() < labels.shape[1] - 1
    return inside and set(np.unique(around)) <= {0, name}


@pytest.mark.parametrize("first", [0, 1])
def test_moves_are_where_the_masks_go(first):
    """The direction by which an object is named is that in which the centre of its mask goes."""
    samples = [clip(i, [3, 5, 6]) for i in range(20)]
    moves, checked = moves_of(samples, first), set()
    for before, now, index, motion in zip(
        moves.before.numpy(), moves.now.numpy(), moves.index, moves.motion, strict=True
    ):
        t, b = divmod(int(index), len(samples))
        last, frame = samples[b].labels[t + first - 1], samples[b].labels[t + first]
        (name,) = np.unique(frame[now > 0])
        assert np.array_equal(now > 0, frame == name)
        assert min(now.sum(), before.sum()) >= LEAST_PIXELS
        assert np.array_equal(before > 0, last == name)
        if whole(last, name) and whole(frame, name):
            gone = centre(now) - centre(before)
            way = np.array(list(MOTIONS.values())[int(motion)])
            assert gone @ way > 1.5 if way.any() else np.abs(gone).max() < 0.7
            checked.add(int(motion))
    assert len(checked) >= 4
    # Of the first frame that is seen only a given one has another before it.
    assert len(moves.index) > 20 and bool((moves.index < len(samples)).any()) == (first == 1)


def test_what_sentences_say_of_motion_is_among_the_phrases():
    samples = [clip(i, [0]) for i in range(30)]
    said = [s for sample in samples for s in sample.sentences]
    ways = {m: motion_phrases(m) for m in MOTIONS}
    scenes = {s.text: sample.motions[s.object_id] for sample in samples for s in sample.sentences}
    found = {text: [m for m, w in ways.items() if any(text.endswith(f" {p}") for p in w)] for text in scenes}
    assert len(said) > 30
    for text, motion in scenes.items():
        # "moving left all the time" ends with no shorter phrase, so that each sentence has one motion.
        assert found[text] == [motion], text
    torch.manual_seed(0)
    drawn = [phrases() for _ in range(30)]
    words = set(vocabulary())
    for sentences in drawn:
        assert len(sentences) == len(MOTIONS)
        for text, motion in zip(sentences, MOTIONS, strict=True):
            assert text.removeprefix("the object ") in ways[motion] and set(re.findall(r"\w+", text)) <= words
    assert len({tuple(d) for d in drawn}) > 10


def test_a_mask_that_is_carried_is_as_sure_everywhere_as_it_is_anywhere():
    torch.manual_seed(0)
    masks = torch.rand(200, 4, 4)
    sure = unsure(masks) / masks
    torch.testing.assert_close(sure, sure[:, :1, :1].expand_as(sure))
    assert LEAST_HELD <= sure.min() < LEAST_HELD + 0.05 and 0.95 < sure.max() <= 1.001


def test_pairs_are_of_sentences_about_motion_and_frames_that_show_it(model, batch):
    with torch.no_grad():
        told = told_by_motion(model, model.encode_image(batch.frames.flatten(0, 1)), batch)
    pairs = set(zip(told.rows.tolist(), told.frames.tolist(), strict=True))
    pixels = batch.masks.flatten(2).sum(2)
    expected = {
        (n, t)
        for n in range(len(batch.texts))
        for t in (1, 2)
        if batch.moving[n] and min(pixels[t, n], pixels[t - 1, n]) >= LEAST_PIXELS
    }
    assert pairs and len(told.rows) == len(pairs) == min(len(expected), PAIRS) and pairs <= expected
    assert told.seen.shape == (len(told.rows), 128, 16, 16)
    still = replace(batch, moving=torch.zeros_like(batch.moving))
    with torch.no_grad():
        none = told_by_motion(model, model.encode_image(batch.frames.flatten(0, 1)), still)
    assert len(none.rows) == 0 and none.seen is None


def test_a_batch_without_moves_has_the_same_losses(model, batch):
    """Processes add up their figures by name and order."""
    nothing = replace(batch, moves=moves_of([clip(0, [0])], 0), moving=torch.zeros_like(batch.moving))
    with torch.no_grad():
        names = [
            list(clip_losses(model, b, focal=5.0, alignment=0.5, dense_prompts=1.0, motion=0.5))
            for b in (batch, nothing)
        ]
    assert names[0] == names[1] and "motion" in names[0] and "moving_dense_prompt" in names[0]


def test_without_memory_nothing_is_learnt_of_motion(batch):
    plain = build_refsam(replace(CONFIGS["refsam_tiny"], mask_memory=False), build_tiny_text())
    with torch.no_grad():
        losses = clip_losses(plain, batch, focal=5.0, alignment=0.5, dense_prompts=1.0, motion=0.5)
    assert not any("mov" in name or "motion" in name for name in losses)


def test_sentences_about_motion_are_at_times_given_all_objects(model, monkeypatch):
    """And a token that says nothing; what is said otherwise is given its own object as ever."""
    monkeypatch.setattr(shapes, "JITTER", 0.0)
    monkeypatch.setattr(shapes, "LOST", 0.0)
    monkeypatch.setattr(shapes, "WRONG", 0.0)
    monkeypatch.setattr(shapes, "SEVERAL", 1.0)
    options = RefSamTrainOptions(
        image_steps=0, align_steps=0, clip_steps=4, given_every=1, image_every=0, processes=1
    )
    batch = make_batch(options, 0, 128)
    rows, heard = batch.decoded, torch.zeros(len(batch.texts), dtype=torch.bool)
    moving = batch.moving[rows]
    assert moving.any() and not moving.all()
    with torch.no_grad():
        track, own = given_track(model, batch, heard), place_tokens(model, batch.before[rows])
        nothing = place_tokens(model, torch.zeros(1, 112, 128))
    torch.testing.assert_close(track.tokens[~moving], own[~moving])
    torch.testing.assert_close(track.tokens[moving], nothing.expand(int(moving.sum()), -1, -1))
    given = {True: batch.everything[0, batch.clip_index[rows]], False: batch.before[rows]}
    for n, is_moving in enumerate(moving.tolist()):
        assert torch.equal(track.masks[n] > 0, cell_shares(given[is_moving][n : n + 1], 128, 64)[0] > 0)
    monkeypatch.setattr(shapes, "SEVERAL", 0.0)
    with torch.no_grad():
        torch.testing.assert_close(given_track(model, batch, heard).tokens, own)
        dropped = given_track(model, batch, ~heard).tokens
    torch.testing.assert_close(dropped, own)
