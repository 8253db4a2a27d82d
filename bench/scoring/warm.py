"""Compiles the scoring kernels in a process of its own, beside a first run's loading and predicting.

Once an installation they take many seconds to compile, while one core of a first run is idle.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def compiling_beside() -> Iterator[None]:
    """Compile the kernels during a ``with`` block where no machine code of them is kept; ends with the block."""
    if not _missing(Path(__file__).parent, os.environ.get("NUMBA_CACHE_DIR")):
        yield
        return
    silent = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=silent, stdout=silent, stderr=silent)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _missing(sources: Path, elsewhere: str | None) -> bool:
    """Say whether numba would keep machine code and has none of the last kernel that :func:`compile_all` compiles.

    Args:
        sources: The folder of the kernels' files; numba keeps code in its ``__pycache__``.
        elsewhere: Where numba keeps it instead, in a folder of its own making.
    """
    kept = Path(elsewhere) if elsewhere else sources / "__pycache__"
    if not os.access(kept if kept.exists() else kept.parent, os.W_OK):
        return False
    changed = max(
        p.stat().st_mtime for p in sources.glob("*.py") if p.stem in ("kernels", "flat", "compiled")
    )
    return all(p.stat().st_mtime < changed for p in kept.rglob("kernels.count_pairs-*.nbi"))


def compile_all() -> None:
    """Call every kernel as scoring calls it."""
    import numpy as np
    from pycocotools import mask as coco

    from refseg.bench.scoring import flat, packed

    labels = np.zeros((9, 70), np.uint8)
    labels[2:5, 10:20], labels[5:8, 30:68] = 1, 2
    packed.present_values(labels)
    layers = packed.pack_labels(labels)
    code = coco.encode(np.asfortranarray(labels == 2).view(np.uint8))["counts"]
    one = packed.stack([packed.pack_mask(labels == 1), packed.pack_rle(code, labels.shape)], labels.shape)
    layers.without(one).of(1, 2).unpacked(0)
    # A file's bytes cannot be written into, which is another type to the compiler.
    flat.unfilter(np.frombuffer(bytes(labels.size), np.uint8).reshape(labels.shape))
    packed.count_pairs(layers, one, np.array([[0, 0], [1, 1]]), 1)


if __name__ == "__main__":
    compile_all()
