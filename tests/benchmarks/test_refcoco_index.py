"""Opening RefCOCO again against opening it first, which reads instances.json and the references.

    pytest tests/benchmarks/test_refcoco_index.py --benchmark-only --benchmark-columns=median -s [-m big]

The copy has RefCOCO's proportions: at scale 1 a file of 200 MB, 50,000 references and 142,860 sentences. ``times`` in
the results is how many times longer the first opening took, in one run.
"""

import json
import pickle
import random
import time

import pytest

pytest.importorskip("pytest_benchmark")

from refseg.bench.types import DatasetRequest
from refseg.datasets.refcoco import build

IMAGES, ANNOTATIONS, REFERENCES = 20_000, 197_000, 50_000
WORDS = ["left", "right", "man", "woman", "in", "red", "shirt", "the", "on", "blue", "chair"]
POINTS = 55


def write_copy(root, scale):
    """Write a copy whose images are not there: opening does not look at them."""
    chance = random.Random(0)
    images, annotations, references = (int(n * scale) for n in (IMAGES, ANNOTATIONS, REFERENCES))
    folder = root / "refcoco"
    folder.mkdir(parents=True)
    (root / "train2014").mkdir()
    polygon = [round(chance.random() * 400, 2) for _ in range(2 * POINTS)]
    content = {
        "images": [
            {"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg", "height": 480, "width": 640}
            for i in range(images)
        ],
        "annotations": [
            {
                "id": a,
                "image_id": a % images,
                "segmentation": [polygon[a % 50 :] + polygon[: a % 50]],
                "iscrowd": 0,
            }
            for a in range(annotations)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    refs = []
    for r in range(references):
        told = [" ".join(chance.choices(WORDS, k=4)) for _ in range(3 if r % 7 else 2)]
        sentences = [
            {"tokens": t.split(), "raw": t, "sent_id": 3 * r + k, "sent": t} for k, t in enumerate(told)
        ]
        # Splits as large as RefCOCO's: 85 %, 7.5 %, 3.75 % and 3.75 % of the images.
        share = (r % images) / images
        split = (
            "train" if share < 0.85 else "val" if share < 0.925 else "testA" if share < 0.9625 else "testB"
        )
        refs.append(
            {"ref_id": r, "ann_id": r, "image_id": r % images, "split": split, "sentences": sentences}
        )
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))


@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize(
    "scale", [0.02, pytest.param(1.0, marks=[pytest.mark.big, pytest.mark.timeout(600)])]
)
def test_opening_again(benchmark, tmp_path, monkeypatch, scale, split):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    write_copy(tmp_path / "data", scale)

    def opened():
        return build(DatasetRequest("refcoco", split, str(tmp_path / "data")))

    start = time.perf_counter()
    first = opened()
    once = time.perf_counter() - start
    again = benchmark.pedantic(opened, rounds=5, warmup_rounds=0)
    assert again.info == first.info and len(again.videos()) == len(first.videos())
    if benchmark.enabled:
        median = benchmark.stats.stats.median
        benchmark.extra_info["times"] = round(once / median, 1)
        print(f"\n{split} at scale {scale}: {once:.2f} s first, {median:.3f} s again")
