"""The tiny DeAOT that is shipped: its file, and how well it follows what the first frame gives."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from refseg.bench.scoring.measures import region_and_boundary
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.deaot.tracker import DeAotTracker
from refseg.methods.deaot.train import DeAotTrainOptions, shown_at_first
from refseg.methods.deaot.weights import DEAOT_TINY, load_deaot

VIDEOS = 3


@pytest.fixture(scope="module")
def shipped():
    model, _ = load_deaot("deaot_tiny", None, option="tracker_checkpoint")
    return model


@torch.inference_mode()
def followed(model, video, first):
    """Return the mask (T, H, W) of one object that is given in frame 0."""
    tracker, masks = DeAotTracker(model), [first]
    tracker.add_reference(video.read(0), first.astype(np.uint8))
    for t in range(1, len(video)):
        labels = tracker.propagate(video.read(t)).argmax(0).numpy().astype(np.uint8)
        tracker.update(labels)
        masks.append(labels == 1)
    return np.stack(masks)


def scores(dataset, follow):
    """Return J&F, in percent, of each different object that the first videos of val show in frame 0."""
    found = []
    for video in dataset.videos()[:VIDEOS]:
        objects = {e.object_ids: e for e in shown_at_first(dataset, video).expressions}
        for expression in objects.values():
            truth = dataset.ground_truth(video.id, expression.id).masks
            region, boundary = region_and_boundary(follow(video, truth[0]), truth)
            found.append(50 * (region.mean() + boundary.mean()))
    return found


def test_the_file_is_small_and_has_the_network_s_names_and_its_recipe():
    stored, own = load_file(DEAOT_TINY), build_deaot(DEAOT_CONFIGS["deaot_tiny"]).state_dict()
    assert {k: v.shape for k, v in stored.items()} == {k: v.shape for k, v in own.items()}
    assert DEAOT_TINY.stat().st_size <= 8e6
    with safe_open(DEAOT_TINY, framework="pt") as file:
        facts = file.metadata()
    assert facts["dataset"] == "refshapes 2"
    recipe = json.loads(facts["recipe"])
    assert recipe["recipe"] == "deaot_refshapes"
    # `bench train` without options makes these weights.
    assert {k: v for k, v in recipe.items() if k != "recipe"} == {
        f.name: f.default for f in fields(DeAotTrainOptions)
    }


def test_it_follows_objects_that_are_given_in_the_first_frame(shipped, shapes):
    found = scores(shapes, lambda video, first: followed(shipped, video, first))
    assert len(found) >= 5
    assert np.mean(found) >= 80


def test_masks_that_stay_where_they_were_score_far_less(shapes):
    """So that the check above asks for motion to be followed."""
    still = scores(shapes, lambda video, first: np.stack([first] * len(video)))
    assert np.mean(still) < 65
