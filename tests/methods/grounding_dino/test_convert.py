"""Official checkpoints in transformers' class, and their outputs against the official ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from refseg.methods.grounding_dino.convert import configuration, convert, official_size
from refseg.methods.grounding_dino.detector import DetectorOptions, GroundingDino
from refseg.methods.grounding_dino.preprocess import MEAN, STD


@pytest.mark.parametrize("size", ["swint", "swinb"])
def test_every_official_name_finds_its_place(official_state, size):
    """On one element stretched to every shape: what is compared is names and shapes."""
    from transformers import GroundingDinoForObjectDetection

    state = official_state(size, fill=lambda name, shape: torch.zeros(1, dtype=torch.bfloat16).expand(shape))
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()} | {
        "module.label_enc.weight": torch.zeros(1),
        "module.bert.embeddings.position_ids": torch.zeros(1),
    }
    converted = convert(wrapped)
    with torch.device("meta"):
        model = GroundingDinoForObjectDetection(configuration(official_size(converted, Path(size))))
    own = model.state_dict()
    # In memory transformers 5 gives Swin other names than on disk; shapes are the same multiset.
    count = sum(
        t.numel() for n, t in own.items() if ".swin.layernorm." not in n and "position_index" not in n
    )
    assert sum(t.numel() for t in converted.values()) == count
    outside = {n: t.shape for n, t in own.items() if ".conv_encoder." not in n and "position_ids" not in n}
    assert {n: t.shape for n, t in converted.items() if ".conv_encoder." not in n} == outside


def test_query_key_and_value_are_thirds_in_this_order():
    weight, bias = torch.arange(12.0).reshape(6, 2), torch.arange(6.0)
    converted = convert(
        {
            "backbone.0.layers.1.blocks.0.attn.qkv.weight": weight,
            "transformer.decoder.layers.3.ca_text.in_proj_bias": bias,
            "transformer.decoder.layers.3.self_attn.in_proj_weight": weight,
        }
    )
    swin = "model.backbone.conv_encoder.model.encoder.layers.1.blocks.0.attention.self."
    assert converted[f"{swin}key.weight"].tolist() == [[4, 5], [6, 7]]
    assert converted["model.decoder.layers.3.encoder_attn_text.value.bias"].tolist() == [4, 5]
    assert converted["model.decoder.layers.3.self_attn.query.weight"].tolist() == [[0, 1], [2, 3]]
    assert len(converted) == 9


def swint(official_state, queries):
    """The official SwinT as transformers loads it; nothing is missing and nothing too much."""
    from transformers import GroundingDinoForObjectDetection

    state = convert(official_state("swint", queries))
    model, told = GroundingDinoForObjectDetection.from_pretrained(
        None, config=configuration("swint", queries), state_dict=state, output_loading_info=True
    )
    assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
    return model


def pixels_of(image):
    """The official inputs were not resized."""
    values = (image.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def mismatched(expected, run, boxes, logits):
    """How many queries are off by more than 1e-3 in the box or by more than 1e-2 in a logit."""
    far = np.abs(boxes.numpy() - expected[f"{run}_pred_boxes"][0]).max(1) > 1e-3
    official = expected[f"{run}_pred_logits"][0]
    return int((far | (np.abs(logits[:, : official.shape[1]].numpy() - official).max(1) > 1e-2)).sum())


@pytest.mark.big
def test_no_query_of_100_differs_alone_or_in_a_batch(official_state, golden, tokenizer_of, official_words):
    expected, model = golden("swint_q100_case"), swint(official_state, 100)
    captions = [str(c) for c in expected["captions"]]
    for rule in ("official", "transformers"):
        found = GroundingDino(model, tokenizer_of(*official_words), DetectorOptions(inverse_sigmoid=rule))
        pixels = pixels_of(expected["image"])
        both = found.predict(pixels, captions)
        for i, (run, text) in enumerate(zip("ab", captions, strict=True)):
            alone = found.predict(pixels, [text])
            assert alone.input_ids.tolist() == expected[f"{run}_input_ids"].tolist()
            assert mismatched(expected, run, alone.boxes[0], alone.logits[0]) == 0
            assert mismatched(expected, run, both.boxes[i], both.logits[i]) == 0


@pytest.mark.big
def test_no_query_of_900_differs_by_the_official_rule(
    official_state, golden, tokenizer_of, official_words, monkeypatch
):
    """With the official order of proposals; some near ties fall otherwise. By transformers' rule queries differ."""
    expected, model = golden("swint_case"), swint(official_state, 900)
    counts = {}
    for rule in ("official", "transformers"):
        found = GroundingDino(model, tokenizer_of(*official_words), DetectorOptions(inverse_sigmoid=rule))
        for run, text in zip("ab", expected["captions"], strict=True):
            order = torch.from_numpy(expected[f"{run}_topk_index"])
            monkeypatch.setattr(torch, "topk", lambda values, k, dim, order=order: (None, order))
            out = found.predict(pixels_of(expected["image"]), [str(text)])
            counts[rule, run] = mismatched(expected, run, out.boxes[0], out.logits[0])
    assert counts["official", "a"] == counts["official", "b"] == 0
    assert counts["transformers", "a"] > 100 and counts["transformers", "b"] > 50
