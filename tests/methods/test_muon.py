"""Muon against torch's own, and what is stepped by it."""

import copy
import math

import pytest
import torch
from torch import nn

from refseg.methods.muon import LR_FACTOR, MuonAdamW, muon_groups, orthogonalized
from refseg.methods.sam.build import SAM_CONFIGS, build_sam


@pytest.mark.parametrize("shape", [(16, 16), (24, 64), (64, 24)])
def test_singular_values_become_about_one_and_the_rest_stays(shape):
    torch.manual_seed(0)
    gradient = 1e-3 * torch.randn(shape)
    u, _, vh = torch.linalg.svd(gradient, full_matrices=False)
    made = orthogonalized(gradient)
    inside = u.T @ made @ vh.T
    values = torch.diagonal(inside)
    assert values.min() > 0.3 and values.max() < 1.3
    torch.testing.assert_close(inside, torch.diag(values), atol=1e-4, rtol=0)
    assert not orthogonalized(torch.zeros(shape)).any()


@pytest.mark.parametrize("shape", [(24, 64), (64, 24)])
def test_steps_are_those_of_torch(shape):
    """torch rounds to bfloat16, which is good for two digits."""
    torch.manual_seed(1)
    ours = nn.Parameter(torch.randn(shape))
    theirs = copy.deepcopy(ours)
    group = {"params": [ours], "muon": True, "stacked": 1, "beside": 1, "lr": 0.01, "weight_decay": 0.1}
    mine = MuonAdamW([group])
    other = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        before = ours.detach().clone()
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        mine.step()
        other.step()
        assert (ours - theirs).norm() < 0.05 * (ours - before).norm()
        theirs.data.copy_(ours.data)


def test_stacked_matrices_are_stepped_one_by_one():
    torch.manual_seed(2)
    parts = [nn.Parameter(torch.randn(8, 8)) for _ in range(3)]
    whole = nn.Parameter(torch.cat([p.detach() for p in parts]))
    rest = {"muon": True, "beside": 1, "lr": 0.1, "weight_decay": 0.0}
    one = MuonAdamW([{"params": [whole], "stacked": 3, **rest}])
    several = MuonAdamW([{"params": parts, "stacked": 1, **rest}])
    for scale, part in zip((1.0, 10.0, 0.1), parts, strict=True):
        part.grad = scale * torch.randn(8, 8)
    whole.grad = torch.cat([p.grad for p in parts])
    one.step()
    several.step()
    torch.testing.assert_close(whole, torch.cat([*parts]), atol=1e-6, rtol=0)


def test_inputs_beside_each_other_are_stepped_one_by_one():
    """A convolution of two concatenated inputs: a large gradient of one takes nothing from the other."""
    torch.manual_seed(4)
    parts = [nn.Parameter(torch.randn(8, 8)) for _ in range(2)]
    whole = nn.Parameter(torch.cat([p.detach() for p in parts], dim=1)[:, :, None, None])
    rest = {"muon": True, "stacked": 1, "lr": 0.1, "weight_decay": 0.0}
    one = MuonAdamW([{"params": [whole], "beside": 2, **rest}])
    several = MuonAdamW([{"params": parts, "beside": 1, **rest}])
    for scale, part in zip((1.0, 1000.0), parts, strict=True):
        part.grad = scale * torch.randn(8, 8)
    whole.grad = torch.cat([p.grad for p in parts], dim=1)[:, :, None, None]
    before = parts[0].detach().clone()
    one.step()
    several.step()
    torch.testing.assert_close(whole[:, :, 0, 0], torch.cat([*parts], dim=1), atol=1e-6, rtol=0)
    assert (parts[0] - before).norm() > 0.1


def test_other_groups_are_adamw_and_a_state_goes_on():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    twin = copy.deepcopy(network)

    def optimizer(module):
        return MuonAdamW(muon_groups(module.named_parameters(), lr=0.01, weight_decay=0.1))

    def step(module, how, seed):
        torch.manual_seed(seed)
        how.zero_grad()
        module(torch.randn(5, 6)).square().sum().backward()
        how.step()

    plain = copy.deepcopy(network)
    reference = torch.optim.AdamW([p for p in plain.parameters() if p.ndim < 2], lr=0.01, weight_decay=0.0)
    first = optimizer(network)
    for seed in range(2):
        step(network, first, seed)
        for own, other in zip(plain.parameters(), network.parameters(), strict=True):
            own.grad = other.grad
        reference.step()
    for own, other in zip(plain.parameters(), network.parameters(), strict=True):
        assert torch.equal(own, other) == (own.ndim < 2)
    # A checkpoint after one step ends at the same weights.
    second = optimizer(twin)
    step(twin, second, 0)
    resumed = optimizer(twin)
    resumed.load_state_dict(copy.deepcopy(second.state_dict()))
    step(twin, resumed, 1)
    for own, other in zip(twin.parameters(), network.parameters(), strict=True):
        assert torch.equal(own, other)


def test_embeddings_tokens_and_vectors_of_sam_are_not_muons():
    sam = build_sam(SAM_CONFIGS["tiny-b"])
    sam.prompt_encoder.requires_grad_(False)
    groups = muon_groups(sam.named_parameters(), lr=0.1, weight_decay=0.2)
    names = {id(p): n for n, p in sam.named_parameters()}
    found = [names[id(p)] for g in groups for p in g["params"]]
    assert sorted(found) == sorted(n for n, p in sam.named_parameters() if p.requires_grad)
    by_muon = {names[id(p)] for g in groups if g.get("muon") for p in g["params"]}
    assert "image_encoder.blocks.0.attn.qkv.weight" in by_muon
    assert "image_encoder.neck.2.weight" in by_muon
    assert "mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight" in by_muon
    others = {
        "image_encoder.pos_embed",
        "image_encoder.patch_embed.proj.weight",
        "image_encoder.blocks.0.attn.rel_pos_h",
        "image_encoder.blocks.0.attn.qkv.bias",
        "mask_decoder.mask_tokens.weight",
    }
    assert not others & by_muon and others <= set(found)
    for group in groups:
        assert math.isclose(group["lr"], 0.1 * (LR_FACTOR if group.get("muon") else 1))
        vectors = all(p.ndim < 2 for p in group["params"])
        assert group["weight_decay"] == (0.0 if vectors else 0.2)


def test_processes_that_divide_the_work_step_as_one_alone_to_the_last_bit():
    """Two crews of a size of two in turns: each is told what the other has worked out."""

    class Half:
        def __init__(self, rank):
            self.rank, self.size, self.told = rank, 2, None

        def total(self, values):
            self.given = values.clone()
            return values if self.told is None else values + self.told

    def stepped(crew):
        torch.manual_seed(3)
        parameters = [nn.Parameter(torch.randn(shape)) for shape in ((8, 8), (24, 8), (8, 16), (4, 8, 3, 3))]
        group = {
            "params": parameters,
            "muon": True,
            "stacked": 1,
            "beside": 1,
            "lr": 0.1,
            "weight_decay": 0.1,
        }
        optimizer = MuonAdamW([group])
        optimizer.crew = crew
        for p in parameters:
            p.grad = torch.randn(p.shape)
        optimizer.step()
        return parameters

    halves = [Half(rank) for rank in range(2)]
    for half in halves:
        stepped(half)
    assert not (halves[0].given * halves[1].given).any() and all(h.given.any() for h in halves)
    halves[0].told, halves[1].told = halves[1].given, halves[0].given
    for half in halves:
        for mine, alone in zip(stepped(half), stepped(None), strict=True):
            assert torch.equal(mine, alone)
