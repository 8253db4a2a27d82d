"""The training losses: transformers' own where theirs are right, and the first stage's."""

import numpy as np
import pytest
import torch
from transformers.loss.loss_grounding_dino import GroundingDinoForObjectDetectionLoss

from refseg.methods.grounding_dino import losses
from refseg.methods.grounding_dino.losses import (
    Looks,
    Targets,
    Words,
    alignment,
    assign,
    cells,
    detection_losses,
    first_stage_losses,
    naming_loss,
    on_objects,
)
from refseg.methods.grounding_dino.samples import NamingBatch, make_batch, phrase_tokens
from refseg.methods.grounding_dino.tiny import (
    STRIDES,
    build_tiny,
    initialise,
    tiny_tokenizer,
    word_features,
)
from refseg.methods.grounding_dino.train import losses_of


@pytest.fixture(scope="module")
def batch():
    return make_batch(3, range(4))


@pytest.fixture(scope="module")
def model(batch):
    torch.manual_seed(0)
    model = build_tiny()
    initialise(model, batch.inputs["pixel_values"])
    return model.eval()


def test_losses_of_one_image_are_transformers_own(model, monkeypatch):
    """Where each object has one phrase and the batch one image, the two must agree; two layers, so one auxiliary."""
    monkeypatch.setattr(losses, "ALIGN", 0.0)
    tokens = tiny_tokenizer()(["the red circle. the ring."], return_tensors="pt", return_token_type_ids=True)
    inputs = {"pixel_values": torch.randn(1, 5, 112, 128), **tokens}
    boxes = torch.tensor([[0.3, 0.4, 0.2, 0.2], [0.7, 0.6, 0.3, 0.2]])
    targets = [Targets(boxes, phrase_tokens(tokens["input_ids"])[0])]
    seen = {}

    def theirs(logits, labels, device, pred_boxes, config, label_maps, text_mask, **outputs):
        seen["loss"], seen["parts"], _ = GroundingDinoForObjectDetectionLoss(
            logits, labels, device, pred_boxes, config, label_maps, text_mask, **outputs
        )
        return seen["loss"], seen["parts"], None

    with torch.no_grad():
        ours = detection_losses(model, inputs, targets, STRIDES)
        model.loss_function = theirs
        model(**inputs, labels=[{"boxes": boxes, "class_labels": torch.arange(2)}])
    for name in ("loss_ce", "loss_bbox", "loss_giou"):
        torch.testing.assert_close(ours[name], seen["parts"][name])
    weights = {"loss_ce": 2.0, "loss_bbox": 5.0, "loss_giou": 2.0}
    decoder = sum(w * (seen["parts"][k] + seen["parts"][f"{k}_0"]) for k, w in weights.items())
    torch.testing.assert_close(ours["loss"] - ours["first_stage"], decoder)


def test_a_batch_s_losses_are_those_of_its_images(model, batch):
    """Every image is compared with its own phrases, also from the third on."""
    numbers = torch.tensor([float(len(t.boxes)) for t in batch.targets])
    assert len(numbers) == 4 and (numbers > 0).sum() >= 3
    with torch.no_grad():
        whole = detection_losses(model, batch.inputs, batch.targets, STRIDES)
        rows = [
            detection_losses(
                model, {k: v[i : i + 1] for k, v in batch.inputs.items()}, batch.targets[i : i + 1], STRIDES
            )
            for i in range(4)
        ]
    for name in ("loss_ce", "loss_bbox", "loss_giou"):
        # Each image's sum is over its own number of boxes, at least 1.
        sums = sum(row[name] * max(1.0, n) for row, n in zip(rows, numbers, strict=True))
        torch.testing.assert_close(whole[name], sums / numbers.sum(), rtol=1e-3, atol=1e-4)


def test_images_in_which_nothing_is_wanted_teach_to_find_nothing(model, batch):
    inputs = {k: v[:1] for k, v in batch.inputs.items()}
    nothing = Targets(torch.empty(0, 4), torch.empty(0, inputs["input_ids"].shape[1]))
    with torch.no_grad():
        losses = detection_losses(model, inputs, [nothing], STRIDES)
    assert losses["loss_bbox"] == losses["loss_giou"] == 0
    assert losses["loss_ce"] > 0 and losses["first_stage"] > 0 and torch.isfinite(losses["loss"])


