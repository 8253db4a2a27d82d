"""Kernels are compiled beside a run where none are kept, by the types that scoring calls them with."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from refseg.bench.scoring import warm

KERNELS = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from refseg.bench.layouts.png_fast import decode_plain
from refseg.bench.scoring import flat, kernels, packed, warm

warm.compile_all()
assert decode_plain(open(sys.argv[1], "rb").read(), None) is not None
packed.pack_labels(np.asarray(np.eye(5, 80), np.uint8)).of(1)
for module in (flat, kernels):
    for name, kernel in vars(module).items():
        if isinstance(kernel, Dispatcher) and "no_cpython_wrapper" not in kernel.targetoptions:
            print(name, len(kernel.signatures))
"""


def test_every_kernel_is_compiled_by_the_types_that_it_is_called_with(tmp_path):
    picture = tmp_path / "filtered.png"
    Image.fromarray(np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)).save(picture)
    ran = subprocess.run([sys.executable, "-c", KERNELS, picture], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    counts = {name: int(count) for name, count in map(str.split, ran.stdout.splitlines())}
    assert {"count_pairs", "unfilter", "label_runs"} <= counts.keys() and set(counts.values()) == {1}, counts


@pytest.mark.parametrize("elsewhere", [False, True])
def test_code_of_the_last_kernel_that_is_newer_than_its_source_is_enough(tmp_path, elsewhere):
    sources, kept = tmp_path / "scoring", tmp_path / "code" if elsewhere else tmp_path / "scoring/__pycache__"
    sources.mkdir()
    (sources / "kernels.py").touch()
    named = str(kept) if elsewhere else None
    assert warm._missing(sources, named)
    code = kept / "scoring_1" / "kernels.count_pairs-1.py311.nbi"
    code.parent.mkdir(parents=True)
    code.touch()
    assert not warm._missing(sources, named)
    os.utime(code, (1, 1))
    assert warm._missing(sources, named)


def test_nothing_is_compiled_where_it_could_not_be_kept(tmp_path, monkeypatch):
    (tmp_path / "kernels.py").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert not warm._missing(tmp_path, None)


def test_what_is_still_compiling_ends_with_the_run(monkeypatch):
    started = []
    popen = subprocess.Popen

    def sleeping(command, **how):
        assert command[1:] == ["-m", warm.__name__]
        started.append(popen([sys.executable, "-c", "import time; time.sleep(600)"], **how))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", sleeping)
    monkeypatch.setattr(warm, "_missing", lambda *_: False)
    with warm.compiling_beside():
        assert not started
    monkeypatch.setattr(warm, "_missing", lambda *_: True)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), warm.compiling_beside():
        assert started[0].poll() is None
        raise KeyboardInterrupt
    assert started[0].returncode is not None and time.monotonic() - start < 600
