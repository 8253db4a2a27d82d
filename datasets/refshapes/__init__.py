"""RefShapes: an embedded, procedural dataset for referring video and image segmentation."""

from refseg.datasets.cards.refshapes import CARD
from refseg.datasets.refshapes.dataset import RefShapes, build
from refseg.datasets.refshapes.train import VERSION

CARDS = {CARD.name: CARD}

__all__ = ["CARDS", "VERSION", "RefShapes", "build"]
