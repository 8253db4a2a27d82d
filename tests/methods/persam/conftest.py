"""Outputs of the official PerSAM, and a SAM ViT-B with the weights that they were made with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from refseg.methods.sam.build import PIXEL_MEAN, PIXEL_STD, SAM_CONFIGS, build_sam
from refseg.methods.sam.promptable import SamFeatures, SamPromptable
from refseg.methods.sam.transforms import fit

TESTS = Path(__file__).parents[2]
SHARED = TESTS.parents[1] / "shared"
SIZE = (480, 854)


@pytest.fixture(scope="session")
def golden():
    """Read a file of the official outputs that lie beside the repository; the test is skipped without them."""

    def read(name):
        path = SHARED / "golden/persam" / f"{name}.npz"
        if not path.exists():
            pytest.skip("the official PerSAM's outputs are not beside the repository")
        with np.load(path) as file:
            return dict(file)

    return read


@pytest.fixture(scope="session")
def few():
    """A part of the official outputs for frame 0 of libby, in the repository."""
    with np.load(TESTS / "data/golden/persam_libby0.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def sam(filled):
    """SAM ViT-B whose weights depend on their names."""
    return SamPromptable(_built(filled, ""))


@pytest.fixture(scope="session")
def sam_decoder(filled):
    """The same without weights in the encoder, which takes most of the time to make."""
    return SamPromptable(_built(filled, "image_encoder"))


def _built(filled, left_out):
    with torch.device("meta"):
        model = build_sam(SAM_CONFIGS["vit_b"])
    names = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    for name, part in model.named_children():
        if name != left_out:
            part.to_empty(device="cpu")
            part.load_state_dict(
                {k.removeprefix(f"{name}."): filled(k, s) for k, s in names.items() if k.startswith(name)}
            )
    # The pixels' mean and standard deviation are the only buffers of their own, and tell the device.
    model.pixel_mean, model.pixel_std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    return model


@pytest.fixture(scope="session")
def stored(golden):
    """``stored(frame)``: libby's features of frame 0 or 10 as the official encoder gave them."""

    def read(frame):
        embedding = golden(f"image_embedding_frame{frame}")["embedding"]
        return SamFeatures(torch.from_numpy(embedding)[None], fit(SIZE, 1024))

    return read


@pytest.fixture(scope="session")
def libby():
    """``libby(frame)``: a real frame; those that are not in the repository lie beside it."""

    def read(frame):
        name = f"ref-davis-mini/valid/JPEGImages/libby/{frame:05d}.jpg"
        with Image.open(
            next(p for p in (TESTS / "data" / name, SHARED / "real" / name) if p.exists())
        ) as image:
            return np.asarray(image)

    return read


@pytest.fixture(scope="session")
def libby_mask():
    """The dog in frame 0."""
    with Image.open(TESTS / "data/ref-davis-mini/valid/Annotations/libby/00000.png") as image:
        return np.asarray(image) == 1


@pytest.fixture(scope="session")
def stored_mask():
    """Turn packed bits into a mask."""
    return lambda bits: np.unpackbits(bits, count=SIZE[0] * SIZE[1]).reshape(SIZE).astype(bool)
