"""Datasets and predictions of given masks, and masks of golden files."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from refseg.bench.types import DatasetInfo, Video

GOLDEN = Path(__file__).parents[2] / "data/golden"


class Few:
    """A dataset of given truths; predictions are given beside."""

    def __init__(self, videos, truths):
        self.info = DatasetInfo("few", "1", "all", ("few/per_expression",))
        self._videos, self._truths = videos, truths

    def videos(self):
        return self._videos

    def ground_truth(self, video_id, expression_id):
        return self._truths[video_id, expression_id]


class Given:
    """Predictions of given masks; ``scores`` where the method has a confidence, (T,) for each expression."""

    def __init__(self, masks, labels=None, scores=None):
        self._masks, self._labels = masks, labels or {}
        if scores is not None:
            self.scores = lambda video, expression: scores.get((video.id, expression.id))

    def masks(self, video, expression):
        return self._masks.get((video.id, expression.id))

    def label_maps(self, video, annotator):
        return self._labels.get((video.id, annotator))


def clip(name, expressions, size, frames=1):
    ids = tuple(f"{i:05d}" for i in range(frames))
    return Video(name, ids, size, tuple(expressions), lambda i: np.zeros((*size, 3), np.uint8))


def unpacked(bits, size):
    """Return (..., H, W) masks of (..., bytes) packed ones."""
    height, width = (int(n) for n in size)
    flat = np.unpackbits(bits, axis=-1)[..., : height * width]
    return flat.reshape(*bits.shape[:-1], height, width).astype(bool)


def rle(mask):
    """Return COCO's code of an (H, W) mask."""
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def by_pycocotools(truths, answers):
    """Return mAP, AP50 and AP75 by the whole of pycocotools, as MTTR calls it.

    ``truths`` holds one code an image, ``answers`` (image from 1, code, score).
    """
    gt = COCO()
    size = truths[0]["size"]
    gt.dataset = {
        "images": [{"id": i, "height": size[0], "width": size[1]} for i in range(1, len(truths) + 1)],
        "categories": [{"id": 1, "name": "any"}],
        "annotations": [
            {
                "id": i,
                "image_id": i,
                "category_id": 1,
                "segmentation": code,
                "area": float(coco_mask.area(code)),
                "bbox": [0, 0, 1, 1],
                "iscrowd": 0,
            }
            for i, code in enumerate(truths, 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        results = [{"image_id": i, "category_id": 1, "segmentation": c, "score": s} for i, c, s in answers]
        evaluation = COCOeval(gt, gt.loadRes(results), "segm")
        evaluation.params.useCats = 0
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("mAP", "AP50", "AP75"), map(float, evaluation.stats[:3]), strict=True))


@pytest.fixture(scope="session")
def few():
    return Few


@pytest.fixture(scope="session")
def given():
    return Given


@pytest.fixture(name="by_pycocotools", scope="session")
def _by_pycocotools():
    """Return ``by_pycocotools(truths, answers)`` of (H, W) masks: one truth an image, (image, mask, score) answers."""
    return lambda truths, answers: by_pycocotools(
        [rle(t) for t in truths], [(i, rle(m), s) for i, m, s in answers]
    )


@pytest.fixture(name="clip", scope="session")
def _clip():
    return clip


@pytest.fixture(scope="session")
def golden():
    """Return a golden file's arrays and, where it has them, its masks: ``golden(name) -> (arrays, masks)``."""

    def read(name):
        with np.load(GOLDEN / f"{name}_inputs.npz") as data:
            arrays = {k: data[k] for k in data.files}
        size = arrays["height_width"]
        return arrays, {
            k.removesuffix("_bits"): unpacked(v, size) for k, v in arrays.items() if k.endswith("_bits")
        }

    return read
