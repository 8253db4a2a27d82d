"""Makes small copies of datasets, in the forms in which their authors publish them.

Everything is a few pixels large and drawn from rectangles, so that a test can say what a mask must be.
"""

import json
from types import SimpleNamespace

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image
from pycocotools import mask as coco

from refseg.bench.types import DatasetRequest

H, W = 24, 32


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "config.json"))
    monkeypatch.delenv("REFSEG_DATA", raising=False)


def box(x0, y0, x1, y1, size=(H, W)):
    """The mask of a rectangle: columns x0 to x1 - 1, rows y0 to y1 - 1."""
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


# --- REFER: RefCOCO, RefCOCO+, RefCOCOg, gRefCOCO ---------------------------------------------------------------


def polygon(x0, y0, x1, y1):
    """COCO's polygon of a rectangle."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def run_lengths(mask):
    """COCO's uncompressed run lengths: column by column, background first."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]]).astype(np.int8)))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def compressed(mask):
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def image_name(image_id):
    return f"COCO_train2014_{image_id:012d}.jpg"


def reference(ref_id, ann_id, image_id, split, *sentences):
    """A reference as REFER has it; ``sentences`` are (sent_id, raw)."""
    return {
        "sent_ids": [i for i, _ in sentences],
        # REFER's own file name ends in a number of the annotation and is no file's.
        "file_name": f"COCO_train2014_{image_id:012d}_{ref_id}.jpg",
        "ann_id": ann_id,
        "ref_id": ref_id,
        "image_id": image_id,
        "split": split,
        "sentences": [
            {"tokens": raw.lower().split(), "raw": raw, "sent_id": i, "sent": raw.lower().strip(".")}
            for i, raw in sentences
        ],
        "category_id": 1,
    }


def python2_pickle(value, protocol=2):
    """A pickle as Python 2's cPickle wrote it: ``str`` as latin-1 bytes, every container and string in the memo."""
    memo = iter(range(10**9))
    put = (
        (lambda: b"p%d\n" % next(memo))
        if protocol == 0
        else (lambda: b"r" + next(memo).to_bytes(4, "little"))
    )

    def text(v):
        raw = v.encode("latin-1")
        if protocol == 0:
            return b"S" + repr(v).encode("latin-1", "backslashreplace") + b"\n" + put()
        head = b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little")
        return head + raw + put()

    def dump(v):
        if isinstance(v, str):
            return text(v)
        if isinstance(v, int):
            return b"I%d\n" % v if protocol == 0 else b"J" + v.to_bytes(4, "little", signed=True)
        if isinstance(v, list):
            empty, items = (b"(l", b"".join(dump(x) + b"a" for x in v)) if protocol == 0 else (b"]", None)
            return empty + put() + (items if items is not None else b"(" + b"".join(map(dump, v)) + b"e")
        pairs = [dump(k) + dump(x) for k, x in v.items()]
        if protocol == 0:
            return b"(d" + put() + b"".join(p + b"s" for p in pairs)
        return b"}" + put() + b"(" + b"".join(pairs) + b"u"

    return (b"" if protocol == 0 else b"\x80\x02") + dump(value) + b"."


