"""Text encoders (paper III-C2) and the tiny model's word tokenizer.

transformers is imported inside the functions: it takes seconds, and most commands need none of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from refseg.bench.errors import InputError, unknown_name

SPECIAL_TOKENS = ("<pad>", "</s>", "<unk>")
"""Special tokens of the word tokenizer, at ids 0, 1, 2."""
TINY_VOCABULARY = Path(__file__).parent / "tiny_vocabulary.json"


def _t5(width: int, head: int, hidden: int, layers: int, heads: int) -> dict[str, int]:
    sizes = {"d_model": width, "d_kv": head, "d_ff": hidden, "num_layers": layers, "num_heads": heads}
    return {"vocab_size": 32128, **sizes}


def _roberta(width: int, layers: int, heads: int) -> dict[str, int]:
    sizes = {"hidden_size": width, "intermediate_size": 4 * width}
    depth = {"num_hidden_layers": layers, "num_attention_heads": heads}
    return {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, **sizes, **depth}


SOURCES = {
    "t5-small": ("google-t5/t5-small", "T5EncoderModel"),
    "t5-base": ("google-t5/t5-base", "T5EncoderModel"),
    "t5-large": ("google-t5/t5-large", "T5EncoderModel"),
    "t5-3b": ("google-t5/t5-3b", "T5EncoderModel"),
    "roberta-base": ("FacebookAI/roberta-base", "RobertaModel"),
    "roberta-large": ("FacebookAI/roberta-large", "RobertaModel"),
    "clip-large": ("openai/clip-vit-large-patch14", "CLIPTextModel"),
}
"""Hub id and transformers class of each text encoder."""

Family = Literal["t5", "roberta", "clip"]

TINY_FAMILIES: Mapping[str, Family] = {"tiny": "t5", "tiny-roberta": "roberta", "tiny-clip": "clip"}
"""Small text encoders over the word tokenizer, with random weights: stand-ins of the families of Table V."""


SHAPES: dict[str, tuple[str, dict[str, int]]] = {
    "t5-small": ("T5Config", _t5(512, 64, 2048, 6, 8)),
    "t5-base": ("T5Config", _t5(768, 64, 3072, 12, 12)),
    "t5-large": ("T5Config", _t5(1024, 64, 4096, 24, 16)),
    "t5-3b": ("T5Config", _t5(1024, 128, 16384, 24, 32)),
    "roberta-base": ("RobertaConfig", _roberta(768, 12, 12)),
    "roberta-large": ("RobertaConfig", _roberta(1024, 24, 16)),
    "clip-large": (
        "CLIPTextConfig",
        {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    ),
}
"""transformers' configuration of each, as published beside its weights; what is left out is the class's default."""


@dataclass(frozen=True)
class TextOutput:
    """What the text encoder says about K sentences.

    Attributes:
        hidden: (K, L, C_e) last hidden state.
        mask: (K, L) bool, True at tokens that count, the end token among them.
    """

    hidden: Tensor
    mask: Tensor

    @property
    def sentence(self) -> Tensor:
        """(K, C_e) mean over the tokens that count, the end token that the tokenizer adds among them."""
        weight = self.mask[:, :, None].to(self.hidden.dtype)
        return (self.hidden * weight).sum(1) / weight.sum(1)

    def rows(self, index: Tensor) -> TextOutput:
        """Return the sentences at ``index``, in that order and as often as they are named."""
        return TextOutput(self.hidden[index], self.mask[index])


class TextEncoder(nn.Module):
    """A transformers text encoder with its tokenizer."""

    encoder: Any

    def __init__(self, encoder: nn.Module, tokenizer: Any, *, use_attention_mask: bool = True) -> None:
        """Create it.

        Args:
            encoder: Module whose output has ``last_hidden_state``.
            tokenizer: Its transformers tokenizer.
            use_attention_mask: Off, padding up to the longest sentence of a call counts as words, as in the
                released code; the result then depends on which sentences are encoded together.
        """
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.use_attention_mask = use_attention_mask

    @property
    def width(self) -> int:
        """Width C_e of its last hidden state."""
        return int(self.encoder.config.hidden_size)

    def forward(self, texts: Sequence[str]) -> TextOutput:
        """Encode K sentences; padded to the longest, cut at the encoder's limit where it has one."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        device = next(self.encoder.parameters()).device
        ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
        if not self.use_attention_mask:
            mask = torch.ones_like(mask)
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return TextOutput(hidden, mask.bool())


