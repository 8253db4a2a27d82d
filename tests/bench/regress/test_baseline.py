"""Baselines: what is written is read again, readable in a diff, and nothing else is taken for one."""

import json
from dataclasses import replace

import pytest

from refseg.bench.errors import InputError
from refseg.bench.regress.baseline import Baseline, Entry, label_of, read_baseline, rounded, write_baseline

NAME = "refshapes/per_expression"


def items(videos=3, each=2, score=50.123456):
    return rounded(
        [
            {
                "video": f"v{i}",
                "expression": str(k),
                "J&F": score + i,
                "J": score,
                "F": score + 2 * i,
                "frames": 4,
            }
            for i in range(videos)
            for k in range(each)
        ]
    )


@pytest.fixture
def baseline():
    entry = Entry(
        "some_tiny",
        {"seed": "1"},
        facts={"revision": "1", "config": {"deep": {"er": 1}}, "weights": {"a.safetensors": "0" * 64}},
        parameters={"net": (6, 8), "all": (6, 8)},
        protocols={NAME: items()},
        failures=("v9",),
        speed=(1.5, 1.25),
    )
    data = {"name": "refshapes", "split": "val", "version": "1", "fingerprint": "f", "videos": 3}
    code = {"revision": "abc", "sources_sha256": "d"}
    label = label_of(entry.method, entry.options)
    return Baseline(
        "because", "now", code, {"cpu": "c"}, "reference-1", data, {"read": (2.0,)}, {label: entry}
    )


def test_what_is_written_is_read_again(baseline, tmp_path):
    write_baseline(tmp_path / "b.json", baseline)
    found = read_baseline(tmp_path / "b.json")
    assert found == baseline and list(found.methods) == ["some_tiny --set seed=1"]
    write_baseline(tmp_path / "again.json", found)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_diff_shows_the_video_that_moved(baseline, tmp_path):
    write_baseline(tmp_path / "b.json", baseline)
    ((label, entry),) = baseline.methods.items()
    moved = [dict(i) for i in entry.protocols[NAME]]
    moved[2]["J"] = 60.0
    changed = replace(entry, protocols={NAME: moved})
    write_baseline(tmp_path / "c.json", replace(baseline, methods={label: changed}))
    old, new = ((tmp_path / f"{n}.json").read_text().splitlines() for n in "bc")
    lines = [b.strip() for a, b in zip(old, new, strict=True) if a != b]
    assert [line.partition(":")[0] for line in lines] == ['"J"', '"v1"']


def test_no_time_and_no_path_stands_in_it(baseline, tmp_path):
    write_baseline(tmp_path / "b.json", baseline)
    text = (tmp_path / "b.json").read_text()
    assert str(tmp_path) not in text and "seconds" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("dataset"), "is damaged .KeyError"),
        (lambda c: c["dataset"].update(videos=0), "is damaged .*0 videos"),
        (lambda c: c["stages"].update(read=[0.0]), "is damaged .*a time is not positive"),
        (lambda c: c.update(format="refseg-baseline-9"), "is no baseline of the form refseg-baseline-1"),
        (lambda c: c["methods"].update(x={}), "is damaged"),
        (lambda c: next(iter(c["methods"].values()))["protocols"][NAME]["columns"].pop(), "is damaged"),
    ],
)
def test_what_is_no_baseline_is_refused(baseline, tmp_path, change, message):
    path = tmp_path / "b.json"
    write_baseline(path, baseline)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_baseline(path)


def test_what_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"does not exist; `bench regress .*--update --reason"):
        read_baseline(tmp_path / "none.json")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_baseline(tmp_path / "b.json")
