import pytest
import torch

from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.compat import importable

TOTALS = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}


@pytest.mark.parametrize("name", TOTALS)
def test_tensors_and_totals_are_the_official_ones(name):
    with importable():
        from segment_anything.build_sam import sam_model_registry
    with torch.device("meta"):
        ours, official = build_sam(SAM_CONFIGS[name]), sam_model_registry[name]()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in official.state_dict().items()
    }
    assert sum(p.numel() for p in ours.parameters()) == TOTALS[name]
    assert ours.image_encoder.blocks[0].attn.num_heads == official.image_encoder.blocks[0].attn.num_heads
    windows = [[b.window_size for b in sam.image_encoder.blocks] for sam in (ours, official)]
    assert windows[0] == windows[1]


def test_tiny_runs_at_its_stated_sizes():
    config = SAM_CONFIGS["tiny"]
    sam = build_sam(config)
    with torch.no_grad():
        embedding = sam.image_encoder(torch.zeros(1, 3, config.image_size, config.image_size))
        sparse, dense = sam.prompt_encoder(points=None, boxes=torch.tensor([[8.0, 8, 40, 40]]), masks=None)
        masks, iou = sam.mask_decoder(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense, True)
    assert embedding.shape == (1, config.prompt_dim, config.grid, config.grid)
    assert masks.shape == (1, 3, config.mask_size, config.mask_size)
    assert iou.shape == (1, 3)
