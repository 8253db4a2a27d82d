"""RefSAM ViT-B with T5-3b at full size on real frames; the weights are made from their names."""

import resource
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from refseg.bench.predict import checked
from refseg.bench.types import DatasetRequest
from refseg.datasets.folder import build as build_folder
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.method import RefSamMethod, RefSamOptions
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import TextEncoder, build_word_tokenizer
from refseg.methods.refsam.weights import learnable_parameters

FRAMES = 2


def t5_3b(words):
    """T5-3b's encoder by its published numbers, on the meta device, over a tokenizer of words."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(d_model=1024, d_kv=128, d_ff=16384, num_layers=24, num_heads=32, vocab_size=32128)
    return TextEncoder(T5EncoderModel(config), build_word_tokenizer(words))


@pytest.mark.big
@torch.no_grad()
def test_a_vit_b_with_t5_3b_segments_real_frames(real_root, filled_large, capsys):
    dataset = build_folder(DatasetRequest("folder", "valid", str(real_root)))
    video = dataset.videos()[0]
    video = replace(video, frame_ids=video.frame_ids[:FRAMES])
    with torch.device("meta"):
        model = build_refsam(CONFIGS["refsam_vit_b"], t5_3b(["a", "dog", "running", "in", "the", "garden"]))
    model.to_empty(device="cpu")
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        tensor.copy_(filled_large(name, tuple(tensor.shape)))
    assert sum(p.numel() for ps in learnable_parameters(model).values() for p in ps) == 9_906_916
    text = sum(p.numel() for p in model.text_encoder.parameters())
    method = RefSamMethod("refsam_vit_b", model, RefSamOptions(offload_text=True), device=torch.device("cpu"))
    began, before = time.perf_counter(), time.process_time()
    method.bind(dataset)
    encoded, of_text = time.perf_counter(), time.process_time()
    found = list(checked(method, video, video.expressions))
    seconds, cpu = time.perf_counter() - encoded, time.process_time() - of_text
    assert len(found) == FRAMES and model.text_encoder is None
    for prediction in found:
        assert prediction.masks.shape == (4, 480, 854) and np.isfinite(prediction.scores).all()
        probabilities = prediction.probabilities.astype(np.float32)
        assert probabilities.std() > 0
        # Sentences and the frame before reach the masks.
        assert not np.array_equal(probabilities[0], probabilities[1])
    assert not np.array_equal(found[0].probabilities, found[1].probabilities)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(
            f"\nViT-B, T5-3b ({text / 1e9:.2f} billion parameters), float32, {torch.get_num_threads()} threads: "
            f"8 sentences in {encoded - began:.1f} s ({of_text - before:.1f} s of processor time); {FRAMES} frames "
            f"with 4 sentences in {seconds:.1f} s ({cpu:.1f} s); peak {peak:.1f} GiB"
        )
