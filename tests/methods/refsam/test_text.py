import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.refsam.config import TEXT_WIDTHS
from refseg.methods.refsam.text import (
    SOURCES,
    TINY_FAMILIES,
    build_text_encoder,
    build_tiny_text,
    build_word_tokenizer,
    empty_text_encoder,
    tiny_vocabulary,
)

WORDS = ["the", "red", "Circle", "moving", "left", ","]


def test_word_tokenizer_lowers_splits_and_ends():
    tokenizer = build_word_tokenizer(WORDS)
    ids = tokenizer("The red CIRCLE, flying").input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["the", "red", "circle", ",", "<unk>", "</s>"]
    assert tokenizer.convert_tokens_to_ids(["<pad>", "</s>", "<unk>", "the"]) == [0, 1, 2, 3]
    assert tokenizer("").input_ids == [1]


def test_shipped_vocabulary_has_each_word_once():
    words = tiny_vocabulary()
    assert len(words) == len(set(words)) > 50


@torch.no_grad()
def test_padding_changes_nothing_with_the_attention_mask():
    text = build_tiny_text(WORDS).eval()
    both = text(["the circle", "the red circle moving left"])
    alone = text(["the circle"])
    assert both.mask.sum(1).tolist() == [3, 6]
    torch.testing.assert_close(both.hidden[:1, :3], alone.hidden)
    torch.testing.assert_close(both.sentence[0], alone.hidden[0].mean(0))


@torch.no_grad()
def test_without_the_attention_mask_padding_counts_as_words():
    text = build_tiny_text(WORDS, attention_mask=False).eval()
    both = text(["the circle", "the red circle moving left"])
    assert both.mask.all()
    torch.testing.assert_close(both.sentence, both.hidden.mean(1))
    assert not torch.allclose(both.hidden[0, :3], text(["the circle"]).hidden[0], atol=1e-3)


def test_rows_repeat_sentences():
    raw = build_tiny_text(WORDS)(["the circle", "red"])
    rows = raw.rows(torch.tensor([1, 0, 1]))
    assert torch.equal(rows.hidden[0], raw.hidden[1]) and torch.equal(rows.mask[2], raw.mask[1])


@pytest.mark.parametrize("name", ["t5-small", "roberta-base", "clip-large"])
def test_pretrained_encoders_load_from_a_folder(tmp_path, name):
    import transformers as hf

    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 16}
    tokenizer = build_word_tokenizer(WORDS)
    special = {"vocab_size": 12, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    configs = {
        "t5-small": lambda: hf.T5Config(
            vocab_size=12, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
        ),
        "roberta-base": lambda: hf.RobertaConfig(**small, **special),
        "clip-large": lambda: hf.CLIPTextConfig(**small, **special),
    }
    getattr(hf, SOURCES[name][1])(configs[name]()).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = build_text_encoder(name, path=str(tmp_path)).eval()
    with torch.no_grad():
        both, alone = text(["the red circle", "left"]), text(["left"])
    assert text.width == 16
    torch.testing.assert_close(both.hidden[1:, :2], alone.hidden, atol=1e-5, rtol=1e-4)


def test_what_cannot_be_had_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="t5-3b"):
        build_text_encoder("t5-3B")
    with pytest.raises(InputError, match="cannot be loaded"):
        build_text_encoder("t5-small", path=str(tmp_path))


def test_every_encoder_has_a_width():
    assert set(TEXT_WIDTHS) == {*TINY_FAMILIES, *SOURCES}


@pytest.mark.parametrize("name", TINY_FAMILIES)
def test_stand_ins_of_every_family_feel_no_padding(name):
    text = build_text_encoder(name, words=WORDS).eval()
    with torch.no_grad():
        both, alone = text(["the circle", "the red circle moving left"]), text(["the circle"])
    assert text.width == TEXT_WIDTHS[name] and type(text.encoder).__name__.lower().startswith(
        TINY_FAMILIES[name]
    )
    torch.testing.assert_close(both.hidden[:1, :3], alone.hidden, atol=1e-5, rtol=1e-4)


def t5(width, head, hidden, layers, heads):
    """Parameters of a T5 encoder: words, layers of four projections, two matrices and two norms, position buckets."""
    layer = 4 * width * head * heads + 2 * width * hidden + 2 * width
    return 32128 * width + layers * layer + 32 * heads + width


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("t5-small", t5(512, 64, 2048, 6, 8)),
        ("t5-3b", 1_240_909_824),
        ("roberta-base", 124_645_632 - 768 * 769),
        ("clip-large", 123_060_480),
    ],
)
def test_empty_text_encoders_are_as_large_as_published(name, count):
    encoder = empty_text_encoder(name)
    assert sum(p.numel() for p in encoder.parameters()) == count
    assert encoder.width == TEXT_WIDTHS[name]
    assert all(p.is_meta for p in encoder.parameters())
