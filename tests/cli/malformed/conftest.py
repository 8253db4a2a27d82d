"""Malformed inputs through the command line: small sound data, a change that breaks it, and what must then be true.

Each ``test_*.py`` has one kind of input and a mapping ``CASES`` of names to changes; ``test_count.py`` counts them.
The sound data are so made that the method ``reader`` scores 100 on them: any other number is a wrong score.
"""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from refseg.bench import registry
from refseg.bench.cli import run_index
from refseg.bench.types import FramePrediction, MethodInfo

H, W = 16, 24
VIDEOS, FRAMES = ("one", "two"), ("00000", "00001")
METADATA = "in/meta_expressions/valid/meta_expressions.json"
WRITTEN = ("out", "cache")


def block(t):
    """Return the (H, W) mask of the object in frame t: one block of JPEG's, so that its edge is stored exactly."""
    mask = np.zeros((H, W), bool)
    mask[:8, 8 * t : 8 * t + 8] = True
    return mask


def run_lengths(mask):
    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


class Reader:
    """A method that marks the bright pixels, which are the object."""

    def __init__(self, request):
        self.info = MethodInfo(request.name, "1", config=dict(request.options))

    def segment(self, video, expressions):
        for i in range(len(video)):
            bright = video.read(i)[..., 1] > 128
            yield FramePrediction(
                i, np.stack([bright] * len(expressions)), np.ones(len(expressions), np.float32)
            )

    def modules(self):
        return {}


@pytest.fixture(autouse=True)
def _reader(monkeypatch):
    # The width of a terminal decides where rich breaks lines, and nothing else may.
    monkeypatch.setenv("COLUMNS", "200")
    with registry.registered("methods", "reader", Reader):
        yield


class Scene:
    """Sound data below the current folder; a test changes them."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, name):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def json(self, name, value):
        self.path(name).write_text(json.dumps(value))

    def change(self, name, change):
        """Apply a change to a JSON file; what it returns, if anything, takes the value's place."""
        value = json.loads((self.folder / name).read_text())
        changed = change(value)
        self.json(name, value if changed is None else changed)

    def frame(self, name, t=0):
        Image.fromarray(np.where(block(t), 255, 0).astype(np.uint8)).convert("RGB").save(
            self.path(name), quality=95
        )

    def labels(self, name, t=0):
        image = Image.fromarray(block(t).astype(np.uint8))
        image.putpalette([0, 0, 0, 128, 0, 0])
        image.save(self.path(name))

    def mask(self, name, t=0):
        Image.fromarray(block(t).astype(np.uint8) * 255).save(self.path(name))

    def videos(self):
        """Refer-YouTube-VOS's layout, read as the dataset ``folder``: two videos of two frames, a sentence each."""
        said = {"0": {"exp": "the bright block", "obj_id": "1"}}
        self.json(METADATA, {"videos": {v: {"expressions": said, "frames": list(FRAMES)} for v in VIDEOS}})
        for video in VIDEOS:
            for t, frame in enumerate(FRAMES):
                self.frame(f"in/valid/JPEGImages/{video}/{frame}.jpg", t)
                self.labels(f"in/valid/Annotations/{video}/{frame}.png", t)
        return ("--dataset", "folder", "--root", "in")

    def masks(self, layout="ytvos", where="masks"):
        """Masks of those videos, all right."""
        for video in VIDEOS:
            for t, frame in enumerate(FRAMES):
                if layout == "ytvos":
                    self.mask(f"{where}/{video}/0/{frame}.png", t)
                else:
                    self.labels(f"{where}/{video}/{frame}.png", t)

    def mevis(self):
        """MeViS: one video whose truth stands in run lengths."""
        said = {"0": {"exp": "the bright block", "obj_id": [0], "anno_id": [7]}}
        self.json(
            "in/valid_u/meta_expressions.json",
            {"videos": {"one": {"expressions": said, "frames": list(FRAMES)}}},
        )
        for t, frame in enumerate(FRAMES):
            self.frame(f"in/valid_u/JPEGImages/one/{frame}.jpg", t)
        self.json("in/valid_u/mask_dict.json", {"7": [run_lengths(block(t)) for t in range(2)]})
        return ("--dataset", "mevis", "--split", "valid_u", "--root", "in")

    def refer(self, name="refcoco"):
        """REFER's files: two images with a sentence each."""
        images = [{"id": i, "file_name": f"{i:012d}.jpg", "height": H, "width": W} for i in (1, 2)]
        annotations = [
            {"id": 10 * i, "image_id": i, "iscrowd": 0, "segmentation": run_lengths(block(0))} for i in (1, 2)
        ]
        refs = [
            {
                "ref_id": i,
                "image_id": i,
                "ann_id": 10 * i if name == "refcoco" else [10 * i],
                "split": "val",
                "sentences": [{"sent_id": i, "sent": "the bright block", "raw": "The bright block"}],
            }
            for i in (1, 2)
        ]
        self.json(f"in/{name}/instances.json", {"images": images, "annotations": annotations})
        if name == "refcoco":
            self.path("in/refcoco/refs(unc).p").write_bytes(pickle.dumps(refs, 2))
        else:
            self.json("in/grefcoco/grefs(unc).json", refs)
        for i in (1, 2):
            self.frame(f"in/train2014/{i:012d}.jpg")
        return ("--dataset", name, "--split", "val", "--root", "in")


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


@pytest.fixture
def judged(bench, tmp_path):
    """Run a command line on malformed input and return what it did, once all is seen that must be true of any.

    It ends by exit code 2 and one sentence, or 3 (``codes``); there is no traceback and nothing that steers a
    terminal; every score is 100; no file is outside of the output folder, and none that was there is changed.
    """

    def run(*args, codes=(2,)):
        before = _files(tmp_path)
        done = bench(*args)
        assert done.code in codes, (done.code, done.err, done.out)
        assert "Traceback" not in done.err and "fault of this program" not in done.err
        assert all(c.isprintable() or c in "\n\r\t" for c in done.err + done.out), ascii(done.err)
        if done.code == 2:
            # `sentence` sees to it that there is exactly one, and nothing on stdout.
            assert 20 < len(done.sentence) < 3000
            assert not any(p.name == "result.json" for p in (tmp_path / "out").rglob("*"))
        elif "--json" in args:
            assert_right(done.json)
        assert _files(tmp_path) == before
        return done

    return run


def assert_right(result):
    """Assert that all that is scored is scored 100."""
    for one in (result, *result.get("also", ())):
        assert all(value == pytest.approx(100) for value in one["metrics"].values()), one["metrics"]


def _files(folder):
    """Return path -> (size, time) of what is no output."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        # The index of a folder of runs is a cache, and is written where they are read.
        if name.parts[0] not in WRITTEN and name.name != run_index.NAME:
            state = path.lstat()
            found[str(name)] = None if path.is_dir() else (state.st_size, state.st_mtime_ns)
    return found


@pytest.fixture
def run_reader(judged):
    """Run the method ``reader`` on a dataset that may be broken."""

    def run(dataset, *more, codes=(2,)):
        return judged(
            "run", "--method", "reader", *dataset, "--no-page", "--out", "out", "--jobs", "1", "--json", "-",
            *more, codes=codes,
        )  # fmt: skip

    return run


@pytest.fixture
def score(judged):
    """Score predictions that may be broken."""

    def run(predictions, dataset, *more, codes=(2,)):
        return judged("score", predictions, *dataset, "--jobs", "1", "--json", "-", *more, codes=codes)

    return run
