"""REFER's references as pickles that are none, are not whole, hold the wrong things, or are programs."""

import datetime
import os
import pickle
import subprocess
import threading
from collections import OrderedDict
from pathlib import PurePosixPath

import numpy as np
import pytest


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def refs(**changes):
    ref = {
        "ref_id": 1,
        "image_id": 1,
        "ann_id": 10,
        "split": "val",
        "sentences": [{"sent_id": 1, "sent": "the bright block", "raw": "The bright block"}],
    }
    return [{k: v for k, v in (ref | changes).items() if v is not ...}]


SOUND = pickle.dumps(refs(), 2)
PROGRAMS = {
    "a shell command": Calls(os.system, "touch escaped"),
    "a process": Calls(subprocess.check_output, ["touch", "escaped"]),
    "a folder": Calls(os.mkdir, "escaped"),
    "a file": Calls(open, "escaped", "w"),
    "eval": Calls(eval, "open('escaped', 'w')"),
    "exec": Calls(exec, "open('escaped', 'w')"),
    "an import": Calls(__import__, "antigravity"),
    "a thread": Calls(threading.Thread, None),
    "an endless loop": Calls(max, range(10**12)),
    "a large allocation": Calls(bytes, 10**12),
    "an array of numpy": np.arange(3),
    "an array of objects": np.array([{}], dtype=object),
    "a date": datetime.date(2014, 1, 1),
    "a path": PurePosixPath("/etc/passwd"),
    "an ordered dict": OrderedDict(a=1),
    "a set": {1},
    "an exception": ValueError("x"),
}

CASES = {
    **{f"{name} (protocol {p})": pickle.dumps([v], p) for name, v in PROGRAMS.items() for p in (0, 2, 4)},
    "empty": b"",
    "the end alone": b".",
    "text": b"refs",
    "JSON": b'[{"ref_id": 1}]',
    "cut in half": SOUND[: len(SOUND) // 2],
    "without its end": SOUND[:-1],
    "a protocol of the future": b"\x80\x63" + SOUND[2:],
    "nothing on the stack": b"\x80\x02e.",
    "a string that is longer than the file": b"\x80\x02T\xff\xff\xff\x7fx.",
    "a negative length": b"\x80\x02T\xff\xff\xff\xffx.",
    "a frame of 2**63 bytes": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].",
    "a place of the memo that is empty": b"\x80\x02h\x07.",
    "a persistent id": b"\x80\x02U\x01xQ.",
    "an extension code": b"\x80\x02\x82\x01.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "lists nested 100,000 deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "a key that is a list": b"\x80\x02}]K\x01s.",
    "a number of 20,000 digits": b"L" + b"9" * 20_000 + b"L\n.",
    "a dict": pickle.dumps({"refs": refs()}, 2),
    "nothing": pickle.dumps([], 2),
    "None": pickle.dumps(None, 2),
    "no reference": pickle.dumps([1, 2], 2),
    "no split": pickle.dumps(refs(split=...), 2),
    "no image": pickle.dumps(refs(image_id=...), 2),
    "an unknown image": pickle.dumps(refs(image_id=99), 2),
    "an image that is a list": pickle.dumps(refs(image_id=[1]), 2),
    "an unknown annotation": pickle.dumps(refs(ann_id=99), 2),
    "another image's annotation": pickle.dumps(refs(ann_id=20), 2),
    "an annotation that is NaN": pickle.dumps(refs(ann_id=float("nan")), 2),
    "sentences are a string": pickle.dumps(refs(sentences="the bright block"), 2),
    "a sentence is a string": pickle.dumps(refs(sentences=["the bright block"]), 2),
    "a sentence is bytes": pickle.dumps(refs(sentences=[{"sent_id": 1, "sent": b"x", "raw": "x"}]), 4),
    "a sentence is half a character": pickle.dumps(
        refs(sentences=[{"sent_id": 1, "sent": "\ud800", "raw": "x"}]), 2
    ),
    "a sentence twice": pickle.dumps(refs() * 2, 2),
    "no sentence": pickle.dumps(refs(sentences=[]), 2),
    "another split only": pickle.dumps(refs(split="testA"), 2),
    "a split with a path": pickle.dumps(refs(split="../../escaped"), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_references(scene, run_reader, tmp_path, name):
    dataset = scene.refer()
    scene.path("in/refcoco/refs(unc).p").write_bytes(CASES[name])
    run_reader(dataset, codes=(0,) if name == "no sentence" else (2,))
    assert not (tmp_path / "escaped").exists()
