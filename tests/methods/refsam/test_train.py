import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import Look, Shape
from refseg.datasets.refshapes.train import image_sample
from refseg.methods.muon import MuonAdamW
from refseg.methods.refsam import train
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.tracking import Track
from refseg.methods.refsam.train import (
    Learner,
    RefSamTrainOptions,
    _mean_j,
    _samples_before,
    clip_times,
    make_batch,
    meetings,
    parameter_groups,
)
from refseg.methods.refsam.training import shapes
from refseg.methods.refsam.training.shapes import (
    clip_losses,
    collate,
    frame_outputs,
    given_track,
    place_tokens,
)

OPTIONS = RefSamTrainOptions(
    image_steps=1,
    align_steps=0,
    images=4,
    clip_steps=1,
    clips=2,
    clip_frames=3,
    sentences=3,
    image_every=0,
    image_sentences=3,
)


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


def test_the_second_phase_has_images_and_given_clips_among_its_clips():
    options = replace(
        OPTIONS, processes=1, image_steps=3, image_every=3, given_every=3, given_clips=3, given_frames=2
    )
    drawn = [make_batch(options, step, 128) for step in range(3, 9)]
    assert [len(b.frames) for b in drawn] == [2, 1, 3] * 2
    assert [b.before is not None for b in drawn] == [True, False, False] * 2
    assert [b.frames.shape[1] for b in drawn] == [3, 4, 2] * 2


@pytest.mark.parametrize("every", [1, 2, 3])
def test_every_so_many_th_step_of_the_second_phase_is_of_images(every):
    options = replace(OPTIONS, processes=1, image_steps=0, image_every=every, given_every=0)
    drawn = [len(make_batch(options, step, 128).frames) for step in range(2 * every)]
    assert drawn.count(1) == 2 and drawn.count(options.clip_frames) == 2 * every - 2


@pytest.mark.parametrize("image_every", [0, 3])
@pytest.mark.parametrize("given_every", [0, 3])
def test_no_two_steps_draw_the_same_sample(monkeypatch, image_every, given_every):
    options = replace(
        OPTIONS, processes=1, image_steps=4, image_every=image_every, given_every=given_every, given_clips=3
    )
    drawn = []
    monkeypatch.setattr(train, "collate", lambda *_, **__: None)
    for name in ("_draw_image", "_draw_given_image", "_draw_clip", "_draw_given_clip"):
        monkeypatch.setattr(train, name, lambda _, index: drawn.append(index) or image_sample(0, 0, 1))
    for step in range(12):
        before = len(drawn)
        make_batch(options, step, 128)
        assert drawn[before] == _samples_before(options, step)
    assert len(set(drawn)) == len(drawn) > 12


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


def test_a_clips_frames_are_decoded_as_from_all_that_was_encoded(model, clips):
    rows, track = clips.decoded, None
    assert min(clips.frames.shape[:2]) > 1
    with torch.no_grad():
        image, text = model.encode_image(clips.frames.flatten(0, 1)), model.encode_text(clips.texts)
        for i, (low, _) in enumerate(frame_outputs(model, image, text, clips)):
            output = model.decode(image, text.rows(rows), clips.images(rows, torch.tensor(i)), track)
            height, width = low.shape[-2:]
            torch.testing.assert_close(low, model.select(output)[0][:, :height, :width], atol=1e-4, rtol=0)
            track = model.next_track(output)


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
    none = replace(clips, at_once=torch.zeros_like(clips.at_once), moving=torch.zeros_like(clips.moving))
    with torch.no_grad():
        losses = clip_losses(model, none, focal=5.0, alignment=0.5)
        assert list(losses) == list(clip_losses(model, clips, focal=5.0, alignment=0.5))
        assert losses["alignment"] == losses["moving_alignment"] == 0
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
            (track.tokens - place_tokens(model, masks)).square().mean()
            for (_, track), masks in zip(frame_outputs(model, image, text, clips), clips.masks, strict=True)
        ]
    torch.testing.assert_close(losses["tracking"], torch.stack(distances).mean())
    expected = losses["dice"] + 5 * losses["focal"] + 0.5 * losses["tracking"]
    torch.testing.assert_close(losses["loss"], expected)


def test_given_tokens_are_heard(model, given):
    """What the decoder is told of the frame before changes its masks, and nothing else does."""
    image, text = model.encode_image(given.frames[0]), model.encode_text(given.texts)
    with torch.no_grad():
        here, there = (
            Track(place_tokens(model, masks), None) for masks in (given.before, given.before.flip(-1))
        )
        ((one, _),), ((two, _),) = (
            list(frame_outputs(model, image, text, given, track=track)) for track in (here, there)
        )
    assert not torch.allclose(one, two, atol=1e-6)


