import pytest
import torch

from refseg.bench.errors import InputError
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot, config_of

# Millions, from the official MODEL_ZOO.md.
PUBLISHED = {
    "aott": 5.7,
    "aots": 7.0,
    "aotb": 8.3,
    "aotl": 8.3,
    "r50_aotl": 14.9,
    "swinb_aotl": 65.4,
    "deaott": 7.2,
    "deaots": 10.2,
    "deaotb": 13.2,
    "deaotl": 13.2,
    "r50_deaotl": 19.8,
    "swinb_deaotl": 70.3,
}


def parameters(name):
    with torch.device("meta"):
        model = build_deaot(DEAOT_CONFIGS[name])
    assert all(p.is_meta for p in model.parameters())
    return sum(p.numel() for p in model.parameters()) / 1e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    assert round(parameters(name), 1) == PUBLISHED[name]


def test_the_tiny_one_is_tiny():
    assert set(DEAOT_CONFIGS) == {*PUBLISHED, "deaot_tiny"}
    assert parameters("deaot_tiny") < 1


def test_an_unknown_name_is_an_input_error():
    with pytest.raises(InputError, match="Did you mean 'r50_deaotl'"):
        config_of("r50-deaotl")


@pytest.mark.parametrize(("name", "size"), [("deaott", (49, 81)), ("deaot_tiny", (48, 80))])
def test_fresh_weights_give_finite_logits(name, size):
    torch.manual_seed(0)
    model = build_deaot(DEAOT_CONFIGS[name])
    features = model.encode(torch.randn(1, 3, *size))
    assert features.size == (-(-size[0] // model.stride), -(-size[1] // model.stride))
    identity = model.embed_identity(torch.ones(1, 1 + model.ids, *size))
    propagated = model.LSTT.reference(features.tokens, identity, features.size)
    logits = model.decode(features, propagated)
    assert logits.shape[:2] == (1, 11)
    assert logits.isfinite().all()
    assert 0.05 < logits.std() < 5
