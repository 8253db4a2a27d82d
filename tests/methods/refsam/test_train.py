import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.train import image_sample
from refseg.methods.muon import MuonAdamW
from refseg.methods.refsam import train
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.train import (
    RefSamTrainOptions,
    _mean_j,
    clip_times,
    make_batch,
    parameter_groups,
)
from refseg.methods.refsam.training.shapes import (
    clip_losses,
    collate,
    frame_outputs,
    place_tokens,
)

OPTIONS = RefSamTrainOptions(
    image_steps=1, align_steps=0, images=4, clip_steps=1, clips=2, clip_frames=3, sentences=3
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_refsam(CONFIGS["refsam_tiny"], build_tiny_text())


@pytest.fixture(scope="module")
def clips():
    return make_batch(replace(OPTIONS, processes=1), 1, 128)


def test_the_first_phase_draws_images_and_the_second_clips(clips):
    images = make_batch(replace(OPTIONS, processes=1), 0, 128)
    # An image that no sentence fits is left out.
    assert images.frames.shape[0] == 1 and 1 <= images.frames.shape[1] <= 4
    assert clips.frames.shape == (3, 2, 3, 128, 128)
    assert clips.masks.shape == (3, len(clips.texts), 112, 128)


@pytest.mark.parametrize("step", [0, 1])
def test_processes_share_a_batch_without_gap_or_overlap(step):
    whole = make_batch(replace(OPTIONS, processes=1), step, 128)
    parts = [make_batch(OPTIONS, step, 128, rank) for rank in range(2)]
    assert sorted(whole.texts) == sorted(parts[0].texts + parts[1].texts)
    together = np.concatenate([p.frames for p in parts], axis=1)
    assert sorted(f.tobytes() for f in together[0]) == sorted(f.tobytes() for f in whole.frames[0].numpy())


def test_a_step_changes_what_is_learnable_and_nothing_else(clips):
    torch.manual_seed(0)
    model = build_refsam(CONFIGS["refsam_tiny"], build_tiny_text()).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = MuonAdamW(parameter_groups(model, OPTIONS))
    # Twice: what lies behind a layer that starts at zero gets no gradient in the first step.
    for _ in range(2):
        optimizer.zero_grad()
        clip_losses(model, clips, focal=1.0)["loss"].backward()
        optimizer.step()
    # A tensor that two modules share has two names.
    learnable = {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed <= learnable
    # Where mask 0 is the output, nothing asks for the predicted quality.
    still = {n for n in learnable - changed if "bias" not in n and "iou_prediction_head" not in n}
    assert not still, sorted(still)


def _logits(model, batch, dropped=None):
    with torch.no_grad():
        image = model.encode_image(batch.frames.flatten(0, 1))
        text = model.encode_text([*batch.texts, "the object"])
        return [low for low, _ in frame_outputs(model, image, text, batch, dropped)]


def test_a_dropped_sentence_is_heard_in_the_first_frame_only(model, clips):
    """Its first frame is the sentence's, its later ones those of "the object" with the same track token."""
    none = torch.zeros(len(clips.texts), dtype=torch.bool)
    one = none.clone()
    one[0] = True
    plain, kept, dropped = (_logits(model, clips, d) for d in (None, none, one))
    for a, b in zip(plain, kept, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(plain[0], dropped[0])
    for a, b in zip(plain[1:], dropped[1:], strict=True):
        assert not torch.allclose(a[0], b[0], atol=1e-6)
        torch.testing.assert_close(a[1:], b[1:], atol=1e-5, rtol=1e-5)


def test_what_is_out_of_sight_at_first_keeps_its_sentence(model, clips):
    """Text dropout of every row changes nothing where no referent is in sight in the first frame."""
    unseen = replace(clips, masks=torch.cat([torch.zeros_like(clips.masks[:1]), clips.masks[1:]]))
    with torch.no_grad():
        always, never, dropped, heard = (
            clip_losses(model, batch, focal=5.0, text_dropout=share)["loss"]
            for batch in (unseen, clips)
            for share in (1.0, 0.0)
        )
    assert torch.equal(always, never)
    assert not torch.allclose(dropped, heard, atol=1e-7)


def test_only_some_masks_of_an_image_are_decoded(model):
    samples = [image_sample(0, i, 6) for i in range(3)]
    whole, some = collate(samples, 128), collate(samples, 128, decoded=2)
    assert whole.decoded.tolist() == list(range(len(whole.texts)))
    assert len(some.decoded) == sum(min(2, len(s.sentences)) for s in samples)
    (every,), (few,) = _logits(model, whole), _logits(model, some)
    torch.testing.assert_close(few, every[some.decoded], atol=1e-5, rtol=1e-5)
    none = collate(samples, 128, decoded=0)
    losses = clip_losses(model, none, focal=5.0, alignment=0.5)
    assert set(losses) == {"loss", "alignment"} and losses["loss"] > 0


def test_a_clip_shows_at_once_what_its_first_frame_tells(clips):
    """Motion never; order where the object is there already."""
    batches = [make_batch(replace(OPTIONS, processes=1, image_steps=0), step, 128) for step in range(12)]
    told = [(t, bool(a)) for b in batches for t, a in zip(b.texts, b.at_once, strict=True)]
    assert any(a for _, a in told) and not all(a for _, a in told)
    assert not any(a for t, a in told if "moving" in t or "moves" in t)
    for batch in batches:
        assert batch.masks[0, batch.at_once].flatten(1).any(1).all()


def test_a_share_without_such_a_sentence_has_the_same_losses(model, clips):
    """Processes add up their figures by name and order."""
    none = replace(clips, at_once=torch.zeros_like(clips.at_once))
    with torch.no_grad():
        losses = clip_losses(model, none, focal=5.0, alignment=0.5)
        assert list(losses) == list(clip_losses(model, clips, focal=5.0, alignment=0.5))
        assert losses["alignment"] == 0
        torch.testing.assert_close(losses["loss"], losses["dice"] + 5 * losses["focal"])


@pytest.fixture(scope="module")
def given():
    """A step of later frames with track tokens."""
    return make_batch(replace(OPTIONS, processes=1, image_steps=1, given_every=1), 0, 128)


def test_later_frames_come_with_where_the_objects_were(given, clips):
    assert given.frames.shape[0] == 1 and clips.before is None
    assert given.before.shape == given.masks[0].shape == (len(given.texts), 112, 128)
    # Objects move a few pixels a frame: masks of one frame and the next mostly agree.
    both = (given.before * given.masks[0]).sum((-2, -1))
    seen = (given.before.sum((-2, -1)) > 100) & (given.masks[0].sum((-2, -1)) > 100)
    assert seen.any() and (both[seen] > 0).all()
    assert not torch.equal(given.before, given.masks[0])
    told = [t for t, a in zip(given.texts, given.at_once, strict=True) if a]
    assert not any(word in text.split() for text in told for word in ("starts", "first", "moving", "enters"))


def test_no_step_gives_track_tokens_where_there_are_none():
    for options in (
        replace(OPTIONS, processes=1, given_every=0),
        replace(OPTIONS, processes=1, given_every=1, itm_token="none"),
        replace(OPTIONS, processes=1, given_every=1, align_steps=1),
    ):
        assert make_batch(options, 0, 128).before is None


def test_a_place_token_is_sams_point_prompt_at_the_centre(model):
    masks = torch.zeros(2, 112, 128)
    masks[0, 10:21, 30:51] = 1
    with torch.no_grad():
        tokens = place_tokens(model, masks)
        prompts = [
            model.sam.prompt_encoder(
                points=(torch.tensor([[at]]), torch.tensor([[label]])), boxes=None, masks=None
            )
            for at, label in (([40.0, 15.0], 1), ([0.0, 0.0], -1))
        ]
    expected = torch.stack([torch.nn.functional.layer_norm(p[0][0, :1], (128,)) for p in prompts])
    torch.testing.assert_close(tokens, expected, atol=1e-6, rtol=0)
    torch.manual_seed(0)
    moved = place_tokens(model, masks, jitter=3.0)
    assert not torch.allclose(moved[0], tokens[0], atol=1e-3) and torch.equal(moved[1], tokens[1])


def test_the_tracking_loss_teaches_the_itm_to_say_where_the_object_is(model, clips):
    with torch.no_grad():
        losses = clip_losses(model, clips, focal=5.0, tracking=0.5)
        image = model.encode_image(clips.frames.flatten(0, 1))
        text = model.encode_text([*clips.texts, "the object"])
        distances = [
            (tokens - place_tokens(model, masks)).square().mean()
            for (_, tokens), masks in zip(frame_outputs(model, image, text, clips), clips.masks, strict=True)
        ]
    torch.testing.assert_close(losses["tracking"], torch.stack(distances).mean())
    expected = losses["dice"] + 5 * losses["focal"] + 0.5 * losses["tracking"]
    torch.testing.assert_close(losses["loss"], expected)


def test_given_tokens_are_heard(model, given):
    """What the decoder is told of the frame before changes its masks, and nothing else does."""
    image, text = model.encode_image(given.frames[0]), model.encode_text(given.texts)
    with torch.no_grad():
        here, there = (place_tokens(model, masks) for masks in (given.before, given.before.flip(-1)))
        ((one, _),), ((two, _),) = (
            list(frame_outputs(model, image, text, given, track=track)) for track in (here, there)
        )
    assert not torch.allclose(one, two, atol=1e-6)


def test_later_frames_are_often_those_where_an_object_comes_in(monkeypatch):
    """Nothing was there in the frame before, so nothing but the sentence and the newcomer says what to segment."""
    options = replace(OPTIONS, processes=1, image_steps=16, given_every=1)

    def entered():
        batches = [make_batch(options, step, 128) for step in range(options.image_steps)]
        before = torch.cat([b.before.flatten(1).any(1) for b in batches])
        return int((~before & (torch.cat([b.masks[0].flatten(1).sum(1) for b in batches]) >= 40)).sum())

    often = entered()
    monkeypatch.setattr(train, "ENTRIES", 0.0)
    assert often > 2 * entered()


def test_clips_of_given_steps_begin_anywhere_and_go_on_from_there():
    options = replace(OPTIONS, processes=1, image_steps=0, clip_steps=4, given_every=2)
    given, plain = (make_batch(options, step, 128) for step in (2, 1))
    assert given.before is not None and plain.before is None
    assert len(given.frames) == len(plain.frames) == options.clip_frames


def test_j_of_fresh_samples_is_j_at_each_threshold(model, clips):
    """Against numpy, pixel by pixel; the decoder's own threshold changes nothing."""
    levels = (0.2, 0.5)
    with torch.no_grad():
        found = _mean_j(model, clips, levels)
    frames = torch.stack(_logits(model, clips))
    soft = torch.nn.functional.interpolate(
        frames, clips.masks.shape[-2:], mode="bilinear", align_corners=False
    )
    soft, truth = soft.sigmoid().numpy(), clips.masks.numpy() > 0.5
    for k, level in enumerate(levels):
        for n in range(len(clips.texts)):
            both = [np.sum((p > level) & t) for p, t in zip(soft[:, n], truth[:, n], strict=True)]
            either = [np.sum((p > level) | t) for p, t in zip(soft[:, n], truth[:, n], strict=True)]
            expected = np.mean([b / e if e else 1.0 for b, e in zip(both, either, strict=True)])
            assert float(found[n, k]) == pytest.approx(expected, abs=1e-5)
    assert not torch.equal(found[:, 0], found[:, 1])


def test_clips_start_at_frame_0_and_run_forward():
    for seed in range(50):
        times = clip_times(Stream(seed), 4)
        assert times[0] == 0 and all(0 <= b - a <= 3 for a, b in itertools.pairwise(times))
        assert times[-1] <= 15