def test_later_frames_are_often_those_where_an_object_comes_in(monkeypatch):
    """Nothing was there in the frame before, so nothing but the sentence and the newcomer says what to segment."""
    options = replace(OPTIONS, processes=1, image_steps=16, given_every=1, image_sentences=6)

    def entered():
        batches = [make_batch(options, step, 128) for step in range(options.image_steps)]
        before = torch.cat([b.before.flatten(1).any(1) for b in batches])
        return int((~before & (torch.cat([b.masks[0].flatten(1).sum(1) for b in batches]) >= 40)).sum())

    often = entered()
    monkeypatch.setattr(train, "HARD", 0.0)
    assert often > 2 * entered()


def _disc(name, x, vx, radius=10.0):
    look = Look("circle", "red", "plain", "small")
    return Shape(name, look, radius, (200.0, 40.0, 40.0), 0.0, x, 50.0, vx, 0.0, "right")


def test_objects_meet_from_where_they_touch_until_they_have_passed():
    """They are 80 pixels apart and come 8 nearer a frame; the sum of their radii is 20."""
    one, two, far = _disc("1", 20.0, 4.0), _disc("2", 100.0, -4.0), _disc("3", 300.0, 0.0)
    assert meetings([one, two, far], [one], whole=False) == [8]
    assert meetings([one, two, far], [two], whole=True) == [8, 9, 10, 11, 12]
    assert meetings([one, far], [one, far], whole=True) == []


def test_what_goes_out_of_sight_meets_nothing():
    one, leaving = _disc("1", 110.0, 2.0), _disc("2", 120.0, 2.0)
    assert all(leaving.on_screen(t) for t in meetings([one, leaving], [one], whole=True))
    assert meetings([one, leaving], [one], whole=True) == [1, 2]


def test_clips_of_given_steps_begin_anywhere_and_go_on_from_there():
    options = replace(OPTIONS, processes=1, image_steps=0, clip_steps=4, given_every=2)
    given, plain = (make_batch(options, step, 128) for step in (2, 1))
    assert given.before is not None and plain.before is None
    assert len(given.frames) == options.given_frames and len(plain.frames) == options.clip_frames


def test_a_clips_given_token_is_at_times_that_of_another_object(model, monkeypatch):
    """Only where the sentence is enough to find its own again or says how it moves, and never in single images."""
    monkeypatch.setattr(shapes, "JITTER", 0.0)
    monkeypatch.setattr(shapes, "LOST", 0.0)
    monkeypatch.setattr(shapes, "WRONG", 1.0)
    monkeypatch.setattr(shapes, "SEVERAL", 0.0)
    options = replace(OPTIONS, processes=1, image_steps=0, given_every=1, given_clips=8, sentences=6)
    batch = make_batch(options, 0, 128)
    heard = torch.zeros(len(batch.texts), dtype=torch.bool)
    torch.manual_seed(0)
    with torch.no_grad():
        found, own = given_track(model, batch, heard).tokens, place_tokens(model, batch.before)
    other = ~torch.isclose(found, own, atol=1e-5).flatten(1).all(1)
    assert other.any() and not (other & ~(batch.at_once | batch.moving)).any()
    for n in other.nonzero()[:, 0].tolist():
        clip = own[batch.clip_index == batch.clip_index[n]]
        assert torch.isclose(clip, found[n], atol=1e-5).flatten(1).all(1).any()
    with torch.no_grad():
        dropped = given_track(model, batch, ~heard).tokens
        single = replace(batch, frames=batch.frames[:1], masks=batch.masks[:1])
        torch.testing.assert_close(given_track(model, single, heard).tokens, own)
    torch.testing.assert_close(dropped, own)


def test_naming_adds_its_loss_and_leaves_nothing_in_the_model(clips):
    torch.manual_seed(0)
    model = build_refsam(CONFIGS["refsam_tiny"], build_tiny_text())
    learner = Learner(model, OPTIONS)
    named = {f"model.{n}" for n, _ in model.named_parameters()}
    beside = [n for n, _ in learner.named_parameters() if n not in named]
    assert beside and all(n.startswith("naming.") for n in beside)
    with torch.no_grad():
        plain = clip_losses(model, clips, focal=5.0)
        both = clip_losses(model, clips, focal=5.0, naming=learner.naming, attributes=0.2)
    torch.testing.assert_close(both["loss"], plain["loss"] + 0.2 * both["naming"])
    assert both["naming"] > 1
    stepped = [p for group in learner.parameter_groups(OPTIONS) for p in group["params"]]
    learnable = [p for p in learner.parameters() if p.requires_grad]
    assert len(stepped) == len(learnable) == len({id(p) for p in stepped})


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
