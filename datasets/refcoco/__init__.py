"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO as REFER publishes them: sentences about objects in COCO images."""

from refseg.datasets.cards.refcoco import CARDS
from refseg.datasets.refcoco.dataset import RefCoco, build

__all__ = ["CARDS", "RefCoco", "build"]
