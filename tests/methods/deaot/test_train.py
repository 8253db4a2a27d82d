"""The recipe of the tiny DeAOT: what it is shown, that it learns, and that it resumes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open

from refseg.bench.errors import InputError
from refseg.bench.registry import build_dataset, resolve
from refseg.bench.types import DatasetRequest, TrainRequest
from refseg.datasets.refshapes.scene import FRAMES
from refseg.methods.deaot import train
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.deaot.frames import network_input
from refseg.methods.deaot.tracker import DeAotTracker
from refseg.methods.deaot.train import DeAotTrainOptions, clip_losses, draw_clip, make_batch
from refseg.methods.sam.weights import save_safetensors

RECIPE = "deaot_refshapes"
SHORT = {
    "steps": "5",
    "clips": "2",
    "frames": "2",
    "warmup": "2",
    "watch": "1",
    "evaluate_every": "5",
    "validate": "0",
}
OPTIONS = DeAotTrainOptions(steps=100, clips=4)


def request(out, *, resume=False, method="deaot_tiny", **options):
    return TrainRequest(method, RECIPE, {**SHORT, **options}, str(out), resume, "cpu")


def test_a_resumed_training_is_the_one_that_was_not_interrupted(trained_twice):
    figures, weights = trained_twice(train, "clip_losses", request)
    assert 0 <= figures["dev_J"] <= 100 and weights.name == "deaot_tiny.safetensors"
    with safe_open(weights, framework="pt") as file:
        facts = file.metadata()
    assert json.loads(facts["recipe"])["steps"] == 5 and facts["dataset"].startswith("refshapes ")


def test_steps_on_one_batch_lower_its_loss_and_reach_every_weight():
    torch.manual_seed(0)
    options = replace(OPTIONS, clips=2, frames=3, alone=0.0)
    batch = make_batch(options, 0)
    model = build_deaot(DEAOT_CONFIGS["deaot_tiny"]).train()
    before = {name: value.clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    seen = []
    for _ in range(10):
        optimizer.zero_grad()
        losses = clip_losses(model, batch, options, 0)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen.append({name: float(value.detach()) for name, value in losses.items()})
    assert seen[-1]["cross_entropy"] < 0.5 * seen[0]["cross_entropy"]
    assert seen[-1]["jaccard"] < 0.9 * seen[0]["jaccard"]
    assert not [name for name, value in model.named_parameters() if torch.equal(value, before[name])]


def test_clips_depend_on_their_number_alone_and_run_forward_through_one_video():
    for index in range(12):
        clip, again = draw_clip(OPTIONS, index), draw_clip(OPTIONS, index)
        assert np.array_equal(clip.frames, again.frames) and np.array_equal(clip.labels, again.labels)
        assert clip.frames.shape == (4, 112, 128, 3) and clip.labels.shape == (4, 112, 128)
        whole = train.clip_sample(OPTIONS.seed, index, 0, range(FRAMES))
        times = [[t for t in range(FRAMES) if np.array_equal(f, whole.frames[t])] for f in clip.frames]
        assert all(len(t) == 1 for t in times)
        gaps = np.diff([t[0] for t in times])
        assert (gaps >= 1).all() and (gaps <= OPTIONS.farthest).all()
        # What is given is in the first frame, has one number each, and is the same object later on.
        ids = {*np.unique(clip.labels[0])} - {0}
        assert ids == {*range(1, clip.objects + 1)} or (not ids and clip.objects == 1)
        truth = np.stack([whole.labels[t[0]] for t in times])
        for i in ids:
            (number,) = np.unique(truth[clip.labels == i])
            assert np.array_equal(clip.labels == i, truth == number)


def test_one_object_or_any_number_of_them_is_given():
    counts = {p: [draw_clip(replace(OPTIONS, alone=p), i).objects for i in range(16)] for p in (0.0, 1.0)}
    assert {*counts[1.0]} == {1} and max(counts[0.0]) > 2


@pytest.mark.parametrize("step", [0, 1])
def test_processes_share_a_batch_without_gap_or_overlap(step):
    whole = make_batch(OPTIONS, step)
    parts = [make_batch(replace(OPTIONS, processes=2), step, rank) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.frames, whole.frames[:, rank::2])
        assert torch.equal(part.labels, whole.labels[:, rank::2])
        assert torch.equal(part.lots, whole.lots[:, rank::2]) and part.objects == whole.objects[rank::2]


def test_losses_of_shares_add_up_to_that_of_the_batch():
    torch.manual_seed(0)
    model = build_deaot(DEAOT_CONFIGS["deaot_tiny"])
    with torch.no_grad():
        whole, *parts = (
            clip_losses(model, make_batch(replace(OPTIONS, clips=2, processes=p), 3, rank), OPTIONS, 30)
            for p, rank in ((1, 0), (2, 0), (2, 1))
        )
    for name, value in whole.items():
        assert float(value) == pytest.approx(float(sum(part[name] for part in parts)) / 2, rel=1e-4)


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_a_clip_is_followed_as_the_tracker_follows_a_video(tiny, own):
    batch = make_batch(replace(OPTIONS, clips=1, frames=3), 1)
    clip = draw_clip(replace(OPTIONS, frames=3), 1)
    tracker = DeAotTracker(tiny)
    tracker.add_reference(clip.frames[0], clip.labels[0].astype(np.uint8))
    with torch.no_grad():
        for t, logits in enumerate(train.frame_logits(tiny, batch, own), 1):
            expected = tracker.propagate(clip.frames[t])
            torch.testing.assert_close(logits[0], expected, atol=1e-4, rtol=1e-4)
            labels = expected.argmax(0).numpy() if own else clip.labels[t]
            tracker.update(labels.astype(np.uint8))
    pixels = network_input(clip.frames[2], (112, 128), torch.device("cpu"))
    assert torch.equal(batch.frames[2], pixels)


def test_cross_entropy_is_of_the_hardest_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 10, generator=generator)
    labels = torch.randint(0, 3, (2, 8, 10), generator=generator)
    whole = train.bootstrapped_cross_entropy(logits, labels, 1.0)
    torch.testing.assert_close(whole, F.cross_entropy(logits, labels))
    each = -logits.log_softmax(1).gather(1, labels[:, None]).flatten(1)
    hardest = each.sort(1, descending=True).values[:, :20].mean()
    torch.testing.assert_close(train.bootstrapped_cross_entropy(logits, labels, 0.25), hardest)


def test_jaccard_loss_of_hard_masks_is_one_minus_their_jaccard():
    labels = torch.zeros(2, 20, 20, dtype=torch.long)
    labels[0, :10, :10], labels[0, 10:, :10], labels[1, :10] = 1, 2, 1
    found = labels.clone()
    found[0, :10, :5] = 0
    logits = 40.0 * F.one_hot(found, 3).permute(0, 3, 1, 2)
    # Clip 0: half of object 1, all of object 2; clip 1 has one object, all of it.
    expected = ((1 - 51 / 101) + 0) / 2 / 2
    assert float(train.soft_jaccard_loss(logits, labels, (2, 1))) == pytest.approx(expected, abs=1e-5)
    nothing = torch.zeros_like(labels)
    assert (
        float(train.soft_jaccard_loss(40.0 * F.one_hot(nothing, 3).permute(0, 3, 1, 2), nothing, (2, 2)))
        < 1e-5
    )


def test_dev_scores_are_of_objects_and_of_all_later_frames(monkeypatch):
    class Still:
        """Every later frame is said to be as the first."""

        align_corners, ids = False, 10

    def still(model, batch, own):
        assert own == 1.0
        for _ in batch.labels[1:]:
            yield F.one_hot(batch.labels[0], 1 + max(batch.objects)).permute(0, 3, 1, 2).float()

    monkeypatch.setattr(train, "frame_logits", still)
    values = []
    for clip in (train.watched_video(i) for i in range(3)):
        for i in range(1, clip.objects + 1):
            for labels in clip.labels[1:]:
                a, b = clip.labels[0] == i, labels == i
                values.append((a & b).sum() / (a | b).sum())
    assert train.dev_scores(Still(), 3)["dev_J"] == pytest.approx(100 * float(np.mean(values)), rel=1e-5)


def test_expressions_whose_object_is_not_there_yet_are_no_part_of_the_final_score():
    dataset = build_dataset(DatasetRequest("refshapes", "val"))
    kept = left = 0
    for video in dataset.videos()[:8]:
        shown = {e.id for e in train.shown_at_first(dataset, video).expressions}
        for e in video.expressions:
            assert bool(dataset.ground_truth(video.id, e.id).masks[0].any()) == (e.id in shown)
        kept, left = kept + len(shown), left + len(video.expressions) - len(shown)
    assert kept > left > 0


def test_wrong_calls_are_refused(tmp_path):
    recipe = resolve("recipes", RECIPE)
    with pytest.raises(InputError, match="--method deaot_tiny"):
        recipe(request(tmp_path, method="refsam_tiny"))
    with pytest.raises(InputError, match="leaves nothing to follow"):
        recipe(request(tmp_path, frames="1"))
    with pytest.raises(InputError, match="farthest"):
        recipe(request(tmp_path, farthest="0"))
    assert not [*tmp_path.iterdir()]


def test_the_final_score_is_of_the_sentences_whose_object_frame_0_shows(tmp_path):
    model = build_deaot(DEAOT_CONFIGS["deaot_tiny"])
    save_safetensors(model.state_dict(), tmp_path / "w.safetensors", {})
    val = build_dataset(DatasetRequest("refshapes", "val"))
    shown = [train.shown_at_first(val, video) for video in val.videos()[:2]]
    assert 0 < sum(len(v.expressions) for v in shown) < sum(len(v.expressions) for v in val.videos()[:2])
    scores = train.first_mask_scores(tmp_path / "w.safetensors", 2)
    # Frame 0 is the truth itself, whatever the network is.
    assert 100 / FRAMES < scores["val_J"] < 100 and scores.keys() == {"val_J&F", "val_J", "val_F"}
