"""What tests of several methods share: made-up official weights, the tiny SAM, a dataset, an empty computer."""

import zlib

import numpy as np
import pytest
import torch

from refseg.bench.types import DatasetRequest
from refseg.datasets.refshapes import build as build_refshapes
from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam.weights import SAM_TINY, load_into, load_tensors


def _filled(name, shape):
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        noise = 1 + 0.1 * np.abs(noise)
    elif len(shape) >= 2:
        noise = noise / np.sqrt(max(1, int(np.prod(shape[1:]))))
    elif name.endswith(("weight", "gamma")):
        noise = 1 + 0.1 * noise
    else:
        noise = 0.05 * noise
    return torch.from_numpy(np.ascontiguousarray(noise, np.float32)).reshape(shape)


def _filled_large(name, shape):
    count, side = int(np.prod(shape)), 1024
    if count <= 4_000_000:
        return _filled(name, shape)
    part = _filled(name, (side, side)).flatten() * (side * shape[0] / count) ** 0.5
    # A copy, since files hold all of what a view looks into.
    return part.repeat(-(-count // len(part)))[:count].view(shape).clone()


@pytest.fixture(scope="session")
def filled():
    """``filled(name, shape)``: a tensor whose values depend on an official parameter's name and shape alone."""
    return _filled


@pytest.fixture(scope="session")
def filled_large():
    """The same for networks of full size: large tensors repeat a part of theirs, which is made in seconds."""
    return _filled_large


@pytest.fixture(scope="session")
def tiny_sam():
    """The shipped tiny SAM."""
    sam = build_sam(SAM_CONFIGS["tiny"])
    load_into(sam, load_tensors(SAM_TINY), SAM_TINY)
    return sam


@pytest.fixture(scope="session")
def shapes():
    """RefShapes' val split."""
    return build_refshapes(DatasetRequest("refshapes", "val"))


@pytest.fixture
def nothing_configured(tmp_path, monkeypatch):
    """Neither a configuration nor checkpoints take part, and default paths lie in the test's folder."""
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.delenv("REFSEG_CHECKPOINTS", raising=False)
    monkeypatch.chdir(tmp_path)
