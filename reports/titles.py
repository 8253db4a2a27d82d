"""How datasets and runs are called in tables and figures."""

from __future__ import annotations

from collections.abc import Mapping

from refseg.reports.measured import Measured

_DATASETS: Mapping[str, str] = {
    "refdavis17": "Ref-DAVIS17",
    "refytvos": "Refer-Youtube-VOS",
    "refcoco": "RefCOCO",
    "refcoco+": "RefCOCO+",
    "refcocog": "G-Ref",
    "refshapes": "RefShapes",
    "mevis": "MeViS",
}


def dataset_title(name: str) -> str:
    """Return a dataset's name as the paper prints it, else the registered one."""
    return _DATASETS.get(name, name)


def run_label(m: Measured) -> str:
    """Return the method's name, and what a reader must know of it."""
    return f"{m.id} (told the truth)" if m.uses_truth else m.id