def test_everything_but_the_unused_is_trained(batch):
    torch.manual_seed(0)
    model = build_tiny()
    initialise(model, batch.inputs["pixel_values"])
    model.train()
    # Boxes start from heads that are zero; what lies behind them is reached from the second step on.
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for _ in range(2):
        optimizer.zero_grad()
        losses_of(model, batch)["loss"].backward()
        optimizer.step()
    still = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    allowed = ("bias", "attention_weights", "word_embeddings", "position_embeddings", "token_type")
    assert not {n for n in still if not any(part in n for part in allowed)}
    assert model.model.encoder_output_bbox_embed.layers[0].weight.grad.any()


def test_cells_lie_where_their_features_do():
    grid = cells((112, 128), (8, 16))
    assert len(grid) == 14 * 16 + 7 * 8
    np.testing.assert_allclose(grid[0], [4 / 128, 4 / 112, 8 / 128, 8 / 112])
    np.testing.assert_allclose(grid[17] * torch.tensor([128, 112, 128, 112]), [12, 12, 8, 8])
    np.testing.assert_allclose(grid[14 * 16] * torch.tensor([128, 112, 128, 112]), [8, 8, 16, 16])
    # A side that the stride does not divide: transformers divides the level by its own number of cells.
    assert len(cells((100, 128), (8,))) == 13 * 16


def test_cells_near_a_centre_find_it_and_the_rest_of_its_box_does_not_count():
    grid = cells((112, 128), (8,))
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.52, 0.5, 0.05, 0.05]])
    found, counts = assign(boxes, grid)
    x, y = grid[:, 0], grid[:, 1]
    inside = ((x - 0.5).abs() <= 0.25) & ((y - 0.5).abs() <= 0.25)
    near = ((x - 0.5).abs() <= 0.0875) & ((y - 0.5).abs() <= 0.0875)
    assert torch.equal(found >= 0, near) and torch.equal(counts, near | ~inside)
    # Every object is found by some cell, the small one inside the big one too, by the nearest.
    assert {0, 1} <= {*found.tolist()}
    for i in (found == 1).nonzero()[:, 0]:
        away = (grid[i, :2] - boxes[:, :2]).abs().sum(1)
        assert away[1] <= away[0]
    nothing, all_count = assign(torch.empty(0, 4), grid)
    assert (nothing == -1).all() and all_count.all()


def test_first_stage_wants_the_words_and_the_box_of_the_object(batch):
    grid, mask = cells((112, 128), STRIDES), batch.inputs["attention_mask"].bool()
    logits = torch.full((4, len(grid), 256), -12.0)
    boxes = torch.full((4, len(grid), 4), 0.5)
    for row, target in enumerate(batch.targets):
        found, _ = assign(target.boxes, grid)
        at = (found >= 0).nonzero()[:, 0]
        logits[row, at, : mask.shape[1]] += 24 * target.tokens[found[at]]
        boxes[row, at] = target.boxes[found[at]]
    perfect = first_stage_losses(logits, boxes, batch.targets, mask, grid, 0.25)
    assert all(float(v) < 1e-3 for v in perfect.values())
    wrong = first_stage_losses(-logits, boxes + 0.1, batch.targets, mask, grid, 0.25)
    assert wrong["loss_ce"] > 10 and float(wrong["loss_bbox"]) == pytest.approx(0.4, rel=1e-4)


