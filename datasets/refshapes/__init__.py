"""RefShapes: an embedded, procedural dataset for referring video and image segmentation."""

from refseg.datasets.refshapes.dataset import RefShapes, build
from refseg.datasets.refshapes.train import VERSION

__all__ = ["VERSION", "RefShapes", "build"]
