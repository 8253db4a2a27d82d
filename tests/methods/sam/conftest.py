"""A real frame, and segment_anything's own predictor as the oracle."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from refseg.methods.sam.compat import importable

FRAMES = Path(__file__).parents[2] / "data/ref-davis-mini/valid/JPEGImages"


@pytest.fixture(scope="session")
def frame():
    """A real frame (480, 854, 3)."""
    with Image.open(FRAMES / "libby/00000.jpg") as image:
        return np.asarray(image)


@pytest.fixture(scope="session")
def official():
    """The modules ``segment_anything.predictor`` and ``.utils.transforms``, torchvision's two functions by PIL.

    torchvision's ``resize`` of a PIL image is PIL's own bilinear resize, with height before width.
    """
    functional = ModuleType("torchvision.transforms.functional")
    functional.to_pil_image = Image.fromarray
    functional.resize = lambda image, size: image.resize(size[::-1], Image.Resampling.BILINEAR)
    stubs = {
        "torchvision": ModuleType("torchvision"),
        "torchvision.transforms": ModuleType("torchvision.transforms"),
        "torchvision.transforms.functional": functional,
    }
    before = {name: sys.modules.get(name) for name in stubs}
    with importable():
        sys.modules.update(stubs)
        try:
            from segment_anything import predictor
            from segment_anything.utils import transforms
        finally:
            for name, module in before.items():
                sys.modules.pop(name)
                if module is not None:
                    sys.modules[name] = module
    return predictor, transforms
