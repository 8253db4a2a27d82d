from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.train import (
    RefSamTrainOptions,
    clip_losses,
    make_batch,
    parameter_groups,
)

OPTIONS = RefSamTrainOptions(image_steps=1, images=4, clip_steps=1, clips=2, clip_frames=3, sentences=3)


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
    optimizer = torch.optim.AdamW(parameter_groups(model, OPTIONS))
    # Twice: what lies behind a layer that starts at zero gets no gradient in the first step.
    for _ in range(2):
        optimizer.zero_grad()
        clip_losses(model, clips, 1.0)["loss"].backward()
        optimizer.step()
    # A tensor that two modules share has two names.
    learnable = {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed <= learnable
    # Where mask 0 is the output, nothing asks for the predicted quality.
    still = {n for n in learnable - changed if "bias" not in n and "iou_prediction_head" not in n}
    assert not still, sorted(still)
