"""What dense attention is taught: against its own softmax, SAM's own prompt encoder and sums by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from refseg.methods.naming import Objects
from refseg.methods.refsam.attention import place_scores
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import ImageFeatures, TextFeatures, build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.train import RefSamTrainOptions, make_batch
from refseg.methods.refsam.training.dense_prompts import (
    FILLED,
    LOGIT,
    NOTHING,
    OTHERS,
    OWN,
    balance,
    cell_weights,
    doubted,
    frame_cells,
    last_token_logits,
    mask_prompts,
    told_at_once,
    told_losses,
)
from refseg.methods.refsam.training.motion import Moves
from refseg.methods.refsam.training.shapes import ClipBatch, clip_losses
from refseg.methods.sam.transforms import cell_shares

OPTIONS = RefSamTrainOptions(image_steps=1, align_steps=0, images=4, clip_steps=1, processes=1)
LOSSES = ("alignment", "dense_prompt")


@pytest.fixture(scope="module")
def batch():
    return make_batch(OPTIONS, 0, 128)


@pytest.fixture
def asked():
    """A frame of 6x8 pixels in a square of 8, cells of 2 pixels; the object fills one cell and half of another."""
    mask, other = torch.zeros(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
    mask[0, 0, 2:4, 2:5] = 1
    other[0, 0, :2, :2] = 1
    one = torch.ones(1, dtype=torch.bool)
    row = torch.tensor([0])
    objects = Objects(mask[0], row, torch.zeros(1, 4, dtype=torch.long))
    moves = Moves(mask[0, :0], mask[0, :0], row[:0], row[:0])
    frames, everything = torch.zeros(1, 1, 3, 8, 8), torch.zeros(1, 1, 6, 8)
    return ClipBatch(frames, mask, ["x"], row, row, one, other, objects, moves, ~one, everything)


def test_shares_of_cells(asked):
    shares = cell_shares(asked.masks[0], 8, 4)
    expected = torch.zeros(1, 4, 4)
    expected[0, 1, 1], expected[0, 1, 2] = 1.0, 0.5
    assert torch.equal(shares, expected)
    assert frame_cells((6, 8), 8, 4).tolist() == [[True] * 4] * 3 + [[False] * 4]


def test_each_kind_of_cell_counts_the_same_whatever_its_number(asked):
    shares, others = cell_shares(asked.masks[0], 8, 4), cell_shares(asked.others[0], 8, 4)
    weights = cell_weights(shares, others, frame_cells((6, 8), 8, 4))[0]
    assert float(weights[1, 1] + weights[1, 2]) == pytest.approx(OWN)
    assert float(weights[0, 0]) == pytest.approx(OTHERS)
    assert float(weights.sum()) == pytest.approx(OWN + OTHERS + NOTHING)
    assert not weights[3].any()


def test_cells_that_two_objects_share_are_the_objects_own(asked):
    shares = cell_shares(asked.masks[0], 8, 4)
    weights = cell_weights(shares, shares, frame_cells((6, 8), 8, 4))[0]
    assert float(weights[1, 1] + weights[1, 2]) == pytest.approx(OWN)
    assert float(weights.sum()) == pytest.approx(OWN + NOTHING)


def test_prompts_are_those_of_sams_prompt_encoder(model):
    shares = torch.zeros(1, 16, 16)
    shares[0, 3:5, 6] = 1
    logits = torch.full((1, 1, 64, 64), -LOGIT)
    logits[0, 0, 12:20, 24:28] = LOGIT
    with torch.no_grad():
        _, dense = model.sam.prompt_encoder(points=None, boxes=None, masks=logits)
    torch.testing.assert_close(mask_prompts(model, shares), dense, atol=1e-6, rtol=0)


def test_doubted_shares_keep_the_object_ahead_on_the_whole():
    torch.manual_seed(0)
    shares = torch.zeros(64, 16, 16)
    for row, at in enumerate(torch.randint(0, 256, (64,)).tolist()):
        shares[row].view(-1)[at] = 1
    seen = doubted(shares)
    assert float(seen.min()) >= 0 and float(seen.max()) <= 1
    assert not torch.equal(seen, shares)
    first = (seen.flatten(1).argmax(1) == shares.flatten(1).argmax(1)).float().mean()
    assert float(first) > 0.9


def _sentences(scores: Tensor) -> tuple[ImageFeatures, TextFeatures]:
    """Return features whose scores (maps, 16) are the last token's, against a sentence and a word that score 0."""
    maps = tuple(s.float().view(1, 1, 4, 4).repeat(1, 2, 1, 1) * 2**0.5 / 2 for s in scores)
    words = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]])  # the third is padding
    mask = torch.tensor([[True, True, False]])
    return ImageFeatures(maps[0], maps), TextFeatures(words, mask, torch.zeros(1, 2))


def test_the_last_tokens_logit_is_that_of_dense_attentions_own_softmax():
    torch.manual_seed(0)
    scores = torch.randn(2, 16)
    image, text = _sentences(scores)
    found = last_token_logits(place_scores(image.maps, text.bank, torch.tensor([0])), text.mask)
    shares = [torch.stack([0 * s, 0 * s, s]).softmax(0)[2] for s in scores]
    torch.testing.assert_close(found[0], sum(a.logit() for a in shares), atol=1e-5, rtol=0)


