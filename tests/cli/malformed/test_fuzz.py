"""Sound files with random changes, and any bytes at all; more of both by ``-m big``."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCRIPT = Path(__file__).with_name("fuzz.py")
spec = importlib.util.spec_from_file_location("malformed_fuzz", SCRIPT)
fuzz = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = fuzz
spec.loader.exec_module(fuzz)

FEW, MANY = 40, 4000
QUICK = [name for name in fuzz.TARGETS if name != "weights"]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "drop", "double"]),
        st.integers(0, 2**16),
        st.binary(max_size=8),
    ),
    min_size=1,
    max_size=4,
)
EASY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def changed(data, changes):
    for kind, place, more in changes:
        at = place % (len(data) + 1)
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << (place % 8))]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + more + data[at:]
        elif kind == "drop":
            data = data[:at] + data[at + len(more) :]
        elif kind == "double":
            data = data[:at] + data[at - len(more) : at] + data[at:]
    return data


def check(name, examples):
    target = fuzz.TARGETS[name]()
    for seed in target.seeds:
        target_sound(target, seed)

    @given(st.sampled_from(target.seeds), CHANGES)
    @settings(max_examples=examples, **EASY)
    def with_changes(seed, changes):
        fuzz.try_one(target, changed(seed, changes))

    @given(st.binary(max_size=200))
    @settings(max_examples=examples // 2, **EASY)
    def with_anything(data):
        fuzz.try_one(target, data)

    with_changes()
    with_anything()


def target_sound(target, seed):
    """The sound file is read, so that refusing everything is no answer (weights: by one of the two suffixes)."""
    import tempfile

    if target.check is not fuzz.weights:
        with tempfile.TemporaryDirectory() as folder:
            target.check(seed, Path(folder))


@pytest.mark.parametrize("name", QUICK)
def test_changed_files(name):
    check(name, FEW)


@pytest.mark.big
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_many_changed_files(name):
    check(name, MANY)


@pytest.mark.big
@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_atheris_finds_nothing(name, tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, str(SCRIPT), name, "-max_total_time=60", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
