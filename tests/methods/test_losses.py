import numpy as np
import pytest
import torch

from refseg.methods.losses import dice_loss, jaccard_loss

SURE = 50.0


def _logits(mask):
    return SURE * (2 * torch.as_tensor(mask, dtype=torch.float32) - 1)


@pytest.mark.parametrize("seed", range(5))
def test_overlap_of_sure_masks_is_that_of_sets(seed):
    """Against counted pixels; the 1 above and below keeps two empty masks at 0."""
    rng = np.random.default_rng(seed)
    masks, truths = rng.random((2, 4, 9, 7)) < rng.random((2, 4, 1, 1))
    both, either = (masks & truths).sum((-2, -1)), (masks | truths).sum((-2, -1))
    truth = torch.as_tensor(truths).float()
    expected = 1 - (both + 1) / (either + 1)
    np.testing.assert_allclose(jaccard_loss(_logits(masks), truth), expected, atol=1e-6)
    total = masks.sum((-2, -1)) + truths.sum((-2, -1))
    np.testing.assert_allclose(dice_loss(_logits(masks), truth), 1 - (2 * both + 1) / (total + 1), atol=1e-6)


def test_empty_truth_and_mask_lose_nothing():
    nothing = torch.zeros(1, 5, 5)
    assert jaccard_loss(_logits(nothing), nothing) == pytest.approx(0, abs=1e-6)
    assert jaccard_loss(_logits(nothing + 1), nothing) == pytest.approx(1 - 1 / 26, abs=1e-6)


@pytest.mark.parametrize(("likely", "dice", "jaccard"), [(0.6, "both", "one"), (0.75, "one", "one")])
def test_where_one_of_two_is_meant_jaccard_takes_the_likelier_and_dice_both(likely, dice, jaccard):
    """What each loss is least for in the mean, between a mask of the likelier object and one of both."""
    one, other = torch.zeros(2, 40, 40)
    one[:, :15], other[:, 25:] = 1, 1
    guesses = {"one": _logits(one), "both": _logits(one + other)}
    for loss, expected in ((dice_loss, dice), (jaccard_loss, jaccard)):
        mean = {k: float(likely * loss(g, one) + (1 - likely) * loss(g, other)) for k, g in guesses.items()}
        assert min(mean, key=mean.__getitem__) == expected
