"""Does a method or a dataset keep the harness's interface? Small questions, each answered in one sentence.

``bench check-method NAME`` and ``bench check-dataset NAME`` print the answers; in a test of one's own::

    report = refseg.bench.check_method("mine")
    assert report.passed, report
"""

from refseg.bench.conformance.dataset import DATASET_CHECKS, check_dataset
from refseg.bench.conformance.method import METHOD_CHECKS, check_method
from refseg.bench.conformance.report import Check, Report

__all__ = ["DATASET_CHECKS", "METHOD_CHECKS", "Check", "Report", "check_dataset", "check_method"]