class Refer:
    """A copy of one of REFER's datasets that a test may change before it is written.

    Attributes:
        images: COCO's list of images.
        annotations: COCO's list of annotations.
        refs: References by who made the split.
    """

    def __init__(self, root, name="refcoco", made_by="unc"):
        self.root, self.name = root, name
        self.images = [
            {"id": i, "file_name": image_name(i), "height": H, "width": W, "license": 1} for i in (7, 10, 11)
        ]
        crowd = box(1, 1, 6, 5) | box(20, 10, 30, 20)
        self.annotations = [
            self.annotation(100, 7, [polygon(2, 3, 12, 9)]),
            # Two polygons that overlap, after one of two points that pycocotools would take for a box.
            self.annotation(101, 7, [[0, 0, 5, 5], polygon(10, 4, 20, 12), polygon(16, 8, 26, 20)]),
            self.annotation(102, 10, run_lengths(crowd), iscrowd=1),
            self.annotation(103, 11, compressed(box(0, 0, 4, 24))),
        ]
        last = "test" if made_by != "unc" else "testB"
        self.refs = {
            made_by: [
                reference(1, 100, 7, "val", (0, "Man in Blue."), (1, "caf\xe9 owner")),
                reference(2, 102, 10, "val", (5, "the crowd")),
                reference(3, 101, 7, "val", (2, "lower right one")),
                reference(4, 103, 11, last, (9, "left edge")),
            ]
        }

    @staticmethod
    def annotation(ann_id, image_id, segmentation, iscrowd=0):
        return {
            "id": ann_id,
            "image_id": image_id,
            "segmentation": segmentation,
            "iscrowd": iscrowd,
            "category_id": 1,
            "bbox": [0, 0, 1, 1],
            "area": 1.0,
        }

    @property
    def folder(self):
        return self.root / self.name

    def write(self, images="images/mscoco/images/train2014", protocol=2):
        """Write the tree; image 10 is a grey JPEG, as COCO has some."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "info": {},
            "images": self.images,
            "licenses": [],
            "annotations": self.annotations,
            "categories": [],
        }
        (self.folder / "instances.json").write_text(json.dumps(content))
        for made_by, refs in self.refs.items():
            if self.name == "grefcoco":
                (self.folder / f"grefs({made_by}).json").write_text(json.dumps(refs))
            else:
                (self.folder / f"refs({made_by}).p").write_bytes(python2_pickle(refs, protocol))
        (self.root / images).mkdir(parents=True, exist_ok=True)
        for image in self.images:
            path = self.root / images / image["file_name"]
            noise = np.random.default_rng(image["id"]).integers(0, 256, (H, W, 3), np.uint8)
            Image.fromarray(noise[..., 0] if image["id"] == 10 else noise).save(path)
        return self

    def open(self, split=None, on_fault=None, **options):
        from refseg.datasets.refcoco import build

        return build(DatasetRequest(self.name, split, str(self.root), options, on_fault))


@pytest.fixture
def refer(tmp_path):
    """RefCOCO as it is published: images 7 and 10 in val, 11 in testB."""
    return Refer(tmp_path / "data")


@pytest.fixture
def make_refer(tmp_path):
    return lambda name, made_by="unc": Refer(tmp_path / name, name, made_by)


@pytest.fixture(scope="session")
def draw():
    """Rectangles as masks and in COCO's three forms, and references: what a test's own copy is made of."""
    return SimpleNamespace(
        size=(H, W),
        box=box,
        polygon=polygon,
        run_lengths=run_lengths,
        compressed=compressed,
        annotation=Refer.annotation,
        reference=reference,
        write_h5=write_h5,
        write_clip=write_clip,
    )


# --- A2D-Sentences --------------------------------------------------------------------------------------------


def write_clip(path, frames, size=(H, W)):
    """An mp4 whose frame i (from 0) is filled with the grey value 12 * i, give or take the codec."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (size[1], size[0]))
    for i in range(frames):
        writer.write(np.full((*size, 3), 12 * i, np.uint8))
    writer.release()


