"""A Grounding DINO in small numbers with random weights, and a vocabulary of few words at BERT's places."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).parents[4] / "shared/golden/grounding_dino"
WORDS = {
    "[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029, "a": 1037,
    "the": 1040, "red": 1041, "blue": 1042, "circle": 1043, "square": 1044, "left": 1045, "on": 1046,
}  # fmt: skip


@pytest.fixture(scope="session")
def tokenizer_of(tmp_path_factory):
    """``tokenizer_of(words, size)``: BERT's tokenizer over a vocabulary of words at given ids."""
    from transformers import BertTokenizerFast

    def make(words, size):
        lines = [f"[unused{i}]" for i in range(size)]
        for word, i in words.items():
            lines[i] = word
        folder = tmp_path_factory.mktemp("vocabulary")
        (folder / "vocab.txt").write_text("\n".join(lines))
        return BertTokenizerFast.from_pretrained(folder)

    return make


@pytest.fixture(scope="session")
def tokenizer(tokenizer_of):
    return tokenizer_of(WORDS, 1100)


@pytest.fixture(scope="session")
def tiny_config():
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    swin = SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    bert = BertConfig(
        vocab_size=1100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    return GroundingDinoConfig(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
    )


@pytest.fixture(scope="session")
def tiny_model(tiny_config):
    from transformers import GroundingDinoForObjectDetection

    torch.manual_seed(0)
    return GroundingDinoForObjectDetection(tiny_config).eval()


@pytest.fixture(scope="session")
def official_state(filled):
    """``official_state(size, queries)``: an official checkpoint whose weights depend on their names."""

    def make(size, queries=None, fill=filled):
        path = SHARED / f"groundingdino_{size}_state.json"
        if not path.exists():
            pytest.skip("the official names are not beside the repository")
        listed = json.loads(path.read_text())
        shared = {name: group["filled_as"] for group in listed["shared_storage"] for name in group["names"]}
        state = {}
        for name, shape, kind, _ in listed["entries"]:
            if name == "transformer.tgt_embed.weight" and queries:
                state[name] = fill(name, shape)[:queries]
            else:
                state[name] = fill(shared.get(name, name), shape) if kind == "float32" else torch.zeros(shape)
        return state

    return make


@pytest.fixture(scope="session")
def golden():
    """Read a file of the official outputs that lie beside the repository; the test is skipped without them."""

    def read(name):
        path = SHARED / f"{name}.npz"
        if not path.exists():
            pytest.skip("the official Grounding DINO's outputs are not beside the repository")
        with np.load(path) as file:
            return dict(file)

    return read


@pytest.fixture(scope="session")
def official_words():
    """The vocabulary of the official outputs: words by id, and its size."""
    path = SHARED / "vocab_words.json"
    if not path.exists():
        pytest.skip("the official Grounding DINO's outputs are not beside the repository")
    listed = json.loads(path.read_text())
    return listed["words"], listed["vocab_size"]
