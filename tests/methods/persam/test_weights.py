import numpy as np
import pytest
import torch

from refseg.methods.persam.weights import learn_mask_weights, weighted


@pytest.fixture
def masks():
    """Logits of three masks, of which the second is the truth, and the truth."""
    truth = np.zeros((20, 30), bool)
    truth[5:15, 8:22] = True
    good = torch.where(torch.from_numpy(truth), 4.0, -4.0)
    return torch.stack([-good, good, torch.full_like(good, 0.5)]), truth


def test_the_weights_sum_to_one_and_learn_which_mask_is_right(masks):
    logits, truth = masks
    weights = learn_mask_weights(logits, truth, steps=300, learning_rate=1e-2)
    assert weights.sum() == pytest.approx(1, abs=1e-5) and not weights.requires_grad
    assert weights.argmax() == 1
    assert ((weighted(logits, weights) > 0).numpy() == truth).all()


def test_no_step_leaves_thirds(masks):
    weights = learn_mask_weights(*masks, steps=0, learning_rate=1)
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3))


def test_it_is_the_release_s_training_step_by_step(masks):
    """The release's loop, written from its description: losses over flat pixels, AdamW, cosine."""
    logits, truth = masks
    flat, target = logits.flatten(1), torch.from_numpy(truth).float().flatten()[None]
    two = torch.nn.Parameter(torch.ones(2, 1) / 3)
    optimizer = torch.optim.AdamW([two], lr=1e-2, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    for _ in range(7):
        x = (flat * torch.cat([1 - two.sum(0)[None], two])).sum(0)[None]
        p = x.sigmoid()
        dice = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
        hit = p * target + (1 - p) * (1 - target)
        alpha = 0.25 * target + 0.75 * (1 - target)
        focal = -(alpha * (1 - hit) ** 2 * hit.log()).mean()
        optimizer.zero_grad()
        (dice + focal).backward()
        optimizer.step()
        schedule.step()
    expected = torch.cat([1 - two.sum(0), two[:, 0]]).detach()
    mine = learn_mask_weights(logits, truth, steps=7, learning_rate=1e-2)
    torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-5)


def test_it_learns_inside_no_grad(masks):
    with torch.no_grad():
        weights = learn_mask_weights(*masks, steps=3, learning_rate=1e-2)
    assert weights[1] > 1 / 3
