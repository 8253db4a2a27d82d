"""``bench regress`` as functions: what moved since a committed baseline, and how a baseline is made."""

from refseg.bench.regress.baseline import Baseline
from refseg.bench.regress.workflow import RegressRequest, regress, update

__all__ = ["Baseline", "RegressRequest", "regress", "update"]
