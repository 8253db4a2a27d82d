"""``segment_anything``'s networks, also where torchvision is missing or broken.

The package's ``__init__`` imports torchvision, its modelling files do not. Where the plain import fails, a
bare module with the package's path stands in while they are imported, and is taken away again: whoever
imports ``segment_anything`` itself afterwards meets the same error as without us, not half a package.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_PACKAGE = "segment_anything"


@contextmanager
def importable() -> Iterator[None]:
    """Let ``segment_anything``'s submodules be imported inside the context, whatever torchvision does."""
    try:
        importlib.import_module(_PACKAGE)
    except Exception as error:  # a missing torchvision raises ImportError, a broken one also RuntimeError
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("segment_anything is not installed; pip install segment-anything") from error
        bare = ModuleType(_PACKAGE)
        bare.__spec__ = spec
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules[_PACKAGE] = bare
        try:
            yield
        finally:
            if sys.modules.get(_PACKAGE) is bare:
                del sys.modules[_PACKAGE]
    else:
        yield


with importable():
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    from segment_anything.modeling.common import LayerNorm2d
    from segment_anything.modeling.image_encoder import Attention as EncoderAttention
    from segment_anything.modeling.image_encoder import (
        Block,
        get_rel_pos,
        window_partition,
        window_unpartition,
    )
    from segment_anything.modeling.transformer import Attention

__all__ = [
    "Attention",
    "Block",
    "EncoderAttention",
    "ImageEncoderViT",
    "LayerNorm2d",
    "MaskDecoder",
    "PromptEncoder",
    "Sam",
    "TwoWayTransformer",
    "get_rel_pos",
    "window_partition",
    "window_unpartition",
]
