"""Builds SAM in every size from one table of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from refseg.bench.errors import unknown_name
from refseg.methods.sam.compat import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamConfig:
    """The numbers of a SAM.

    Attributes:
        image_size: Side of the square input in pixels.
        patch_size: Side of a patch in pixels; the embedding has (image_size / patch_size)² cells.
        embed_dim: Width of the image encoder.
        depth: Number of its blocks.
        num_heads: Heads of its attention.
        global_attn_indexes: Blocks with global attention; the others attend in windows.
        window_size: Side of a window in cells.
        prompt_dim: Width of image embedding, prompts and decoder.
        decoder_heads: Heads of the two-way transformer.
        decoder_mlp_dim: Hidden width of its MLPs.
        iou_hidden_dim: Hidden width of the IoU head.
    """

    image_size: int = 1024
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    window_size: int = 14
    prompt_dim: int = 256
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256

    @property
    def grid(self) -> int:
        """Side of the image embedding in cells."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution mask logits in pixels."""
        return 4 * self.grid


SAM_CONFIGS = {
    "vit_b": SamConfig(),
    "vit_l": SamConfig(embed_dim=1024, depth=24, num_heads=16, global_attn_indexes=(5, 11, 17, 23)),
    "vit_h": SamConfig(embed_dim=1280, depth=32, num_heads=16, global_attn_indexes=(7, 15, 23, 31)),
    "tiny": SamConfig(
        image_size=128,
        patch_size=8,
        embed_dim=128,
        depth=8,
        num_heads=4,
        global_attn_indexes=(1, 3, 5, 7),
        window_size=8,
        prompt_dim=128,
        decoder_heads=4,
        decoder_mlp_dim=256,
        iou_hidden_dim=128,
    ),
}
"""ViT-B, L and H as in segment_anything's ``build_sam.py``; ``tiny`` is ours."""

SAM_CONFIGS |= {
    "tiny-b": replace(SAM_CONFIGS["tiny"], embed_dim=64, depth=4, global_attn_indexes=(0, 1, 2, 3)),
    "tiny-l": replace(SAM_CONFIGS["tiny"], embed_dim=96, depth=6, global_attn_indexes=(0, 2, 4, 5)),
    "tiny-h": SAM_CONFIGS["tiny"],
}
"""Small stand-ins of ViT-B, L and H, for grids."""


def sam_config(name: str) -> SamConfig:
    """Return the numbers of a named SAM.

    Raises:
        InputError: The name is unknown.
    """
    if name not in SAM_CONFIGS:
        raise unknown_name("visual encoder", name, SAM_CONFIGS)
    return SAM_CONFIGS[name]


def build_image_encoder(config: SamConfig) -> ImageEncoderViT:
    """Build the image encoder."""
    return ImageEncoderViT(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=4,
        out_chans=config.prompt_dim,
        qkv_bias=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=config.window_size,
        global_attn_indexes=config.global_attn_indexes,
    )


def build_prompt_encoder(config: SamConfig) -> PromptEncoder:
    """Build the encoder of points, boxes and masks."""
    return PromptEncoder(
        embed_dim=config.prompt_dim,
        image_embedding_size=(config.grid, config.grid),
        input_image_size=(config.image_size, config.image_size),
        mask_in_chans=16,
    )


def build_mask_decoder(config: SamConfig) -> MaskDecoder:
    """Build the mask decoder."""
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2,
            embedding_dim=config.prompt_dim,
            num_heads=config.decoder_heads,
            mlp_dim=config.decoder_mlp_dim,
        ),
        transformer_dim=config.prompt_dim,
        iou_head_depth=3,
        iou_head_hidden_dim=config.iou_hidden_dim,
    )


def build_sam(config: SamConfig) -> Sam:
    """Build a SAM with random weights; its parameter names are those of the official checkpoints."""
    return Sam(
        image_encoder=build_image_encoder(config),
        prompt_encoder=build_prompt_encoder(config),
        mask_decoder=build_mask_decoder(config),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_STD),
    ).eval()
