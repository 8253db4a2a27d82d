"""The tiny detector: its tokenizer, its weights, and how often it is right on RefShapes' val."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from refseg.bench.errors import InputError
from refseg.bench.registry import build_dataset
from refseg.bench.types import DatasetRequest
from refseg.datasets.refshapes.grammar import vocabulary
from refseg.methods.grounding_dino.detector import DELIMITERS
from refseg.methods.grounding_dino.tiny import (
    GDINO_TINY,
    SIDES,
    STRIDES,
    as_detector,
    build_tiny,
    initialise,
    tiny_detector,
    tiny_tokenizer,
)
from refseg.methods.grounding_dino.train import first_frames, top1


@pytest.fixture(scope="module")
def detector():
    return as_detector(build_tiny())


@pytest.fixture(scope="module")
def shipped():
    return tiny_detector()


@pytest.fixture(scope="module")
def val():
    return build_dataset(DatasetRequest("refshapes", "val"))


def test_tokenizer_knows_every_word_of_refshapes_and_the_tokens_that_the_network_s_code_numbers():
    tokenizer = tiny_tokenizer()
    assert tokenizer.convert_tokens_to_ids(list(DELIMITERS)) == list(DELIMITERS.values())
    ids = tokenizer(" ".join(vocabulary()), add_special_tokens=False)["input_ids"]
    assert len({*ids}) == len(vocabulary()) and tokenizer.unk_token_id not in ids
    assert tokenizer("The red circle.")["input_ids"] == tokenizer("the RED circle .")["input_ids"]
    assert tokenizer("zebra", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id]
    assert max(ids) < DELIMITERS["."]


def test_shipped_weights_are_small_and_have_the_network_s_names(shipped):
    stored = load_file(GDINO_TINY)
    own = shipped.model.state_dict()
    assert stored.keys() == own.keys() and GDINO_TINY.stat().st_size <= 8e6
    assert {t.dtype for t in stored.values()} == {torch.float16}
    assert all(torch.equal(own[name], tensor.float()) for name, tensor in stored.items())
    assert type(shipped.model).__name__ == "GroundingDinoForObjectDetection"


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    state = {name: tensor.half() for name, tensor in build_tiny().state_dict().items()}
    save_file({**state, "stray": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="1 are not the model's, first stray"):
        tiny_detector(path)
    with pytest.raises(InputError, match="do not exist"):
        tiny_detector(tmp_path / "nowhere.safetensors")


def test_levels_of_the_network_are_those_that_the_first_stage_is_trained_on(detector):
    height, width = 112, 128
    features, _ = detector.model.model.backbone(
        torch.zeros(1, 5, height, width), torch.ones(1, height, width)
    )
    assert [tuple(f.shape[-2:]) for f, _ in features] == [(-(-height // s), -(-width // s)) for s in STRIDES]


def test_queries_begin_as_the_cells_that_score_best(detector):
    """transformers' other way, learnt embeddings, knows nothing of what was found."""
    given = {}
    decoder = detector.model.model.decoder
    hook = decoder.register_forward_pre_hook(lambda m, a, kwargs: given.update(kwargs), with_kwargs=True)
    tokens = tiny_tokenizer()(["the red circle."], return_tensors="pt", return_token_type_ids=True)
    with torch.no_grad():
        out = detector.model(pixel_values=torch.randn(1, 5, 112, 128), **tokens)
    hook.remove()
    scores = out.enc_outputs_class[0].amax(1).topk(20).values
    again = (given["inputs_embeds"][0] @ given["text_encoder_hidden_states"][0].T).amax(1)
    torch.testing.assert_close(again, scores)


def test_frames_of_refshapes_are_seen_as_they_are(val, detector):
    assert val.videos()[0].size[0] == SIDES[0] and val.videos()[0].size[1] <= SIDES[1]
    assert detector.sides == SIDES


def test_first_weights_keep_normalised_features_and_rare_positives():
    torch.manual_seed(0)
    model = build_tiny()
    images = torch.randn(4, 5, 112, 128)
    initialise(model, images)
    model.eval()
    with torch.no_grad():
        features = model.model.backbone.conv_encoder.model(images).feature_maps
    assert all(0.2 < float(f.std()) < 5 for f in features)
    tokens = tiny_tokenizer()(["the red circle ."] * 4, return_tensors="pt", return_token_type_ids=True)
    with torch.no_grad():
        out = model(pixel_values=images, **tokens)
    logits = out.enc_outputs_class[..., : tokens["input_ids"].shape[1]]
    assert -6 < float(logits.mean()) < -2


def test_shipped_detector_is_right_about_most_first_frames(shipped, val):
    """On all of val; a detector that picks any visible object would be right about a third."""
    found = top1(shipped, first_frames(val))
    print({name: round(value, 1) for name, value in found.items()})
    assert found["sentences"] > 150
    assert found["top1"] >= 70
