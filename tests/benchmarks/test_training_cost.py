"""What keeping the frozen encoders' output saves of a training step: processor time, with and without.

pytest -m big -s tests/benchmarks/test_training_cost.py
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from refseg.bench.types import DatasetRequest
from refseg.datasets.folder import build as build_folder
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.training.augment import NONE
from refseg.methods.refsam.training.clips import Clips
from refseg.methods.refsam.training.frozen import Encoders
from refseg.methods.refsam.training.walk import clip_losses

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"


def seconds(model, encoders, clips):
    """Processor time of a step's forward and backward pass, the least of two after one that warms up."""
    times = []
    for _ in range(3):
        began = time.process_time()
        clip_losses(model, encoders, clips)["loss"].backward()
        times.append(time.process_time() - began)
    return min(times[1:])


@pytest.mark.big
@pytest.mark.parametrize(("variant", "batch"), [("refsam_tiny", 4), ("refsam_vit_b", 1)])
def test_kept_features_save_the_image_encoder(variant, batch, capsys):
    dataset = build_folder(DatasetRequest("folder", "valid", str(MINI)))
    config = replace(CONFIGS[variant], use_adapter=False, text="tiny", freeze_text=True, mlp_hidden_dim=128)
    model = build_refsam(config, build_tiny_text()).train()
    source = Clips([dataset], frames=1, augmentation=NONE, image_size=config.sam.image_size)
    clips = [source.draw(i) for i in range(batch)]
    keeping = Encoders(model, text_gib=1, frame_gib=2)
    plain, kept = seconds(model, Encoders(model), clips), seconds(model, keeping, clips)
    assert kept < plain
    held = keeping._frames
    size = held._bytes / len(held._held) / 2**20
    with capsys.disabled():
        print(
            f"\n{variant}, {batch} image(s) a step, {torch.get_num_threads()} thread(s): {plain:.2f} s without, "
            f"{kept:.2f} s with kept frames, {plain / kept:.1f} times; {size:.1f} MiB a frame"
        )