def build_text_encoder(
    name: str,
    *,
    path: str | None = None,
    words: Sequence[str] | None = None,
    use_attention_mask: bool = True,
) -> TextEncoder:
    """Build a text encoder.

    Args:
        name: A key of :data:`TINY_FAMILIES` (random weights) or of :data:`SOURCES` (pre-trained).
        path: Local folder with weights and tokenizer; None: the hub, or its cache.
        words: The tiny tokenizer's vocabulary; None: the one that is shipped.
        use_attention_mask: See :class:`TextEncoder`.

    Raises:
        InputError: The name is unknown, or the weights cannot be had.
    """
    if name in TINY_FAMILIES:
        return build_tiny_text(words, attention_mask=use_attention_mask, family=TINY_FAMILIES[name])
    if name not in SOURCES:
        raise unknown_name("text encoder", name, [*TINY_FAMILIES, *SOURCES])
    import transformers

    source, class_name = SOURCES[name]
    source = path or source
    options = {"add_pooling_layer": False} if class_name == "RobertaModel" else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
        encoder = getattr(transformers, class_name).from_pretrained(source, **options)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"The text encoder {name} cannot be loaded from {source} ({reason}); give a local folder with "
            f"its weights and tokenizer, or connect to the hub once."
        ) from None
    return TextEncoder(encoder, tokenizer, use_attention_mask=use_attention_mask)


def text_source(name: str) -> str:
    """Return where a pre-trained text encoder comes from, as the end of a sentence; empty for the tiny ones."""
    if name not in SOURCES:
        return ""
    return (
        f"; the text encoder comes from https://huggingface.co/{SOURCES[name][0]} (a copy: "
        "--set text_checkpoint=FOLDER)"
    )


def empty_text_encoder(name: str) -> TextEncoder:
    """Build a text encoder without weights and tokenizer, on the device ``meta``, to count its parameters.

    Raises:
        InputError: The name is unknown.
    """
    if name in TINY_FAMILIES:
        return build_tiny_text(family=TINY_FAMILIES[name])
    if name not in SHAPES:
        raise unknown_name("text encoder", name, [*TINY_FAMILIES, *SOURCES])
    import transformers

    kind, numbers = SHAPES[name]
    class_name = SOURCES[name][1]
    options = {"add_pooling_layer": False} if class_name == "RobertaModel" else {}
    with torch.device("meta"):
        encoder = getattr(transformers, class_name)(getattr(transformers, kind)(**numbers), **options)
    return TextEncoder(encoder, None)


def build_tiny_text(
    words: Sequence[str] | None = None, *, attention_mask: bool = True, family: Family = "t5"
) -> TextEncoder:
    """Build a small text encoder with random weights over a vocabulary; None: the words that are shipped."""
    tokenizer = build_word_tokenizer(tiny_vocabulary() if words is None else words)
    build = {"t5": _tiny_t5, "roberta": _tiny_roberta, "clip": _tiny_clip}[family]
    return TextEncoder(build(tokenizer), tokenizer, use_attention_mask=attention_mask)


def _tiny_t5(tokenizer: Any) -> nn.Module:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_kv=32,
        d_ff=256,
        num_layers=3,
        num_heads=4,
        feed_forward_proj="relu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return T5EncoderModel(config)


def _tiny_roberta(tokenizer: Any) -> nn.Module:
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=tokenizer.model_max_length + 2,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return RobertaModel(config, add_pooling_layer=False)


def _tiny_clip(tokenizer: Any) -> nn.Module:
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        attention_dropout=0.0,
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModel(config)


def tiny_vocabulary() -> list[str]:
    """Return the tiny text encoder's words as shipped; their order is part of its weights."""
    return [str(w) for w in json.loads(TINY_VOCABULARY.read_text(encoding="utf-8"))]


def build_word_tokenizer(words: Sequence[str]) -> Any:
    """Build a transformers tokenizer with one token a word: lower-cased, split at spaces and punctuation.

    Args:
        words: The vocabulary; ids follow the order, after :data:`SPECIAL_TOKENS`. A sentence ends with
            ``</s>``.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, end, unknown = SPECIAL_TOKENS
    vocabulary = dict.fromkeys([*SPECIAL_TOKENS, *(w.lower() for w in words)])
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, 1)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown, model_max_length=128
    )
