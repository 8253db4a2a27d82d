"""Blocks of the fast image encoder beside segment_anything's, in processor time by turns in one run.

    pytest -m big -s tests/benchmarks/test_encoder_speed.py

At ViT-B's size: one windowed and one global block, as they are and with frozen padding of 16:9 frames; a linear
layer in bfloat16. The whole network and GPUs: ``encoder_steps.py``. Times are never asserted; that both sides
agree is.
"""

import copy
import time
from pathlib import Path

import pytest
import torch

from refseg.bench.speed.turns import by_turns, ratios, turns_table
from refseg.methods.sam.build import SAM_CONFIGS, build_image_encoder
from refseg.methods.sam.fast_block import Around, run_block

pytestmark = pytest.mark.big
CONFIG = SAM_CONFIGS["vit_b"]
GRID, PART = (64, 64), (36, 64)
BLOCKS = {"windowed": 0, "global": 2}
ROUNDS = 3


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    made = build_image_encoder(CONFIG).eval()
    with torch.no_grad():
        for name, p in made.named_parameters():
            if "rel_pos" in name:
                p.normal_(std=0.05)
    return made


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("kind", BLOCKS)
def test_block(benchmark, capsys, encoder, one_thread, kind):
    block = encoder.blocks[BLOCKS[kind]]
    x = torch.randn(1, *GRID, CONFIG.embed_dim, generator=torch.Generator().manual_seed(1))
    reach = GRID if kind == "global" else (42, 64)
    with torch.inference_mode():
        expected, (found, qkv) = block(x), run_block(block, x, grid=GRID)
        folded, _ = run_block(block, x, grid=GRID, form="folded")
        around = Around.of(qkv, PART, reach)
        sides = {
            "segment_anything": lambda: block(x),
            "bias": lambda: run_block(block, x, grid=GRID),
            "16:9, frozen padding": lambda: run_block(
                block, x[:, : PART[0]].contiguous(), grid=GRID, around=around
            ),
        }
        if kind == "global":
            sides["folded"] = lambda: run_block(block, x, grid=GRID, form="folded")
        times = by_turns(sides, ROUNDS)
        benchmark.pedantic(sides["bias"], rounds=1)
    for other in (found, folded):
        assert float((other - expected).abs().max() / expected.abs().max()) < 1e-5
    benchmark.extra_info.update({name: r[0] for name, r in ratios(times, "segment_anything").items()})
    with capsys.disabled():
        print(f"\n{kind} block of ViT-B, one thread\n{turns_table(times, 'segment_anything')}")


@pytest.mark.benchmark(timer=time.process_time)
def test_bfloat16_where_the_processor_has_no_instructions_for_it(benchmark, capsys, encoder, one_thread):
    """A linear layer on an eighth of the cells: what bfloat16 gains or costs on this processor."""
    layer = encoder.blocks[0].mlp.lin1
    half = copy.deepcopy(layer).bfloat16()
    x = torch.randn(512, CONFIG.embed_dim)
    short = x.bfloat16()
    with torch.inference_mode():
        sides = {"float32": lambda: layer(x), "bfloat16": lambda: half(short)}
        times = by_turns(sides, ROUNDS)
        benchmark.pedantic(sides["bfloat16"], rounds=1)
        assert torch.allclose(half(short).float(), layer(x), atol=0.1)
    known = {"avx512_bf16", "amx_bf16"} & set(Path("/proc/cpuinfo").read_text().split())
    with capsys.disabled():
        print(f"\na linear layer; instructions for bfloat16: {', '.join(sorted(known)) or 'none'}")
        print(turns_table(times, "float32"))
