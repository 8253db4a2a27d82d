"""Each step of the fast image encoder as a ratio to segment_anything's float32 forward, in one run.

    python tests/benchmarks/encoder_steps.py --size vit_b --threads 1 --rounds 3
    python tests/benchmarks/encoder_steps.py --size vit_h --device cuda --dtypes float32,bfloat16 --batches 1,4,8

Weights are random, relative and absolute positions among them. Every side's largest difference from the baseline is
printed, relative to the largest value. On a GPU the share of the card's own bfloat16 matrix products is printed too.
"""

import argparse
import copy
import statistics
import time

import torch

from refseg.bench.speed.turns import by_turns, turns_table
from refseg.methods.sam.build import SAM_CONFIGS, build_image_encoder
from refseg.methods.sam.fast_encoder import EncoderOptions, FastEncoder
from refseg.methods.sam.flops import encoder_flops

CONTENT = (9, 16)
"""Height to width of most videos."""


def random_encoder(config, device):
    torch.manual_seed(0)
    encoder = build_image_encoder(config).eval()
    with torch.no_grad():
        for name, p in encoder.named_parameters():
            if "pos" in name:
                p.normal_(std=0.05)
    return encoder.to(device)


def sides_of(encoder, pixels, content, dtypes, batch, compiled):
    """Return ``{name: call}``, the baseline first; each call encodes ``batch`` times one image's worth."""
    wide = pixels.clone()
    wide[:, :, content[0] :] = 0
    whole, cut = pixels.expand(batch, -1, -1, -1), wide.expand(batch, -1, -1, -1)

    @torch.inference_mode()
    def official():
        return encoder(whole)

    sides = {"segment_anything float32": official}
    for dtype in dtypes:
        kind = getattr(torch, dtype)
        network = encoder if kind == torch.float32 else copy.deepcopy(encoder).to(kind)
        forms = {"bias": FastEncoder(network, form="bias"), "folded": FastEncoder(network, form="folded")}
        frozen = EncoderOptions(padding="frozen")
        sides |= {
            f"{dtype} bias": call(forms["bias"], whole.to(kind)),
            f"{dtype} folded": call(forms["folded"], whole.to(kind)),
            f"{dtype} 16:9, exact": call(FastEncoder(network), cut.to(kind), content),
            f"{dtype} 16:9, frozen padding": call(
                FastEncoder(network, options=frozen), cut.to(kind), content
            ),
        }
        if compiled:
            options = EncoderOptions(compile=True)
            sides[f"{dtype} compiled"] = call(FastEncoder(network, options=options), whole.to(kind))
    return sides


def call(fast, images, content=None):
    return lambda: fast(images, content)[0]


def matmul_rate(device):
    """Return the card's measured bfloat16 operations a second on square matrices."""
    a = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(5):
            a @ a
        torch.cuda.synchronize()
        seconds.append((time.perf_counter() - start) / 5)
    return 2 * 8192**3 / statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=[*SAM_CONFIGS], default="vit_b")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="float32")
    parser.add_argument("--batches", default="1")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", default="", help="only those whose names hold one of these words")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = SAM_CONFIGS[args.size]
    encoder = random_encoder(config, args.device)
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randn(1, 3, config.image_size, config.image_size, generator=generator).to(args.device)
    content = (config.image_size * CONTENT[0] // CONTENT[1], config.image_size)
    gpu = args.device.startswith("cuda")
    synchronise = torch.cuda.synchronize if gpu else (lambda: None)
    for batch in map(int, args.batches.split(",")):
        sides = sides_of(encoder, pixels, content, args.dtypes.split(","), batch, args.compile)
        baseline = next(iter(sides))
        sides = {
            n: s for n, s in sides.items() if n == baseline or any(w in n for w in args.sides.split(","))
        }
        expected = sides[baseline]()
        print(f"{args.size}, batch {batch}, {args.device}, {args.threads} threads, {args.rounds} rounds")
        for name, side in sides.items():
            if name == baseline:
                continue
            if "16:9" not in name:
                start = time.perf_counter()
                off = ((side().float() - expected).abs().max() / expected.abs().max()).item()
                synchronise()
                print(f"{name:36} differs by {off:.1e}; first call {time.perf_counter() - start:.1f} s")
            else:
                side()  # the first call computes what is kept
        found = by_turns(sides, args.rounds, synchronise=synchronise, warm_up=False)
        print(turns_table(found, baseline), flush=True)
        if gpu:
            peak, work = matmul_rate(args.device), encoder_flops(config) * batch
            for name, times in found.items():
                print(f"{name:36} {work / statistics.median(times['wall']) / peak:.0%} of the matmul rate")


if __name__ == "__main__":
    main()
