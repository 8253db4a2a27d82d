"""The doctor on broken installations: fake packages on the path of a process of its own."""

import json
import os
import subprocess
import sys

import pytest

from refseg.bench import doctor

TORCH = """
__version__ = "9.9"
class version: cuda = None
class cuda:
    is_available = staticmethod(lambda: False)
class nn: pass
"""
MAIN = "from refseg.bench.cli import main; raise SystemExit(main())"


@pytest.fixture
def examined(tmp_path):
    """Run `bench doctor` where modules of these names have these texts; returns its JSON."""

    def run(*more, env=(), code=0, **modules):
        site = tmp_path / "site"
        site.mkdir()
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text)
        path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
        own = {
            "PYTHONPATH": path,
            "REFSEG_CONFIG": str(tmp_path / "c.json"),
            "REFSEG_CACHE": str(tmp_path / "cache"),
        }
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "doctor", *more, "--json", "-"],
            capture_output=True,
            text=True,
            env=os.environ | own | dict(env),
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
        return json.loads(done.stdout), done.stderr

    return run


def mend_of(found, what):
    (mend,) = [p["mend"] for p in found["problems"] if what in p["what"]]
    return mend


def test_a_broken_torchvision_is_named_with_its_cure(examined):
    found, text = examined(
        torch=TORCH,
        transformers="import torchvision\nclass T5EncoderModel: pass",
        torchvision="raise RuntimeError('operator torchvision::nms does not exist')",
    )
    assert "pip uninstall torchvision" in mend_of(
        found, "torchvision cannot be imported (RuntimeError: operator"
    )
    assert "broken torchvision" in mend_of(found, "transformers cannot be imported")
    assert "problem      torchvision cannot be imported" in text


def test_everything_broken_is_still_reported(examined, tmp_path):
    (tmp_path / "c.json").write_text('{"datasets": {"refdavis17": {"root": "/nowhere/davis"}}}')
    (tmp_path / "file").write_text("")
    found, _ = examined(
        "--check",
        code=2,
        env={"REFSEG_CACHE": str(tmp_path / "file/cache"), "TMPDIR": "/nowhere"},
        torch="raise ImportError('libcudart.so.12: cannot open shared object file')",
        transformers="import os; os._exit(139)",
        numba="raise SystemExit('leaves')",
        scipy="raise ModuleNotFoundError(\"No module named 'scipy'\")",
        h5py="print('noise'); raise ValueError('numpy.dtype size changed\\nin two lines')",
    )
    assert "force-reinstall torch" in mend_of(found, "torch cannot be imported (ImportError: libcudart")
    assert "mend torch" in mend_of(found, "transformers cannot be imported (the process died")
    assert mend_of(found, "numba cannot be imported (SystemExit: leaves)")
    assert mend_of(found, "scipy cannot be imported") == "pip install scipy"
    assert mend_of(found, "h5py cannot be imported (ValueError: numpy.dtype size changed in two lines)")
    assert "bench data set refdavis17 DIR" in mend_of(found, "/nowhere/davis")
    assert mend_of(found, f"cache folder {tmp_path}/file/cache") == "set $REFSEG_CACHE to another folder"
    assert found["packages"]["devices"] == {"torch_built_for": "unknown", "cuda": []}
    # What is sound is told beside.
    assert found["packages"]["imports"]["Pillow"][0].isdigit() and found["config"]["exists"]


def test_a_broken_configuration_is_a_problem_and_no_end(examined, tmp_path):
    (tmp_path / "c.json").write_text("{")
    found, _ = examined(torch=TORCH, transformers="class T5EncoderModel: pass", numba="", scipy="")
    assert mend_of(found, "c.json cannot be read") == "correct or delete the file"


def test_statements_that_hang_or_crash_cost_themselves():
    statements = [
        ("sound", "x = 1"),
        ("crash", "import os; os.abort()"),
        ("noise", "print('[1, 2]'); print('text'); print('[\"noise\", \"no\"]', end='')"),
        ("names", "x"),
        ("hang", "import time; time.sleep(3600)"),
    ]
    found = doctor.probe(statements, patience=5)
    assert found["sound"] == "" and "died" in found["crash"] and "NameError" in found["names"]
    assert "did not come to an end" in found["hang"] and [*found].count("noise") == 1


def test_extras_are_read_from_the_package(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata,
        "requires",
        lambda name: ["numpy>=1", 'ray>=2; extra == "distributed"', "x; extra == 'gpu'"],
    )
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert doctor._extras([]) == {"distributed": {"ray": ""}, "gpu": {"x": ""}}
