"""Every wrong call and every broken file is one sentence on stderr, exit 2 (3 where other videos finished)."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refseg.bench import registry
from refseg.bench.types import FramePrediction, MethodInfo

MINI = str(Path(__file__).parents[1] / "data/ref-davis-mini")
SHAPES = ("--dataset", "refshapes", "--limit", "1", "--no-page")
SMALL = ("--dataset", "refdavis17", "--root", MINI, "--limit", "1", "--no-page")


class Reader:
    """A method that reads every frame and marks the bright pixels."""

    def __init__(self, request):
        self.info = MethodInfo("reader", "1", config=dict(request.options))

    def segment(self, video, expressions):
        for i in range(len(video)):
            bright = video.read(i).mean(axis=2) > 128
            yield FramePrediction(
                i, np.stack([bright] * len(expressions)), np.ones(len(expressions), np.float32)
            )

    def modules(self):
        return {}


@pytest.fixture
def reader():
    with registry.registered("methods", "reader", Reader):
        yield


def on_davis(root, method="reader", *more):
    return (
        "run",
        "--method",
        method,
        "--dataset",
        "refdavis17",
        "--root",
        root,
        "--no-page",
        "--out",
        "out",
        *more,
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "COMMAND"),
        (["rnu"], "Unknown command 'rnu'. Did you mean 'run'"),
        (["run"], "--method"),
        (
            ["run", "--method", "refsam_tinny", *SMALL],
            "Unknown method 'refsam_tinny'. Did you mean 'refsam_tiny'",
        ),
        (
            ["run", "--method", "full", "--dataset", "refshape"],
            "Unknown dataset 'refshape'. Did you mean 'refshapes'",
        ),
        (
            ["run", "--method", "full", "--dataset", "refshapes", "--split", "vla"],
            "Unknown split of refshapes 'vla'",
        ),
        (["run", "--method", "full", *SMALL, "--set", "size=1"], "Unknown option of method full 'size'"),
        (["run", "--method", "full", *SMALL, "--set", "size"], "KEY=VALUE"),
        (["run", "--method", "full", *SMALL, "--metod", "x"], "'--metod'. Did you mean '--method'"),
        (["run", "--method", "full", *SMALL, "extra"], "takes no argument 'extra'"),
        (["run", "--method", "full", "--dataset", "refshapes", "--lim", "1"], "'--lim'"),
        (
            ["run", "--method", "full", "--dataset", "refshapes", "--limit", "0"],
            "'0' is not a whole number of at least 1",
        ),
        (["run", "--method", "full", *SMALL, "--dtype", "float23"], "Did you mean 'float32'"),
        (["run", "--method", "full", *SMALL, "--device", "cdua"], "--device cdua is no device"),
        (["run", "--method", "full", *SMALL, "--device", "cuda:99"], "--device cuda:99"),
        (["run", "--method", "full", *SMALL, "--protocol", "refshapes"], "Unknown protocol 'refshapes'"),
        (["run", "--method", "full", *SMALL, "--fresh", "--resume"], "not allowed with"),
        (["run", "--method", "full", "--dataset", "refshapes", "--root", "nowhere"], "The root nowhere"),
        (["run", "--method", "full", "--dataset", "refdavis17"], "bench data set refdavis17 DIR"),
        (["run", "--method", "full", *SHAPES, "--protocol", "refdavis/published"], "refdavis/published"),
        (["score", "nowhere", "--dataset", "refshapes"], "The predictions nowhere do not exist"),
        (["score", ".", "--dataset", "refshapes", "--on-missing", "empt"], "Did you mean 'empty'"),
        (["export", "nowhere", "--layout", "davis", "--out", "x"], "nowhere is no run"),
        (["export", ".", "--layout", "davs", "--out", "x"], "Did you mean 'davis'"),
        (["report"], "The folder runs does not exist"),
        (["report", "--runs", "."], "holds no run"),
        (["view", "nowhere"], "nowhere is no run"),
        (["list", "method"], "Unknown kind 'method'. Did you mean 'methods'"),
        (["data", "set", "refdavis17", "nowhere"], "nowhere is not a folder"),
        (["data", "set", "refdavis", "."], "Did you mean 'refdavis17'"),
        (["data", "chekc", "refshapes"], "Did you mean 'check'"),
        (["ablate", "control"], "Unknown grid 'control'. Did you mean 'controls'"),
        (["train", "--method", "refsam_tiny", "--recipe", "x"], "Unknown recipe 'x'"),
        (["params", "--method", "refsm"], "Unknown method 'refsm'"),
    ],
)
def test_wrong_call(bench, args, said):
    done = bench(*args)
    assert done.code == 2 and said in done.sentence


def test_run_folder_of_another_configuration(bench, reader, tmp_path):
    call = ("run", "--method", "reader", *SMALL, "--out", "out")
    assert bench(*call).code == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    done = bench(*call, "--set", "level=2")
    assert done.code == 2 and "another configuration (method.config.level" in done.sentence
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert bench(*call, "--set", "level=2", "--fresh").code == 0


def test_folder_of_something_else(bench, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for more in ((), ("--fresh",)):
        done = bench("run", "--method", "full", *SMALL, "--out", "out", *more)
        assert done.code == 2 and "no run folder" in done.sentence
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"videos": 3}', '{"videos": {"libby": {"frames": []}}}'])
def test_broken_metadata(bench, davis, content):
    (davis / "meta_expressions/valid/meta_expressions.json").write_text(content)
    done = bench(*on_davis(davis, "full"))
    assert done.code == 2 and "meta_expressions.json" in done.sentence


def test_root_of_something_else(bench, davis, tmp_path):
    done = bench(*on_davis(tmp_path / "davis/valid", "full"))
    assert done.code == 2 and "meta_expressions" in done.sentence
    done = bench(*on_davis(tmp_path / "davis/README.md", "full"))
    assert done.code == 2 and "is a file" in done.sentence


@pytest.mark.parametrize("fault", ["missing", "truncated", "empty", "no picture"])
def test_frame_that_cannot_be_read_costs_its_video_only(bench, reader, davis, fault):
    frame = davis / "valid/JPEGImages/libby/00001.jpg"
    whole = frame.read_bytes()
    if fault == "missing":
        frame.unlink()
    else:
        frame.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "no picture": b"hello"}[fault]
        )
    done = bench(*on_davis(davis, "reader", "--json", "-"))
    assert done.code == 3 and "Traceback" not in done.err
    (failure,) = done.json["failures"]
    assert failure["video"] == "libby" and "00001.jpg" in failure["error"] and "\n" not in failure["error"]
    assert {i["video"] for i in done.json["items"]} == {"car-shadow"}
    frame.write_bytes(whole)
    mended = bench(*on_davis(davis, "reader", "--fresh", "--json", "-"))
    assert mended.code == 0 and len(mended.json["items"]) == 8


@pytest.mark.parametrize("fault", ["size", "truncated", "missing"])
def test_truth_that_cannot_be_read_is_told_and_the_predictions_stay(bench, reader, davis, tmp_path, fault):
    truth = davis / "valid/Annotations/libby/00001.png"
    whole = truth.read_bytes()
    if fault == "size":
        with Image.open(truth) as image:
            image.resize((100, 50), Image.Resampling.NEAREST).save(truth)
    elif fault == "truncated":
        truth.write_bytes(whole[:-30])
    else:
        truth.unlink()
    done = bench(*on_davis(davis))
    assert done.code == 2 and "libby" in done.sentence and "00001" in done.sentence
    assert len(list((tmp_path / "out").glob("predictions/*/*.json"))) == 8
    truth.write_bytes(whole)
    mended = bench(*on_davis(davis, "reader", "--json", "-"))
    assert mended.code == 0 and "predicts" not in mended.err


def test_mask_of_another_size_in_others_predictions(bench, davis, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(davis / "results/osvos", masks)
    with Image.open(masks / "libby/00001.png") as image:
        image.resize((100, 50), Image.Resampling.NEAREST).save(masks / "libby/00001.png")
    done = bench("score", masks, "--dataset", "refdavis17", "--root", davis)
    assert done.code == 2 and "libby/00001.png" in done.err and "Traceback" not in done.err
    (masks / "libby/00001.png").unlink()
    done = bench("score", masks, "--dataset", "refdavis17", "--root", davis)
    assert done.code == 2 and "1 of 5 frames is missing (libby/00001.png)" in done.sentence


@pytest.mark.parametrize("write", [1, 2, 5, 10, 11])
def test_full_disk(bench, reader, davis, monkeypatch, write):
    """Record, predictions, result: wherever the disk gets full, the same command goes on after it is mended."""
    fsync, writes = os.fsync, []

    def full(file):
        writes.append(file)
        if len(writes) >= write:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = bench(*on_davis(davis))
    assert done.code == 2 and "No space is left" in done.sentence
    mended = bench(*on_davis(davis, "reader", "--json", "-"))
    assert mended.code == 0 and len(mended.json["items"]) == 8 and "annotations" in mended.json


def test_folder_that_cannot_be_made(bench, tmp_path):
    (tmp_path / "file").write_text("")
    done = bench("run", "--method", "full", *SMALL, "--out", "file/out")
    assert done.code == 2 and "file/out" in done.sentence
    done = bench("run", "--method", "full", *SMALL, "--out", "out", "--json", "file/x.json")
    assert done.code == 2 and "file/x.json cannot be written" in done.err


def test_interruption(bench):
    class Interrupted(Reader):
        def segment(self, video, expressions):
            raise KeyboardInterrupt
            yield

    with registry.registered("methods", "interrupted", Interrupted):
        done = bench("run", "--method", "interrupted", *SMALL)
    assert done.code == 130 and "the same command goes on" in done.err and "Traceback" not in done.err


def test_broken_configuration(bench, tmp_path):
    (tmp_path / "config.json").write_text("{")
    done = bench("run", "--method", "full", *SMALL)
    assert done.code == 2 and "config.json" in done.sentence


def test_damaged_record(bench, reader, tmp_path):
    assert bench("run", "--method", "reader", *SMALL, "--out", "out").code == 0
    (tmp_path / "out/run.json").write_text(json.dumps({"key": "k"})[:-3])
    for call in (("run", "--method", "reader", *SMALL, "--out", "out"), ("view", "out")):
        done = bench(*call)
        assert done.code == 2 and "run.json" in done.sentence
    assert bench("run", "--method", "reader", *SMALL, "--out", "out", "--fresh").code == 0