def test_alignment_is_a_rank_and_a_yes_or_no_for_each_place(asked):
    torch.manual_seed(0)
    scores = torch.randn(1, 16)
    image, text = _sentences(scores)
    logits = [v - math.log(2) for v in scores[0].tolist()]
    shown = sum(math.exp(v) for v in logits[:12])
    ranked = -math.log((math.exp(logits[5]) + 0.5 * math.exp(logits[6])) / shown)
    entropy = [math.log1p(math.exp(-v if i in (5, 6) else v)) for i, v in enumerate(logits)]
    rest = [i for i in range(1, 12) if i not in (5, 6)]
    alone = OWN * (entropy[5] / 1.5 + entropy[6] * 0.5 / 1.5) + OTHERS * entropy[0]
    alone += NOTHING * sum(entropy[i] for i in rest) / len(rest)
    assert FILLED < 0.5
    losses = told_losses(None, image, text, asked, told_at_once(asked), ["alignment"])
    assert float(losses["alignment"]) == pytest.approx(ranked + alone, abs=1e-5)


def test_rows_that_cannot_be_told_at_once_are_left_out(model, batch):
    none = replace(batch, at_once=torch.zeros_like(batch.at_once))
    told = told_at_once(none)
    image, text = model.encode_image(batch.frames[0]), model.encode_text(batch.texts)
    losses = told_losses(model, image, text, none, told, LOSSES)
    assert tuple(losses) == LOSSES
    for loss in losses.values():
        assert loss.requires_grad and loss.detach() == 0


def test_prompts_of_the_true_objects_lose_nothing_and_empty_ones_lose_the_object(model, batch, monkeypatch):
    image, text = model.encode_image(batch.frames[0]), model.encode_text(batch.texts)
    shares = cell_shares(batch.masks[0], 128, 16)[batch.at_once]
    monkeypatch.setattr(model, "dense_prompts", lambda *_: mask_prompts(model, shares))
    told = told_at_once(batch)
    assert float(told_losses(model, image, text, batch, told, LOSSES)["dense_prompt"]) == 0
    monkeypatch.setattr(model, "dense_prompts", lambda *_: mask_prompts(model, 0 * shares))
    empty = float(told_losses(model, image, text, batch, told, LOSSES)["dense_prompt"])
    assert 0.1 * OWN < empty < 2 * OWN


def test_a_given_dense_prompt_takes_dense_attentions_place(model, batch):
    rows = batch.clip_index
    with torch.no_grad():
        image, text = model.encode_image(batch.frames[0]), model.encode_text(batch.texts)
        own = model.dense_prompts(image, text, rows)
        plain = model.decode(image, text, rows)
        same = model.decode(image, text, rows, None, own)
        other = model.decode(image, text, rows, None, own.roll(1, 0))
    assert torch.equal(plain.low_res_logits, same.low_res_logits)
    assert not torch.allclose(plain.low_res_logits, other.low_res_logits, atol=1e-6)


def test_while_the_decoder_is_prompted_dense_attention_learns_from_the_true_prompts_alone(batch):
    torch.manual_seed(0)
    model = build_refsam(CONFIGS["refsam_tiny"], build_tiny_text()).train()
    weight = model.hda.attentions[0].conv.weight
    clip_losses(model, batch, focal=5.0, prompted=True)["loss"].backward()
    assert weight.grad is None or not weight.grad.any()
    assert model.sam.mask_decoder.mask_tokens.weight.grad.any()
    clip_losses(model, batch, focal=5.0, dense_prompts=1.0, prompted=True)["loss"].backward()
    assert weight.grad.any()


def test_balanced_weights_let_sentences_count_in_dense_attention(batch):
    """The share of dense attention's output that changes with the sentence, before and after."""

    def share(model):
        with torch.no_grad():
            image, text = model.encode_image(batch.frames[0]), model.encode_text(batch.texts)
            first = model.dense_prompts(image, text, torch.zeros_like(batch.clip_index))
        return float((first - first.mean(0)).norm() / first.norm())

    torch.manual_seed(0)
    model = build_refsam(CONFIGS["refsam_tiny"], build_tiny_text())
    before = share(model)
    balance(model)
    assert share(model) > 3 * before
    with torch.no_grad():
        words = model.encode_text(batch.texts).words.norm(dim=-1).mean()
        prompt = model.sam.prompt_encoder.point_embeddings[1].weight.norm()
    assert 0.3 < float(words / prompt) < 3


@pytest.mark.parametrize("dense", ["none", "da"])
def test_variants_without_hierarchical_attention_are_trained_too(batch, dense):
    torch.manual_seed(0)
    model = build_refsam(replace(CONFIGS["refsam_tiny"], dense=dense), build_tiny_text()).train()
    balance(model)
    losses = clip_losses(model, batch, focal=5.0, alignment=0.5, dense_prompts=1.0, prompted=True)
    assert ("dense_prompt" in losses) == (dense == "da")
    losses["loss"].backward()
    assert model.cross_modal_mlp[-1].weight.grad.any()
