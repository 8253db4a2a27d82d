"""Small trees of every video dataset, written as their authors publish them; each test then breaks its own copy.

Every video shows the same scene: frame t has object k as a block of four columns, four rows down from row t.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from refseg.bench import registry
from refseg.bench.types import DatasetRequest

H, W = 12, 20
FRAMES = ("00000", "00005", "00010")
TEXTS = ("Davis17_annot1", "Davis17_annot1_full_video", "Davis17_annot2", "Davis17_annot2_full_video")


def block(k, t, size=(H, W)):
    """Return the (H, W) mask of the k-th object in frame t."""
    mask = np.zeros(size, bool)
    mask[t : t + 4, 4 * k : 4 * k + 4] = True
    return mask


def labels(ids, t, size=(H, W)):
    """Return a label map with these objects side by side."""
    out = np.zeros(size, np.uint8)
    for k, number in enumerate(ids):
        out[block(k, t, size)] = number
    return out


def rle(mask):
    """Return COCO's compressed run lengths as JSON holds them."""
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


class Tree:
    """A folder that a dataset is written to; paths are relative to it."""

    def __init__(self, root):
        self.root = Path(root)

    def path(self, name):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def json(self, name, value):
        self.path(name).write_text(json.dumps(value))

    def change(self, name, change):
        value = json.loads((self.root / name).read_text())
        change(value)
        self.json(name, value)

    def frame(self, name, t=0, size=(H, W)):
        noise = np.random.default_rng(t).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(noise).save(self.path(name), quality=95)

    def palette(self, name, label_map):
        """Write a palette PNG in DAVIS's first colours: id 1 is dark red, 38 in grey."""
        image = Image.fromarray(label_map)
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0] * 756)
        image.save(self.path(name))

    def mask(self, name, mask):
        Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(self.path(name))

    def frames(self, folder, video, frames=FRAMES, size=(H, W)):
        for t, frame in enumerate(frames):
            self.frame(f"{folder}/{video}/{frame}.jpg", t, size)

    def label_maps(self, folder, video, ids, frames=FRAMES, size=(H, W)):
        for t, frame in enumerate(frames):
            self.palette(f"{folder}/{video}/{frame}.png", labels(ids, t, size))


