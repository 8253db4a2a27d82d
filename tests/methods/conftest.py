"""What tests of several methods share: made-up official weights, the tiny SAM, a dataset, an empty computer."""

import csv
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

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


class Stop(Exception):
    """A training's end by force."""


@pytest.fixture
def trained_twice(tmp_path, monkeypatch):
    """Train with a recipe at one go, and again stopped after three steps and resumed; both must come to the same.

    ``trained_twice(module, losses, request)``: the recipe's module, the name in it of what computes a step's losses,
    and ``request(out, resume=…)``. Returns the figures and the path of the weights.
    """

    def train(module, losses, request):
        recipe, training, compute, calls = module.recipe, module.Training, getattr(module, losses), []
        every = {"log_every": 1, "checkpoint_every": 2}
        monkeypatch.setattr(module, "Training", lambda **given: training(**given, **every))
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        figures = recipe(request(whole))

        def stopping(*given):
            calls.append(given)
            if len(calls) > 3:
                raise Stop
            return compute(*given)

        with monkeypatch.context() as until, pytest.raises(Stop):
            until.setattr(module, losses, stopping)
            recipe(request(parts))
        again = recipe(request(parts, resume=True))
        timed = {name for name in figures if name.endswith("_seconds")}
        assert {k: v for k, v in again.items() if k not in timed} == {
            k: v for k, v in figures.items() if k not in timed
        }
        assert _log(parts) == _log(whole)
        (file,) = whole.glob("*.safetensors")
        # The order of a file's metadata is left to chance.
        one, other = load_file(file), load_file(parts / file.name)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        return figures, file

    return train


def _log(out):
    with (out / "log.csv").open() as file:
        return [tuple(row) for row in csv.reader(file) if not row[1].endswith("_seconds")]
