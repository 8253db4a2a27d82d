"""A Grounding DINO in small numbers: transformers' own class, trained on RefShapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from refseg.methods.grounding_dino.detector import DELIMITERS, DetectorOptions, GroundingDino
from refseg.methods.grounding_dino.preprocess import caption
from refseg.methods.refsam.text import tiny_vocabulary
from refseg.methods.sam.weights import load_into, load_tensors

GDINO_TINY = Path(__file__).parent / "assets" / "grounding_dino_tiny.safetensors"
"""Where its weights lie; ``bench train --recipe grounding_dino_refshapes`` makes them."""

STRIDES = (8, 16)
"""Pixels between two cells of each feature level."""

SIDES = (112, 224)
"""An image's shorter side becomes the first, its longer one at most the second; RefShapes' frames stay as they are."""

_PAD, _UNKNOWN, _FIRST_WORD = 0, 100, 103


def tiny_configuration() -> Any:
    """Return transformers' configuration: two levels of a ResNet, a BERT of two layers, an encoder of three."""
    from transformers import BertConfig, GroundingDinoConfig, ResNetConfig

    backbone = ResNetConfig(
        num_channels=5,
        embedding_size=48,
        hidden_sizes=[48, 96, 128],
        depths=[1, 2, 2],
        layer_type="basic",
        out_features=["stage2", "stage3"],  # type: ignore[call-arg]
    )
    text = BertConfig(
        vocab_size=max(DELIMITERS.values()) + 1,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        num_queries=20,
        embedding_init_target=False,
        d_model=128,
        encoder_layers=3,
        encoder_ffn_dim=256,
        encoder_attention_heads=4,
        encoder_n_points=2,
        decoder_layers=2,
        decoder_ffn_dim=256,
        decoder_attention_heads=4,
        num_feature_levels=len(STRIDES),
        dropout=0.0,
        fusion_droppath=0.0,
        auxiliary_loss=True,
        disable_custom_kernels=True,
    )


@cache
def tiny_tokenizer() -> Any:
    """Return a tokenizer with one token a word and BERT's numbers for the tokens that the network's code names."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: _FIRST_WORD + i for i, word in enumerate(tiny_vocabulary())}
    tokenizer = Tokenizer(
        models.WordLevel({"[PAD]": _PAD, "[UNK]": _UNKNOWN, **DELIMITERS, **words}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(k, DELIMITERS[k]) for k in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=256,
    )


def build_tiny() -> Any:
    """Build the network with transformers' random weights."""
    from transformers import GroundingDinoForObjectDetection

    model = GroundingDinoForObjectDetection(tiny_configuration())
    # Queries begin as the cells that were found; for this transformers 5.23 reads two attributes that it never set.
    model.model.query_position_embeddings = SimpleNamespace(weight=None)
    model.model.d_model = model.config.d_model
    model.model.unfreeze_backbone()
    return model


def tiny_detector(path: Path | None = None, options: DetectorOptions | None = None) -> GroundingDino:
    """Return the tiny detector with its weights, in float32 on the CPU.

    Args:
        path: Weights that the recipe wrote; None: :data:`GDINO_TINY`.
        options: See :class:`DetectorOptions`.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    path = path or GDINO_TINY
    model = build_tiny()
    load_into(model, load_tensors(path), path)
    return as_detector(model, options)


def as_detector(model: Any, options: DetectorOptions | None = None) -> GroundingDino:
    """Return a network from :func:`build_tiny` as a detector; it is frozen and in evaluation mode then."""
    return GroundingDino(model, tiny_tokenizer(), options, SIDES, places=True)


@torch.no_grad()
def initialise(model: Any, images: Tensor) -> None:
    """Change transformers' random weights to ones that a short training gets somewhere from.

    The fusion of image and text, which starts at 1e-4 there, counts from the first step, and projects both alike, as
    they are made alike (:func:`refseg.methods.grounding_dino.losses.naming_loss`); logits, which are plain
    products of normalised features, start near -4 and close together, as few tokens fit a box; the backbone's frozen
    normalisation takes the mean and variance of a first batch.

    Args:
        model: From :func:`build_tiny`.
        images: (B, 5, H, W) preprocessed, with places.
    """
    config = model.config
    for layer in model.model.encoder.layers:
        layer.fusion_layer.vision_param.fill_(0.5)
        layer.fusion_layer.text_param.fill_(0.5)
        layer.fusion_layer.attn.text_proj.weight.copy_(layer.fusion_layer.attn.vision_proj.weight)
    said = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    said.weight.fill_(0.12)
    said.bias.fill_(0.3)
    for seen in (model.model.enc_output_norm, model.model.decoder.layer_norm):
        seen.bias.fill_(-4.0 / (0.3 * config.d_model))
    backbone = model.model.backbone.conv_encoder.model

    def measure(module: nn.Module, args: tuple[Tensor]) -> None:
        module.get_buffer("running_mean").copy_(args[0].mean((0, 2, 3)))
        module.get_buffer("running_var").copy_(args[0].var((0, 2, 3)))

    frozen = [m for m in backbone.modules() if type(m).__name__ == "GroundingDinoFrozenBatchNorm2d"]
    hooks = [m.register_forward_pre_hook(measure) for m in frozen]
    backbone(images)
    for hook in hooks:
        hook.remove()


def image_features(model: Any, images: Tensor) -> Tensor:
    """Return (B, S, C) features of all levels' cells, as they enter the encoder, of (B, 5, H, W) images."""
    levels, _ = model.model.backbone(images, torch.ones(len(images), *images.shape[-2:]))
    projected = [
        project(feature) for project, (feature, _) in zip(model.model.input_proj_vision, levels, strict=True)
    ]
    return torch.cat([p.flatten(2).transpose(1, 2) for p in projected], 1)


def word_features(model: Any, words: Sequence[str]) -> Tensor:
    """Return (N, C) text features, as they enter the encoder, of N words of one token, each a text of its own."""
    from transformers.models.grounding_dino.modeling_grounding_dino import (
        generate_masks_with_special_tokens_and_transfer_map,
    )

    tokens = tiny_tokenizer()([caption(w) for w in words], return_token_type_ids=True, return_tensors="pt")
    ids, kinds = tokens["input_ids"], tokens["token_type_ids"]
    seen, places = generate_masks_with_special_tokens_and_transfer_map(ids, model.model.special_tokens)
    text = model.model.text_backbone(ids, seen[:, None], kinds, places)
    # The word stands between the start and the full stop.
    features: Tensor = model.model.text_projection(text.last_hidden_state)[:, 1]
    return features
