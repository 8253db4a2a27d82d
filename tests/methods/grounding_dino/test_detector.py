from types import SimpleNamespace

import numpy as np
import pytest
import torch

from refseg.bench.types import Expression, Video
from refseg.methods.grounding_dino import detector as module
from refseg.methods.grounding_dino.detector import DetectorOptions, GroundingDino, inverse_sigmoid
from refseg.methods.grounding_dino.preprocess import preprocess

TEXTS = ("the red circle", "a blue square on the left", "circle")
SMALL = {"short_side": 64, "long_side": 100}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def detector(tiny_model, tokenizer, **options):
    return GroundingDino(tiny_model, tokenizer, DetectorOptions(**SMALL, **options))


def test_sentences_of_one_batch_do_not_feel_each_other(tiny_model, tokenizer, image):
    """Each has its own text mask and padding; the official code's batch gets this wrong."""
    found = detector(tiny_model, tokenizer)
    pixels = preprocess(image, 64, 100)
    together = found.predict(pixels, TEXTS)
    assert together.boxes.shape == (3, 12, 4)
    for i, text in enumerate(TEXTS):
        alone = found.predict(pixels, [text])
        length = alone.scores.shape[2]
        torch.testing.assert_close(together.boxes[i], alone.boxes[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.scores[i, :, :length], alone.scores[0], atol=1e-5, rtol=0)
        assert (together.scores[i, :, length:] == 0).all()


def test_it_is_the_plain_model_with_the_backbone_run_once(tiny_model, tokenizer, image):
    pixels, runs = preprocess(image, 64, 100), []
    hook = tiny_model.model.backbone.conv_encoder.register_forward_hook(
        lambda module, args, out: runs.append(len(args[0]))
    )
    batch = tokenizer([f"{t}." for t in TEXTS], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = tiny_model(pixel_values=pixels.expand(3, -1, -1, -1), **batch)
    mine = detector(tiny_model, tokenizer, inverse_sigmoid="transformers").predict(pixels, TEXTS)
    hook.remove()
    assert runs == [3, 1]
    torch.testing.assert_close(mine.boxes, expected.pred_boxes, atol=1e-6, rtol=0)
    torch.testing.assert_close(mine.logits, expected.logits[..., : mine.logits.shape[2]])
    assert (expected.logits[..., mine.logits.shape[2] :] == -torch.inf).all()


def test_one_box_a_sentence_however_they_are_batched(tiny_model, tokenizer, image, monkeypatch):
    found = detector(tiny_model, tokenizer)
    whole = found.find(image, TEXTS)
    monkeypatch.setattr(module, "SENTENCES_AT_ONCE", 2)
    parts = found.find(image, TEXTS)
    assert len(whole) == len(parts) == 3
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a.box, b.box, atol=1e-3)
    assert found.find(image, []) == []


def scripted(boxes, scores, ids=(101, 1041, 1043, 1012, 102), **options):
    """A detector whose network gives these boxes and per-token logits."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.model = SimpleNamespace(backbone=torch.nn.Identity())

        def forward(self, pixel_values, input_ids, attention_mask, token_type_ids):
            logits = torch.full((1, len(boxes), 256), -torch.inf)
            logits[0, :, : len(ids)] = torch.logit(torch.tensor(scores))
            return SimpleNamespace(logits=logits, pred_boxes=torch.tensor([boxes]))

    class Tokens:
        def __call__(self, texts, **_):
            row = torch.tensor([list(ids)])
            return {"input_ids": row, "attention_mask": row, "token_type_ids": row}

        def decode(self, tokens):
            return " ".join(map(str, tokens))

    return GroundingDino(Net(), Tokens(), DetectorOptions(**options))


TWO = ([[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.1, 1.0]], [[0.1, 0.3, 0.1, 0.1, 0.1], [0.1, 0.2, 0.4, 0.1, 0.6]])


def test_the_best_box_in_pixels_with_the_words_it_was_found_by(image):
    (found,) = scripted(*TWO).find(image, ["x"])
    # cx .25, cy .5, w .1, h 1 of 64x48 pixels.
    np.testing.assert_allclose(found.box, [12.8, 0, 19.2, 48], atol=1e-5)
    assert found.score == pytest.approx(0.6) and found.passed and found.phrase == "1043"


def test_below_the_threshold_the_best_is_given_and_told(image):
    (found,) = scripted(*TWO, box_threshold=0.7).find(image, ["x"])
    assert not found.passed and found.score == pytest.approx(0.6)


def test_a_detector_reads_the_frame_that_it_is_asked_about(tiny_model, tokenizer, image):
    video = Video("v", ("0", "1"), (48, 64), (), lambda i: image if i == 1 else image * 0)
    said = [Expression(str(i), text) for i, text in enumerate(TEXTS)]
    found = detector(tiny_model, tokenizer)
    for a, b in zip(found.detect(video, 1, said), found.find(image, TEXTS), strict=True):
        assert (a.box == b.box).all() and a.score == b.score


@pytest.mark.parametrize(("rule", "calls"), [("official", 4), ("transformers", 0)])
def test_the_official_inverse_sigmoid_is_used_where_asked(
    tiny_model, tokenizer, image, monkeypatch, rule, calls
):
    """Two decoder layers refine, and two heads read, a box each."""
    seen = []
    monkeypatch.setattr(module, "inverse_sigmoid", lambda x: seen.append(x) or inverse_sigmoid(x))
    detector(tiny_model, tokenizer, inverse_sigmoid=rule).predict(preprocess(image, 64, 100), TEXTS)
    assert len(seen) == calls
    assert torch.special.logit(torch.tensor(1e-4), eps=1e-5) < -9


def test_inverse_sigmoid_is_cut_at_a_thousandth():
    x = torch.tensor([-1.0, 0, 1e-4, 1e-3, 0.3, 0.9995, 1, 2])
    cut = torch.tensor([1e-3, 1e-3, 1e-3, 1e-3, 0.3, 0.9995, 1, 1])
    rest = torch.tensor([1, 1, 1 - 1e-4, 0.999, 0.7, 1e-3, 1e-3, 1e-3])
    torch.testing.assert_close(inverse_sigmoid(x), torch.log(cut / rest))


def test_long_sentences_are_cut_and_odd_ones_are_no_error(tiny_model, tokenizer, image):
    found = detector(tiny_model, tokenizer).find(image, ["red " * 400, "", "?", "circle. a square? left"])
    assert len(found) == 4 and all(np.isfinite(d.box).all() for d in found)
