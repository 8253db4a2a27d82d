"""What eight expressions of a video cost beside one, RefSAM with ViT-B on a real frame.

    pytest -m big -s tests/benchmarks/test_expressions_speed.py

The weights are random, and the tiny text encoder stands in for T5-3b, which reads a video's sentences once and not in
every frame. Processor time of one frame, by turns in one run.
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from refseg.bench.speed.passes import chosen_expressions, shortened
from refseg.bench.speed.turns import by_turns, ratios, turns_table
from refseg.bench.types import DatasetRequest, MethodRequest
from refseg.datasets.refdavis import build as build_davis
from refseg.methods.refsam import build
from refseg.methods.refsam import method as method_module
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
MOST = 1.5


@pytest.mark.big
@pytest.mark.benchmark(timer=time.process_time)
def test_eight_expressions_cost_little_more_than_one(benchmark, capsys, monkeypatch):
    torch.manual_seed(0)
    model = build_refsam(replace(CONFIGS["refsam_vit_b"], text="tiny"), build_tiny_text())
    monkeypatch.setattr(method_module, "_load", lambda *args: (model, {}))
    method = build(MethodRequest("refsam_vit_b", {"text": "tiny"}))
    video = shortened(build_davis(DatasetRequest("refdavis17", root=str(MINI))).videos()[0], 1)

    def frame(count):
        return lambda: list(method.segment(video, chosen_expressions(video, count)))

    sides = {"8 expressions": frame(8), "1 expression": frame(1)}
    times = by_turns(sides, 2)
    benchmark.pedantic(sides["8 expressions"], rounds=1)
    dearer = ratios(times, "8 expressions")["1 expression"][0]
    benchmark.extra_info["times_dearer"] = dearer
    with capsys.disabled():
        print(f"\n{turns_table(times, '8 expressions')}\neight cost {dearer:.2f} times one")
    assert dearer <= MOST
