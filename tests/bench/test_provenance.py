import json
from dataclasses import replace

import pytest

from refseg.bench.provenance import differences, environment, key_parts, run_key
from refseg.bench.types import DatasetInfo, MethodInfo

METHOD = MethodInfo("oracle", "1", config={"level": 1, "folder": "/data/a/x"}, weights={"w.pth": "abc"})
DATASET = DatasetInfo("refshapes", "1", "val", ("p",), fingerprint="f")


def key(method=METHOD, dataset=DATASET, device="cpu", dtype="float32", options=None):
    return run_key(key_parts(method, dataset, device=device, dtype=dtype, dataset_options=options or {}))


def test_key_is_the_same_for_the_same_and_for_what_does_not_change_predictions():
    assert key() == key()
    assert key(device="cuda:0") == key(device="cuda:1")
    with_file = replace(METHOD, config={"checkpoint": "/a/w.pth"})
    # Weights have a hash of their own, so the folder that they lie in does not matter.
    assert key(with_file) == key(replace(METHOD, config={"checkpoint": "/b/w.pth"}))


@pytest.mark.parametrize(
    "change",
    [
        {"method": replace(METHOD, revision="2")},
        {"method": replace(METHOD, name="empty")},
        {"method": replace(METHOD, config={"level": 2, "folder": "/data/a/x"})},
        {"method": replace(METHOD, config={"level": 1, "folder": "/data/b/x"})},
        {"method": replace(METHOD, weights={"w.pth": "abd"})},
        {"dataset": replace(DATASET, version="2")},
        {"dataset": replace(DATASET, split="test")},
        {"dataset": replace(DATASET, fingerprint="g")},
        {"device": "cuda"},
        {"dtype": "float16"},
        {"options": {"a": "1"}},
    ],
)
def test_whatever_changes_predictions_changes_the_key(change):
    assert key(**change) != key()


def test_differences_are_told_by_name():
    old, new = {"a": {"b": 1, "c": "x"}, "d": 1}, {"a": {"b": 2, "c": "x"}, "e": 3}
    assert differences(old, new) == ["a.b: 1 there, 2 now", "d: 1 there, null now", "e: null there, 3 now"]


def test_record_tells_of_no_person_or_place(tmp_path, monkeypatch):
    monkeypatch.setenv("USER", "someone-s-name")
    parts = key_parts(
        METHOD, DATASET, device="cpu", dtype="float32", dataset_options={"f": str(tmp_path / "x")}
    )
    text = json.dumps([parts, environment("cpu")])
    assert "someone-s-name" not in text and str(tmp_path) not in text and "/data/a" not in text