def ytvos(tree, split="train", videos=("zoo", "ant"), *, hidden=False):
    """Refer-YouTube-VOS: three objects a video with two sentences each; object 3 is not in frame 0."""
    listed = {}
    for video in videos:
        said = {
            str(i): {"exp": f"sentence {i} of {video}"} | ({} if hidden else {"obj_id": str(i // 2 + 1)})
            for i in range(6)
        }
        listed[video] = {"expressions": said, "frames": list(FRAMES)}
        tree.frames(f"{split}/JPEGImages", video)
        if not hidden:
            for t, frame in enumerate(FRAMES):
                present = (1, 2, 3) if t else (1, 2)
                tree.palette(f"{split}/Annotations/{video}/{frame}.png", labels(present, t))
    tree.json(f"meta_expressions/{split}/meta_expressions.json", {"videos": listed})


def davis_raw(tree, said, *, davis="DAVIS/", texts="davis_text_annotations/"):
    """Ref-DAVIS17 as published: ``said`` is video -> {object: sentence}; files are written in their encodings."""
    for i, name in enumerate(TEXTS):
        lines = [f'{v} {o} "{text}, {i}"' for v, objects in said.items() for o, text in objects.items()]
        tree.path(f"{texts}{name}.txt").write_bytes("\n".join(lines).encode("utf-8" if i < 2 else "latin-1"))
    names = [{"clasic-car": "classic-car", "dog-scale": "dogs-scale"}.get(v, v) for v in said]
    tree.path(f"{davis}ImageSets/2017/val.txt").write_text("\n".join(names) + "\n")
    for name, objects in zip(names, said.values(), strict=True):
        tree.frames(f"{davis}JPEGImages/480p", name)
        tree.label_maps(f"{davis}Annotations_unsupervised/480p", name, sorted(map(int, objects))[:5])


def mask_dict(objects, size=(H, W)):
    """Return anno_id -> run lengths a frame; object k is absent (null) in frame k."""
    return {
        str(anno): [None if t == k else rle(block(k, t, size)) for t in range(len(FRAMES))]
        for anno, k in objects.items()
    }


def mevis(tree, split="valid_u"):
    """MeViS: sentences about one, two and no objects; annotations 7, 8 and 9 are objects 0, 1 and 2."""
    said = {
        "0": {"exp": "the one that moves", "obj_id": [0], "anno_id": [7]},
        "1": {"exp": "the two on the right", "obj_id": [1, 2], "anno_id": [8, 9]},
        "2": {"exp": "the flying one", "obj_id": [], "anno_id": []},
    }
    hidden = split == "valid"
    if hidden:
        said = {k: {"exp": v["exp"]} for k, v in said.items()}
    listed = {"zoo": {"expressions": said, "vid_id": 0, "frames": list(FRAMES)}}
    tree.json(f"{split}/meta_expressions.json", {"videos": listed})
    tree.frames(f"{split}/JPEGImages", "zoo")
    if not hidden:
        tree.json(f"{split}/mask_dict.json", mask_dict({7: 0, 8: 1, 9: 2}))


def revos(tree):
    """ReVOS: a video whose id is a path, one sentence of each type."""
    said = {
        str(i): {"exp": f"type {i}", "obj_id": [i], "anno_id": [i], "type_id": i, "id": i} for i in range(3)
    }
    video = {"vid_id": 0, "height": H, "width": W, "expressions": said, "frames": list(FRAMES)}
    for split, name in (("valid", "UVO/all/2E4T5NCywcE"), ("train", "LVVIS/train/00000")):
        tree.json(f"meta_expressions_{split}_.json", {"videos": {name: video}})
        tree.frames("JPEGImages", name)
    masks = mask_dict({0: 0, 1: 1, 2: 2})
    tree.json("mask_dict.json", masks)
    whole = [[m for m in at if m] for at in zip(*masks.values(), strict=True)]
    foreground = {"masks_rle": whole, "foreground_ratio": [0.1] * len(FRAMES)}
    tree.json(
        "mask_dict_foreground.json", {v: foreground for v in ("UVO/all/2E4T5NCywcE", "LVVIS/train/00000")}
    )


def longrvos(tree, split="valid"):
    """Long-RVOS: object 2 leaves after frame 0, so that its later masks are not there."""
    kinds = ("static", "dynamic", "hybrid")
    said = {str(i): {"exp": f"{k} one", "obj_id": str(i % 2 + 1), "type": k} for i, k in enumerate(kinds)}
    tree.json(
        f"{split}/meta_expressions.json", {"videos": {"zoo": {"expressions": said, "frames": list(FRAMES)}}}
    )
    tree.frames(f"{split}/JPEGImages", "zoo")
    for t, frame in enumerate(FRAMES):
        tree.mask(f"{split}/Annotations/zoo/1/{frame}.png", block(0, t))
    tree.mask(f"{split}/Annotations/zoo/2/{FRAMES[0]}.png", block(1, 0))


WRITERS = {f.__name__: f for f in (ytvos, davis_raw, mevis, revos, longrvos)}


@pytest.fixture
def tree(tmp_path):
    """An empty folder; ``tree.write("mevis")`` writes a dataset into it."""
    made = Tree(tmp_path / "data")
    made.write = lambda name, *args, **kwargs: WRITERS[name](made, *args, **kwargs)
    return made


@pytest.fixture
def opened(tree):
    """Open a dataset of the tree by its registered name."""

    def open_(dataset, split=None, **options):
        return registry.build_dataset(DatasetRequest(dataset, split, str(tree.root), options))

    return open_


@pytest.fixture
def faults(tree):
    """Return the faults of the tree as (kind, file, text), found with one process; nothing is remembered."""
    from refseg.bench.datacheck import check_dataset

    def find(name, split=None, *, quick=False, counts=False, **options):
        report = check_dataset(
            DatasetRequest(name, split, str(tree.root), options), quick=quick, keep=99, workers=1
        )
        return [
            (p["kind"], p["file"], p["text"]) for p in report["problems"] if counts or p["kind"] != "count"
        ]

    return find


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def scene():
    """The scene's masks and label maps, for tests that compare with them."""
    return type(
        "Scene", (), {"block": staticmethod(block), "labels": staticmethod(labels), "rle": staticmethod(rle)}
    )
