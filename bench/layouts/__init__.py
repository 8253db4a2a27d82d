"""Folders and zips of masks as other programs write and read them.

    ytvos   [Annotations/]<video>/<expression>/<frame>.png     8-bit masks, 0 and 255 (0 and 1 are read too)
    davis   anno_{0..3}/<video>/<frame>.png                    palette PNGs of object ids; or one such folder
    run     what ``bench run`` wrote

Each is read as a folder or as a ``.zip``.
"""

from refseg.bench.layouts.detect import LAYOUTS
from refseg.bench.layouts.export import EXPORTS, export
from refseg.bench.layouts.lint import Finding, lint, refuse
from refseg.bench.layouts.opening import open_predictions, open_run_folder, scored_dataset

__all__ = [
    "EXPORTS",
    "LAYOUTS",
    "Finding",
    "export",
    "lint",
    "open_predictions",
    "open_run_folder",
    "refuse",
    "scored_dataset",
]
