"""Weights that are none, are another model's, or are programs; nothing of a file is ever run."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import refseg.methods.refsam as package

ASSETS = Path(package.__file__).parent / "assets"
SOUND = next(ASSETS.glob("refsam_tiny*.safetensors"))


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def changed(change, suffix=".safetensors"):
    """A writer of the shipped weights after a change."""

    def write(path):
        state = load_file(SOUND)
        state = change(state) or state
        if suffix == ".safetensors":
            save_file(state, path)
        else:
            torch.save(state, path)

    return write, suffix


def first(state):
    return next(iter(sorted(state)))


def filled(value):
    def change(state):
        state[first(state)] = torch.full_like(state[first(state)], value)

    return change


def raw(data, suffix=".safetensors"):
    return lambda path: path.write_bytes(data() if callable(data) else data), suffix


def header(text, size=None, body=b""):
    return raw(struct.pack("<Q", len(text) if size is None else size) + text + body)


def saved(value, **options):
    return lambda path: torch.save(value, path, **options), ".pth"


def pickled(value, protocol=2):
    return raw(pickle.dumps(value, protocol), ".pth")


def zipped(**files):
    def write(path):
        with zipfile.ZipFile(path, "w") as file:
            for name, content in files.items():
                file.writestr(name.replace("__", "/"), content)

    return write, ".pth"


PROGRAM = Calls(os.system, "touch escaped")
ONE = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
CASES = {
    "safetensors: empty": raw(b""),
    "safetensors: seven bytes": raw(bytes(7)),
    "safetensors: text": raw(b"these are no weights" * 9),
    "safetensors: cut in half": raw(lambda: SOUND.read_bytes()[: SOUND.stat().st_size // 2]),
    "safetensors: a header of 2**63 bytes": header(b"{}", 2**63 - 1),
    "safetensors: a header that is no JSON": header(b"{nonsense"),
    "safetensors: a header that is a list": header(b"[]"),
    "safetensors: an unknown dtype": header(ONE.replace(b"F32", b"Z99"), body=bytes(8)),
    "safetensors: a place beyond the end": header(ONE, body=bytes(4)),
    "safetensors: another shape than its bytes": header(ONE.replace(b"[2]", b"[3]"), body=bytes(8)),
    "safetensors: a negative shape": header(ONE.replace(b"[2]", b"[-2]"), body=bytes(8)),
    "safetensors: a shape of 2**62": header(ONE.replace(b"[2]", b"[4611686018427387904]"), body=bytes(8)),
    "safetensors: no tensor": header(b"{}"),
    "safetensors: others' names": header(ONE, body=bytes(8)),
    "safetensors: options that are no JSON": (
        lambda path: save_file(load_file(SOUND), path, {"config": "{", "format": "refsam/1"}),
        ".safetensors",
    ),
    "safetensors: options that are a list": (
        lambda path: save_file(load_file(SOUND), path, {"config": "[1]", "format": "refsam/1"}),
        ".safetensors",
    ),
    "a name is missing": changed(lambda s: s.pop(first(s)) is None or None),
    "a name too many": changed(lambda s: s.update({"escaped": torch.zeros(3)})),
    "another shape": changed(lambda s: s.update({first(s): torch.zeros(3, 5, 7)})),
    "no dimension": changed(lambda s: s.update({first(s): torch.zeros(())})),
    "turned": changed(lambda s: s.update({k: v.T.contiguous() for k, v in s.items() if v.ndim == 2})),
    "whole numbers": changed(lambda s: s.update({first(s): s[first(s)].to(torch.int32)})),
    "complex numbers": changed(lambda s: s.update({first(s): s[first(s)].to(torch.complex64)}), ".pth"),
    "NaN": changed(filled(float("nan"))),
    "infinite": changed(filled(float("inf"))),
    "pth: empty": raw(b"", ".pth"),
    "pth: text": raw(b"no weights", ".pth"),
    "pth: a list": saved([torch.zeros(3)]),
    "pth: a tensor": saved(torch.zeros(3)),
    "pth: a number": saved(7),
    "pth: names that are numbers": saved({1: torch.zeros(3)}),
    "pth: values that are lists": saved({"x": [1.0, 2.0]}),
    "pth: a nested table": saved({"model": {"model": {"x": torch.zeros(2)}}}),
    "pth: a sparse tensor": saved({"x": torch.eye(3).to_sparse()}),
    "pth: a tensor on a GPU": raw(lambda: b"\x80\x02}q\x00.", ".pth"),
    "pth: a program": pickled(PROGRAM),
    "pth: a program among tensors": saved({"x": torch.zeros(2), "y": PROGRAM}),
    "pth: a program in the old format": saved({"x": PROGRAM}, _use_new_zipfile_serialization=False),
    "pth: eval": pickled({"x": Calls(eval, "open('escaped', 'w')")}),
    "pth: a program of protocol 4": pickled({"x": PROGRAM}, 4),
    "pth: an array of objects": pickled({"x": np.array([PROGRAM], dtype=object)}),
    "pth: a whole module": saved(torch.nn.Linear(2, 2)),
    "pth: a zip without data": zipped(readme="x"),
    "pth: a zip with a program": zipped(archive__data__pkl=pickle.dumps(PROGRAM), archive__version="3"),
    "pth: TorchScript": zipped(
        archive__constants__pkl=b"", archive__code__x=b"def f(): pass", archive__version="3"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_weights(judged, tmp_path, name):
    write, suffix = CASES[name]
    path = tmp_path / f"weights{suffix}"
    write(path)
    done = judged(
        "run", "--method", "refsam_tiny", "--dataset", "refshapes", "--limit", "1", "--set", f"checkpoint={path}",
        "--dry-run", "--json", "-",
    )  # fmt: skip
    assert "weights" in done.sentence
    assert not (tmp_path / "escaped").exists()


def test_the_program_does_run_where_it_is_loaded_without_care(tmp_path):
    path = tmp_path / "weights.pth"
    CASES["pth: a program"][0](path)
    pickle.loads(path.read_bytes())
    assert (tmp_path / "escaped").exists()
