import copy

import torch
from torch import nn

from refseg.methods.refsam.encoder import Adapter, encode, tapped_blocks
from refseg.methods.sam.build import SAM_CONFIGS


class AfterAttention(nn.Module):
    def __init__(self, attention, adapter):
        super().__init__()
        self.attention, self.adapter = attention, adapter

    def forward(self, x):
        x = self.attention(x)
        return x + self.adapter(x)


class BesideMlp(nn.Module):
    def __init__(self, mlp, adapter):
        super().__init__()
        self.mlp, self.adapter = mlp, adapter

    def forward(self, x):
        return self.mlp(x) + self.adapter(x) / 2


def test_new_adapters_leave_sam_as_it_is(build, images):
    model = build(text=False)
    for adapter in model.adapters.modules():
        if isinstance(adapter, Adapter):
            nn.init.zeros_(adapter.up.weight)
            nn.init.zeros_(adapter.up.bias)
    with torch.no_grad():
        assert torch.equal(model.encode_frames(images).embedding, model.sam.image_encoder(images))


def test_adapter_starts_at_zero_in_the_later_half_only(build):
    adapter = Adapter(8, ratio=4, activation="relu")
    assert adapter.down.out_features == 2
    assert not adapter(torch.randn(3, 8)).any()
    assert list(build(text=False).adapters) == ["4", "5", "6", "7"]
    assert not build(text=False, use_adapter=False).adapters


def test_adapters_act_where_the_paper_puts_them(build, images):
    model = build(text=False)
    oracle = copy.deepcopy(model.sam.image_encoder)
    for index, pair in model.adapters.items():
        block = oracle.blocks[int(index)]
        block.attn = AfterAttention(block.attn, pair.attention)
        block.mlp = BesideMlp(block.mlp, pair.mlp)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_frames(images).embedding, oracle(images))
        plain = model.sam.image_encoder(images)
    assert not torch.allclose(model.encode_frames(images).embedding, plain, atol=1e-2)


def test_intermediate_maps_are_the_global_blocks_but_the_last(build, images):
    model = build(text=False, use_adapter=False)
    seen = {}
    for i, block in enumerate(model.sam.image_encoder.blocks):
        block.register_forward_hook(lambda m, x, y, i=i: seen.__setitem__(i, y))
    maps = model.encode_frames(images).intermediates
    assert len(maps) == 3
    for i, got in zip((1, 3, 5), maps, strict=True):
        assert torch.equal(got, seen[i].permute(0, 3, 1, 2))
    official = {n: tapped_blocks(SAM_CONFIGS[n].global_attn_indexes) for n in ("vit_b", "vit_l", "vit_h")}
    assert official == {"vit_b": (2, 5, 8), "vit_l": (5, 11, 17), "vit_h": (7, 15, 23)}


def test_no_graph_before_the_first_adapter(build, images):
    model = build(text=False)
    raw = model.encode_frames(images)
    assert [m.requires_grad for m in raw.intermediates] == [False, False, True]
    frozen = encode(model.sam.image_encoder, nn.ModuleDict(), (1, 3, 5), images)
    assert not frozen[0].requires_grad
