import numpy as np
import pytest
import torch

from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot


@pytest.fixture(scope="session")
def network(filled):
    """Build a named network with the deterministic weights of the golden vectors."""

    def make(name, *, sharp=False):
        model = build_deaot(DEAOT_CONFIGS[name])
        state = model.state_dict()
        floats = {k: filled(k, tuple(v.shape)) for k, v in state.items() if v.is_floating_point()}
        model.load_state_dict(state | floats)
        with torch.no_grad():
            for layer in model.LSTT.layers if sharp else ():
                layer.linear_QV.weight[:128] *= 4
        return model

    return make


@pytest.fixture
def tiny():
    """The tiny DeAOT, every tensor random, so that nothing hides behind a zero."""
    torch.manual_seed(0)
    model = build_deaot(DEAOT_CONFIGS["deaot_tiny"])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def video():
    """Six random frames of 48x64 pixels, and labels of two boxes that move."""
    frames = np.random.default_rng(3).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    labels = np.zeros((6, 48, 64), np.uint8)
    for t in range(6):
        labels[t, 6:22, 4 + 4 * t : 24 + 4 * t] = 1
        labels[t, 28:44, 40 - 4 * t : 60 - 4 * t] = 2
    return frames, labels