def write_h5(path, masks):
    """A frame's masks as MATLAB writes them: transposed, without the first axis where there is one instance."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stacked = np.stack([m.T for m in masks.values()]).astype(np.uint8)
    with h5py.File(path, "w") as file:
        file["instance"] = np.array(list(masks), np.float64)
        file["reMask"] = stacked[0] if len(masks) == 1 else stacked
        file["reBBox"] = np.zeros((4, len(masks)))


class A2d:
    """A copy of A2D-Sentences: clips "-aB_1" and "zoo" in test, "tr" in train, "gone" left out by the authors."""

    def __init__(self, root):
        self.root = root
        self.videoset = [
            f"-aB_1,52,0:00,0:05,{H},{W},20,2,1",
            f"tr,11,0:00,0:05,{H},{W},20,1,0",
            f"gone,11,0:00,0:05,{H},{W},20,1,1",
            f"zoo,11,0:00,0:05,{H},{W},20,1,1",
        ]
        self.sentences = [
            ("-aB_1", "0", "a  man in red, running"),
            ("-aB_1", "1", "the dog"),
            ("-aB_1", "1 (copy)", "the dog"),
            ("zoo", "2", "bird"),
            ("zoo", "5", "an instance that no frame shows"),
            ("tr", "0", "ball"),
            ("gone", "0", "nothing"),
        ]
        self.masks = {
            "-aB_1": {10: {0: box(2, 3, 9, 20), 1: box(20, 2, 28, 6)}, 15: {1: box(18, 2, 26, 6)}},
            "zoo": {3: {2: box(0, 0, 5, 2)}},
            "tr": {5: {0: box(1, 1, 3, 3)}},
        }

    def write(self, clips="Release/clips320H"):
        text = self.root / "text_annotations"
        text.mkdir(parents=True, exist_ok=True)
        for video, frames in self.masks.items():
            write_clip(self.root / clips / f"{video}.mp4", 20)
            for number, masks in frames.items():
                write_h5(self.h5(video, number), masks)
        (self.root / "Release/videoset.csv").write_text("".join(f"{row}\n" for row in self.videoset))
        (text / "a2d_missed_videos.txt").write_text("gone\n")
        rows = [
            '{},{},"{}"\n'.format(*row) if "," in row[2] else "{},{},{}\n".format(*row)
            for row in self.sentences
        ]
        (text / "a2d_annotation.txt").write_text("video_id,instance_id,query\n" + "".join(rows))
        return self

    def h5(self, video, number):
        return self.root / f"text_annotations/a2d_annotation_with_instances/{video}/{number:05d}.h5"

    def open(self, split=None, on_fault=None, **options):
        from refseg.datasets.a2d import build

        return build(DatasetRequest("a2d", split, str(self.root), options, on_fault))


@pytest.fixture
def a2d(tmp_path):
    return A2d(tmp_path / "a2d")


# --- JHMDB-Sentences ------------------------------------------------------------------------------------------


class Jhmdb:
    """A copy of JHMDB-Sentences: two clips of eight frames whose masks end at the seventh."""

    frames, labelled = 8, 7

    def __init__(self, root):
        self.root = root
        self.clips = {"Walk_u_1": ("walk", "a man,  walking"), "swing_2": ("swing_baseball", "boy")}
        self.scored = {"Walk_u_1": (5, 2, 7), "swing_2": (1, 3, 4)}

    @staticmethod
    def mask(number):
        """The actor moves one column a frame."""
        return box(number, 4, number + 6, 15)

    def write(self):
        for clip, (action, _) in self.clips.items():
            folder = self.root / "Rename_Images" / action / clip
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, self.frames + 1):
                Image.new("RGB", (W, H), (number, 0, 0)).save(folder / f"{number:05d}.png")
            masks = np.stack([self.mask(n) for n in range(1, self.labelled + 1)], axis=2).astype(np.uint8)
            self.mat(clip).parent.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(self.mat(clip), {"part_mask": masks}, do_compression=True)
        rows = [f'{clip},"{text}"\n' for clip, (_, text) in self.clips.items()]
        (self.root / "jhmdb_annotation.txt").write_text("video_id,query\n" + "".join(rows))
        (self.root / "jhmdb_sentences_samples_metadata.json").write_text(json.dumps(self.samples()))
        return self

    def samples(self):
        """MTTR's list: video, path of the frame, path of the masks, number of frames with masks, sentence."""
        return [
            [
                clip,
                f"./jhmdb_sentences/Rename_Images/{self.clips[clip][0]}/{clip}/{n:05d}.png",
                f"./jhmdb_sentences/puppet_mask/{self.clips[clip][0]}/{clip}/puppet_mask.mat",
                self.labelled,
                self.clips[clip][1],
            ]
            for clip, numbers in self.scored.items()
            for n in numbers
        ]

    def mat(self, clip):
        return self.root / "puppet_mask" / self.clips[clip][0] / clip / "puppet_mask.mat"

    def open(self, split=None, on_fault=None, **options):
        from refseg.datasets.jhmdb import build

        return build(DatasetRequest("jhmdb", split, str(self.root), options, on_fault))


@pytest.fixture
def jhmdb(tmp_path):
    return Jhmdb(tmp_path / "jhmdb")