def test_cells_of_an_object_are_to_be_named_by_its_words(monkeypatch):
    monkeypatch.setattr(losses, "PLACES", 0.0)
    grid = cells((112, 128), STRIDES)
    looks = [
        Looks(torch.tensor([[0.25, 0.25, 0.3, 0.3], [0.75, 0.75, 0.3, 0.3]]), torch.tensor([[0, 1], [2, 0]])),
        Looks(torch.empty(0, 4), torch.empty(0, 2, dtype=torch.int64)),
    ]
    words = Words([torch.eye(16)[:3], torch.eye(16)[3:5]], torch.zeros(2, 1, 2, 16))
    found, _ = assign(looks[0].boxes, grid)
    features = torch.zeros(2, len(grid), 16)
    # Nothing is said for one value or the other: the attributes' numbers of values, as surprises.
    assert float(naming_loss(features, words, looks, grid)) == pytest.approx(np.log(3) + np.log(2))
    for number, values in enumerate(looks[0].values):
        for word, value in zip(words.values, values, strict=True):
            features[0, found == number] += 100 * word[value]
    assert float(naming_loss(features, words, looks, grid)) < 1e-4
    # Cells outside of objects and images without any name nothing.
    features[0, found < 0] = features[1] = -50.0
    assert float(naming_loss(features, words, looks, grid)) < 1e-4
    # The scale: a dot product over the square root of the width.
    features[0, found >= 0] = 4 * torch.eye(16)[0]
    first, second = (found == 0).sum(), (found == 1).sum()
    right, wrong = np.log(np.e + 2) - 1, np.log(np.e + 2)
    expected = float(first * right + second * wrong) / float(first + second) + np.log(2)
    assert float(naming_loss(features, words, looks, grid)) == pytest.approx(expected, rel=1e-5)
    assert float(naming_loss(features[1:], words, looks[1:], grid)) == 0


def test_sides_are_named_by_how_far_the_centre_lies_there():
    grid = cells((112, 128), STRIDES)
    centre = torch.tensor([0.2, 0.7])
    looks = [Looks(torch.cat([centre, torch.tensor([0.3, 0.3])])[None], torch.zeros(1, 1, dtype=torch.int64))]
    # One attribute of one value costs nothing. Two pairs of words across, two down: the second of each pair is one axis
    # of the features.
    sides = torch.zeros(2, 2, 2, 4)
    sides[0, :, 1, 0] = sides[1, :, 1, 1] = 1

    def loss(at):
        # A score of s is a probability of sigmoid(s); half of the features counts, as they are 4 wide.
        features = torch.zeros(1, len(grid), 4)
        features[..., :2] = 2 * torch.tensor(at).logit()
        return float(naming_loss(features, Words([torch.zeros(1, 4)], sides), looks, grid))

    least = sum(-p * np.log(p) - (1 - p) * np.log(1 - p) for p in (0.2, 0.7))
    assert loss([0.2, 0.7]) == pytest.approx(losses.PLACES * least, rel=1e-5)
    for off in ([0.25, 0.7], [0.15, 0.7], [0.2, 0.75], [0.2, 0.65]):
        assert loss(off) > losses.PLACES * least + 1e-3
    wrong = -0.2 * np.log(0.8) - 0.8 * np.log(0.2) - 0.7 * np.log(0.3) - 0.3 * np.log(0.7)
    assert loss([0.8, 0.3]) == pytest.approx(losses.PLACES * wrong, rel=1e-5)


def test_naming_adds_to_the_loss_and_teaches_what_comes_before_image_and_text_meet(model, batch):
    plain = detection_losses(model, batch.inputs, batch.targets, STRIDES)
    named = losses_of(model, batch)
    assert "naming" not in plain
    torch.testing.assert_close(named["loss"], plain["loss"] + losses.NAMING * named["naming"])
    model.zero_grad()
    named["naming"].backward()
    taught = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {n.split(".")[1] for n in taught} == {
        "backbone", "input_proj_vision", "text_backbone", "text_projection",
    }  # fmt: skip


def test_backbones_alone_name_as_the_whole_network_does(model, batch):
    """The first steps of a training, in which nothing else is computed, against the others."""
    alone = losses_of(model, NamingBatch(batch.inputs["pixel_values"], batch.looks))
    whole = losses_of(model, batch)
    torch.testing.assert_close(alone["naming"], whole["naming"])
    torch.testing.assert_close(alone["loss"], losses.NAMING * alone["naming"])
    assert {*alone} == {"loss", "naming"}


def test_words_alone_are_what_they_are_in_a_text_of_phrases(model):
    """A phrase of one word sees nothing of the others, so that naming and finding speak of the same words."""
    words = ("red", "star", "small")
    tokens = tiny_tokenizer()(["red. star. small."], return_token_type_ids=True, return_tensors="pt")
    with torch.no_grad():
        out = model(pixel_values=torch.zeros(1, 5, 112, 128), **tokens, output_hidden_states=True)
        alone = word_features(model, words)
    torch.testing.assert_close(alone, out.encoder_text_hidden_states[0][0, [1, 3, 5]])


