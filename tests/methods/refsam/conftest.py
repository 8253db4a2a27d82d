from dataclasses import replace
from pathlib import Path

import pytest
import torch

from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text

WORDS = ["a", "the", "red", "blue", "circle", "square", "moving", "left", "big", "on"]


@pytest.fixture
def build():
    """Build a tiny RefSAM with options; every tensor random, so that nothing hides behind a zero."""

    def make(*, text=True, **options):
        torch.manual_seed(0)
        config = replace(CONFIGS["refsam_tiny"], **options)
        encoder = build_tiny_text(WORDS, attention_mask=config.text_attention_mask) if text else None
        model = build_refsam(config, encoder)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "adapters" in name or "memory.out" in name or "pos_embed" in name or "rel_pos" in name:
                    p.normal_(std=0.05)
        return model

    return make


@pytest.fixture(scope="module")
def model():
    """Return the tiny RefSAM with its own first weights."""
    torch.manual_seed(0)
    return build_refsam(CONFIGS["refsam_tiny"], build_tiny_text())


@pytest.fixture
def images():
    return torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="session")
def real_root():
    """Five real frames with masks and sentences, in Refer-YouTube-VOS's layout."""
    return Path(__file__).parents[2] / "data/ref-davis-mini"
