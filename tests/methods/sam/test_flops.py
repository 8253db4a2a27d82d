from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from refseg.methods.sam.build import SAM_CONFIGS, build_image_encoder
from refseg.methods.sam.flops import encoder_flops


@pytest.mark.parametrize("window", [7, 8])
def test_formula_is_what_the_official_forward_does(window):
    config = replace(SAM_CONFIGS["tiny"], embed_dim=24, depth=3, num_heads=3, global_attn_indexes=(1,))
    config = replace(config, window_size=window)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        build_image_encoder(config)(torch.zeros(1, 3, 128, 128))
    assert counter.get_total_flops() == encoder_flops(config)
