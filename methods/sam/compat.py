"""``segment_anything``'s networks, also where torchvision is missing or broken.

The package's ``__init__`` imports torchvision, its modelling files do not. Where the plain import fails, a bare
module with the package's path stands in while they are imported.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType


def _import_modeling() -> None:
    try:
        import segment_anything  # noqa: F401
    except Exception as error:  # a broken torchvision raises RuntimeError, a missing one ImportError
        spec = importlib.util.find_spec("segment_anything")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("segment_anything is not installed; pip install segment-anything") from error
        for name in [n for n in sys.modules if n == "segment_anything" or n.startswith("segment_anything.")]:
            del sys.modules[name]
        bare = ModuleType("segment_anything")
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules["segment_anything"] = bare


_import_modeling()

from segment_anything.modeling import (  # noqa: E402
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from segment_anything.modeling.common import LayerNorm2d  # noqa: E402
from segment_anything.modeling.image_encoder import (  # noqa: E402
    Block,
    window_partition,
    window_unpartition,
)

__all__ = [
    "Block",
    "ImageEncoderViT",
    "LayerNorm2d",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TwoWayTransformer",
    "window_partition",
    "window_unpartition",
]
