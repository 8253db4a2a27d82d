"""Operations of SAM's image encoder by formula."""

from __future__ import annotations

from refseg.methods.sam.build import SamConfig


def encoder_flops(config: SamConfig) -> int:
    """Return the operations of segment_anything's own forward of one image; a multiply-add is two.

    Matrix products and convolutions: patches, per block queries, keys, values, relative positions, attention,
    projection and MLP, and the neck. Windows are padded there before all but the MLP.
    """
    cells, width = config.grid**2, config.embed_dim
    padded_side = -(-config.grid // config.window_size) * config.window_size
    total = cells * width * 3 * config.patch_size**2
    for block in range(config.depth):
        everywhere = block in config.global_attn_indexes
        queries = cells if everywhere else padded_side**2
        side = config.grid if everywhere else config.window_size
        total += queries * (4 * width**2 + 2 * width * side + 2 * width * side**2) + cells * 8 * width**2
    total += cells * config.prompt_dim * (width + 9 * config.prompt_dim)
    return 2 * total
