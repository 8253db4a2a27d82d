"""What must hold of any bytes that a reader is given: targets for hypothesis (``test_fuzz.py``) and for atheris.

    pip install atheris
    python fuzz.py png|json|prediction|rle|pickle|zip|weights [-max_total_time=600 …]

A target returns where the bytes were read rightly or refused by an InputError, and raises anything else.
"""

import io
import json
import os
import pickle
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from refseg.bench.errors import InputError
from refseg.bench.layouts.png import decode_mask
from refseg.bench.layouts.zips import ZipFiles
from refseg.bench.run_lengths import fill
from refseg.bench.store import RunFolder, StoredPrediction, encode
from refseg.datasets.metadata import Schema, parse_metadata
from refseg.datasets.refcoco.plain_pickle import read_plain_pickle

H, W = 12, 20
MASK = np.zeros((H, W), bool)
MASK[2:7, 3:15] = True
STORED = StoredPrediction(
    "key", "v", "e", (H, W), ("0", "1"), tuple(encode(np.stack([MASK, ~MASK]))), (0.5, 1.0)
)


@dataclass(frozen=True)
class Target:
    """Something that reads a stranger's bytes.

    Attributes:
        check: Reads them, with a folder of its own at hand.
        seeds: Sound bytes.
    """

    check: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]


def image(**options):
    buffer = io.BytesIO()
    Image.fromarray(MASK.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def png(data, folder):
    """Checksums are a PNG's own, so a change is seen or changes nothing; a forged file is what Pillow says."""
    found = decode_mask(data, "mask.png", (H, W))
    with Image.open(io.BytesIO(data), formats=("PNG",)) as other:
        assert np.array_equal(found, np.asarray(other).astype(bool))


def metadata(data, folder):
    for entry in parse_metadata(
        data, Path("meta.json"), "meta.json", Schema(several=True), lambda fault: None
    ):
        for name in (entry.id, *entry.frame_ids, *(s.id for s in entry.sentences)):
            assert name not in ("", ".", "..") and not {*"/\\\0"} & {*name}


def prediction(data, folder):
    run = RunFolder(folder)
    path = run.prediction_path("v", "e")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    found = run.read("v", "e")
    assert found is not None
    if found.size == (H, W):
        found.decode()


def rle(data, folder):
    text = data.decode("latin-1")
    stored = StoredPrediction("key", "v", "e", (H, W), ("0",), (text,), (1.0,))
    (mask,) = stored.decode()
    assert fill(text, H * W) and encode(mask[None]) == encode(mask.copy()[None])
    assert np.array_equal(
        StoredPrediction("", "v", "e", (H, W), ("0",), tuple(encode(mask[None])), ()).decode()[0], mask
    )


def plain_pickle(data, folder):
    path = folder / "refs.p"
    path.write_bytes(data)
    read_plain_pickle(path)
    assert os.listdir(folder) == ["refs.p"]


def archive(data, folder):
    path = folder / "masks.zip"
    path.write_bytes(data)
    files = ZipFiles(path)
    for name in files.names:
        assert len(files.read(name)) <= 1 << 20
    assert os.listdir(folder) == ["masks.zip"]


def weights(data, folder):
    from torch import Tensor

    from refseg.methods.sam.weights import load_tensors

    for suffix in (".safetensors", ".pth"):
        path = folder / f"weights{suffix}"
        path.write_bytes(data)
        assert all(isinstance(v, Tensor) for v in load_tensors(path).values())


def sound_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("v/e/0.png", image())
    return buffer.getvalue()


def sound_prediction():
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        run.write(STORED)
        return run.prediction_path("v", "e").read_bytes()


def sound_weights():
    import torch
    from safetensors.torch import save

    buffer = io.BytesIO()
    torch.save({"x": torch.arange(3.0)}, buffer)
    return save({"x": torch.arange(3.0)}), buffer.getvalue()


SAID = {"0": {"exp": "a dog", "obj_id": [1], "anno_id": ["2"]}}
META = json.dumps({"videos": {"v": {"expressions": SAID, "frames": ["00000", "00001"]}}}).encode()
TARGETS = {
    "png": lambda: Target(png, (image(), image(compress_level=0))),
    "json": lambda: Target(metadata, (META,)),
    "prediction": lambda: Target(prediction, (sound_prediction(),)),
    "rle": lambda: Target(rle, tuple(m.encode() for m in STORED.masks)),
    "pickle": lambda: Target(
        plain_pickle, (pickle.dumps([{"a": [1, "x"]}], 2), pickle.dumps([{"a": 1.5}], 0))
    ),
    "zip": lambda: Target(archive, (sound_zip(),)),
    "weights": lambda: Target(weights, sound_weights()),
}


def try_one(target, data):
    """Give a target some bytes; an InputError in one line is an answer."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            target.check(data, Path(folder))
        except InputError as error:
            assert str(error) and "\n" not in str(error)


if __name__ == "__main__":
    import atheris

    chosen = TARGETS[sys.argv[1]]()
    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(chosen.seeds):
            (Path(corpus) / str(i)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *sys.argv[2:]], lambda data: try_one(chosen, data))
        atheris.Fuzz()
