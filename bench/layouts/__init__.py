"""Folders and zips of masks as other programs write and read them.

    ytvos   [Annotations/]<video>/<expression>/<frame>.png     8-bit masks, 0 and 255 (0 and 1 are read too)
    mevis   <video>/<expression>/<frame>.png                   the same; its server wants no folder above
    davis   anno_{0..3}/<video>/<frame>.png                    palette PNGs of object ids; or one such folder
    run     what ``bench run`` wrote

Each is read as a folder or as a ``.zip``.
"""

from refseg.bench.layouts.detect import LAYOUTS
from refseg.bench.layouts.export import EXPORTS, export
from refseg.bench.layouts.findings import Finding, refuse
from refseg.bench.layouts.lint import lint
from refseg.bench.layouts.opening import open_masks, open_predictions, open_source, scored_dataset
from refseg.bench.layouts.runs import RunFacts, open_run_folder, run_facts
from refseg.bench.layouts.union import UnionRun, open_runs

__all__ = [
    "EXPORTS",
    "LAYOUTS",
    "Finding",
    "RunFacts",
    "UnionRun",
    "export",
    "lint",
    "open_masks",
    "open_predictions",
    "open_run_folder",
    "open_runs",
    "open_source",
    "refuse",
    "run_facts",
    "scored_dataset",
]
