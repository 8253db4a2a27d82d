"""The recipe of the tiny detector: what it is shown, and that it learns, resumes and is measured."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from refseg.bench.errors import InputError
from refseg.bench.registry import resolve
from refseg.bench.types import TrainRequest
from refseg.datasets.refshapes.grammar import HELD_OUT, VALUES
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import Look
from refseg.datasets.refshapes.train import image_sample
from refseg.methods.grounding_dino import train
from refseg.methods.grounding_dino.samples import Phrase, collate, descriptions, make_batch
from refseg.methods.grounding_dino.tiny import as_detector, build_tiny, tiny_tokenizer
from refseg.methods.muon import LR_FACTOR, MuonAdamW
from refseg.methods.stages import Detection

RECIPE = "grounding_dino_refshapes"
SHORT = {
    "naming_steps": "2", "naming_images": "4", "steps": "2", "images": "2", "warmup": "2", "watch": "2",
    "evaluate_every": "4",
}  # fmt: skip


def request(out, *, resume=False, method="grounding_dino_tiny", **options):
    return TrainRequest(method, RECIPE, {**SHORT, **options}, str(out), resume, "cpu")


def test_a_resumed_training_is_the_one_that_was_not_interrupted(trained_twice):
    figures, weights = trained_twice(train, "losses_of", request)
    assert 0 <= figures["dev_top1"] <= 100 and weights.name == "grounding_dino_tiny.safetensors"
    with safe_open(weights, framework="pt") as file:
        facts = file.metadata()
    assert json.loads(facts["recipe"])["steps"] == 2 and facts["dataset"] == "refshapes 2"


def test_steps_on_one_batch_lower_its_loss():
    torch.manual_seed(0)
    batch = make_batch(5, range(4))
    model = build_tiny()
    train.initialise(model, batch.inputs["pixel_values"])
    model.train()
    optimizer = MuonAdamW(train.parameter_groups(model, train.DetectorTrainOptions()))
    seen = []
    for _ in range(16):
        optimizer.zero_grad()
        losses = train.losses_of(model, batch)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen.append({name: float(value.detach()) for name, value in losses.items()})
    for name in ("loss", "first_stage", "naming"):
        assert np.mean([s[name] for s in seen[-4:]]) < 0.7 * seen[0][name]


def test_every_parameter_is_in_one_group():
    model = build_tiny()
    groups = train.parameter_groups(model, train.DetectorTrainOptions(lr=1.0))
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    offsets = {id(p) for n, p in model.named_parameters() if "sampling_offsets" in n}
    assert offsets == {id(p) for g in groups if g["lr"] == 0.1 for p in g["params"]}


def test_muon_has_the_hidden_matrices_and_neither_what_is_looked_up_nor_last_layers():
    model = build_tiny()
    names = {id(p): n for n, p in model.named_parameters()}
    groups = train.parameter_groups(model, train.DetectorTrainOptions(lr=1.0))
    by_muon = {names[id(p)] for g in groups if g.get("muon") for p in g["params"]}
    assert all(g["lr"] == LR_FACTOR for g in groups if g.get("muon"))
    for part in (
        "text_backbone.encoder.layer.1.attention.self.query",
        "text_projection",
        "encoder.layers.2.fusion_layer.attn.values_text_proj",
        "encoder.layers.0.text_enhancer_layer.fc2",
        "encoder.layers.0.deformable_layer.self_attn.value_proj",
        "decoder.layers.1.encoder_attn.output_proj",
        "input_proj_vision.0.0",
        "backbone.conv_encoder.model.encoder.stages.2.layers.1.layer.1.convolution",
    ):
        assert f"model.{part}.weight" in by_muon
    no = ("embed", "sampling_offsets", "attention_weights", "bias", "LayerNorm", "_param")
    assert not [n for n in by_muon if any(part in n for part in no)]


def test_another_method_is_refused(tmp_path):
    with pytest.raises(InputError, match="--method grounding_dino_tiny"):
        resolve("recipes", RECIPE)(request(tmp_path, method="refsam_tiny"))


def test_batches_depend_on_their_number_alone_and_boxes_on_their_objects():
    one, again, other = make_batch(1, [8, 9]), make_batch(1, [8, 9]), make_batch(1, [10, 11])
    assert torch.equal(one.inputs["pixel_values"], again.inputs["pixel_values"])
    assert torch.equal(one.inputs["input_ids"], again.inputs["input_ids"])
    assert not torch.equal(one.inputs["pixel_values"], other.inputs["pixel_values"])
    batch = make_batch(1, range(24))
    assert batch.objects > 24
    for ids, target in zip(batch.inputs["input_ids"], batch.targets, strict=True):
        assert (target.boxes[:, 2:] > 0).all()
        assert (target.boxes[:, :2] - target.boxes[:, 2:] / 2 >= -1e-6).all()
        assert (target.boxes[:, :2] + target.boxes[:, 2:] / 2 <= 1 + 1e-6).all()
        # What is wanted are whole words of some phrase, never the tokens between phrases.
        assert (target.tokens.sum(1) > 0).all()
        assert not target.tokens[:, torch.isin(ids, torch.tensor([0, 101, 102, 1012]))].any()


def test_backbones_learn_first_and_no_scene_comes_twice(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        train, "make_naming_batch", lambda seed, numbers: drawn.append(("naming", [*numbers]))
    )
    monkeypatch.setattr(train, "make_batch", lambda seed, numbers, alone: drawn.append((alone, [*numbers])))
    options = train.DetectorTrainOptions(
        naming_steps=2, naming_images=4, steps=4, images=3, alone_first=0.2, alone_last=0.6, processes=2
    )
    for step in range(6):
        for rank in range(2):
            train.draw(options, step, rank)
    numbers = [n for _, own in drawn for n in own]
    assert sorted(numbers) == list(range(2 * 4 + 4 * 3))
    assert [kind for kind, _ in drawn[:4]] == ["naming"] * 4
    assert [kind for kind, _ in drawn[4::2]] == pytest.approx([0.2, 0.3, 0.4, 0.5])


def test_texts_are_one_sentence_as_often_as_is_asked_for():
    def phrases(alone):
        batch = make_batch(1, range(12), alone)
        # A text's full stops; every phrase has one.
        return (batch.inputs["input_ids"] == 1012).sum(1)

    assert (phrases(1.0) == 1).sum() >= 11 and (phrases(0.0) > 1).sum() >= 11
    assert phrases(0.0).max() > 6


def test_all_visible_objects_are_known_by_their_looks_whether_they_are_wanted_or_not():
    sample = image_sample(3, 4, 0)
    ids = [i for i in np.unique(sample.labels) if i and (sample.labels == i).sum() >= 40]
    assert len(ids) >= 2
    batch = collate([sample], [[Phrase("the thing", frozenset({str(ids[0])}))]])
    (looks,), (target,) = batch.looks, batch.targets
    assert len(looks.boxes) == len(ids) and len(target.boxes) == 1
    assert torch.equal(looks.boxes[:1], target.boxes)
    for number, values in zip(ids, looks.values.tolist(), strict=True):
        look = sample.looks[str(number)]
        assert [own[v] for own, v in zip(VALUES.values(), values, strict=True)] == [
            look.shape, look.colour, look.texture, look.size,
        ]  # fmt: skip


def test_descriptions_fit_what_has_their_words_and_never_say_what_is_held_out():
    looks = {
        "1": Look("star", "red", "plain", "big"),
        "2": Look("star", "blue", "striped", "big"),
        "3": Look("circle", "red", "plain", "small"),
    }
    found = descriptions(looks, Stream(0), 400)
    texts = {p.text: p.fits for p in found}
    assert len(texts) > 40
    assert not any(colour in text and shape in text for text in texts for colour, shape in HELD_OUT)
    for text, fits in texts.items():
        words = {*text.split()} - {"the", "object", "shape", "thing"}
        assert fits == {
            i for i, look in looks.items() if words <= {look.shape, look.colour, look.texture, look.size}
        }
        assert fits


class Fixed:
    """A detector that always says the same box."""

    def __init__(self, box):
        self.box = np.array(box, np.float32)

    def find(self, image, texts):
        return [Detection(self.box, 1.0) for _ in texts]


def test_top1_counts_visible_objects_only_and_by_kind():
    image = np.zeros((40, 40, 3), np.uint8)
    wide, small, none = (np.zeros((40, 40), bool) for _ in range(3))
    wide[10:20, 10:30], small[0:3, 0:3] = True, True
    said = [train.Said("a", "place", m) for m in (wide, small, none)]
    asked = [(image, said), (image, [train.Said("b", "motion", wide)]), (image, [])]
    assert train.top1(Fixed([10, 10, 30, 20]), asked) == {
        "top1": 100, "top1_motion": 100, "top1_place": 100, "sentences": 2,
    }  # fmt: skip
    # Half of the box is not more than half; one column more is.
    assert train.top1(Fixed([10, 10, 20, 20]), asked)["top1"] == 0
    assert train.top1(Fixed([10, 10, 21, 20]), asked)["top1"] == 100


def test_true_boxes_by_the_dataset_are_all_right():
    class Oracle:
        def __init__(self, frames):
            self.masks = iter([s.mask for _, said in frames for s in said if s.mask.sum() >= 40])

        def find(self, image, texts):
            return [self.found(next(self.masks)) for _ in texts]

        def found(self, mask):
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            return Detection(np.array(box, np.float32), 1.0)

    frames = list(train.dev_frames(4))
    assert train.top1(Oracle(frames), frames)["top1"] == 100


def test_a_sentence_is_answered_alike_alone_and_among_others():
    torch.manual_seed(0)
    detector = as_detector(build_tiny())
    image = np.random.default_rng(0).integers(0, 255, (112, 128, 3), np.uint8)
    texts = ["the red circle", "the small ring that starts on the left", "the star"]
    together = detector.find(image, texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = detector.find(image, [text])
        np.testing.assert_allclose(alone.box, found.box, atol=1e-2)
        assert alone.score == pytest.approx(found.score, abs=1e-4)
    assert tiny_tokenizer().model_max_length == 256