def test_alignment_is_the_share_of_the_wanted_places_among_those_that_count():
    shares = torch.tensor([[0.5, 0.3, 0.1, 0.1]])
    logits = torch.stack([shares.log(), shares.log().flip(1)], -1)  # (1, 4, 2)
    wanted = torch.zeros(1, 4, 2)
    wanted[0, [0, 2], 0] = 1
    every = torch.ones(1, 4, dtype=torch.bool)
    assert float(alignment(logits, wanted, every)) == pytest.approx(-np.log(0.6))
    # The place of 0.3 does not count, so that 0.7 is the whole.
    some = torch.tensor([[True, False, True, True]])
    assert float(alignment(logits, wanted, some)) == pytest.approx(-np.log(0.6 / 0.7))
    wanted[0, 3, 1] = 1  # The second word means a place of share 0.5.
    assert float(alignment(logits, wanted, every)) == pytest.approx(-(np.log(0.6) + np.log(0.5)) / 2)
    assert float(alignment(logits, 0 * wanted, every)) == 0


def test_queries_on_an_object_are_known_by_their_boxes():
    target = Targets(torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]]), torch.eye(2, 3))
    nothing = Targets(torch.empty(0, 4), torch.empty(0, 3))
    # The object, the object moved by a quarter (an IoU of 0.6) and by a half (1/3), the other, and none.
    boxes = torch.tensor([[0.3, 0.3], [0.35, 0.3], [0.4, 0.3], [0.7, 0.7], [0.3, 0.7]])
    boxes = torch.cat([boxes, torch.full((5, 2), 0.2)], 1).expand(2, -1, -1)
    found = on_objects(boxes, [target, nothing], [target.tokens, nothing.tokens])
    first, second, none = [True, False, False], [False, True, False], [False] * 3
    assert found.tolist() == [[first, first, none, second, none], [none] * 5]


def test_alignment_asks_for_any_of_the_queries_on_an_object(model, batch, monkeypatch):
    """Which of them the matching takes is no matter."""
    asked = []
    monkeypatch.setattr(
        losses,
        "alignment",
        lambda logits, wanted, counts: asked.append(wanted.bool()) or logits.new_zeros(()),
    )
    monkeypatch.setattr(losses, "on_objects", lambda boxes, targets, tokens: torch.zeros(4, 20, 256) > 0)
    with torch.no_grad():
        detection_losses(model, batch.inputs, batch.targets, STRIDES)
        monkeypatch.setattr(losses, "on_objects", lambda boxes, targets, tokens: torch.ones(4, 20, 256) > 0)
        detection_losses(model, batch.inputs, batch.targets, STRIDES)
    # Two decoder layers and the first stage a pass; without boxes, one query an object.
    assert len(asked) == 6
    assert [int(w.any(2).sum()) for w in asked[:2]] == [batch.objects] * 2
    assert all(w.all() for w in asked[3:5])


def test_alignment_has_a_gradient_beside_words_that_no_text_has():
    logits = torch.zeros(2, 3, 2, requires_grad=True)
    padded = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])[:, None]
    wanted = torch.zeros(2, 3, 2)
    wanted[0, 1, 0] = 1
    alignment(logits + padded, wanted, torch.ones(2, 3, dtype=torch.bool)).backward()
    expected = torch.tensor([1 / 3, 1 / 3 - 1, 1 / 3])
    torch.testing.assert_close(logits.grad[0, :, 0], expected)
    assert torch.equal(logits.grad[1], torch.zeros(3, 2)) and torch.equal(
        logits.grad[0, :, 1], torch.zeros(3)
    )


def test_phrases_are_told_apart_by_full_stops():
    ids = tiny_tokenizer()(["the ring. the red star.", "the ring."], padding=True, return_tensors="pt")[
        "input_ids"
    ]
    two, one = phrase_tokens(ids)
    assert two.tolist() == [[0, 1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0, 0]]
    assert one.tolist() == [[0, 1, 1, 0, 0, 0, 0, 0, 0]]
