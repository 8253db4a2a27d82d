"""Makes the small cases in this folder with the official code.

    PYTHONPATH=AOT_BENCHMARK:src python tests/data/golden/deaot/make.py FRAMES.npz tests/data/golden/deaot

AOT_BENCHMARK is a checkout of yoxu515/aot-benchmark; ``frames`` in FRAMES.npz is (T, H, W, 3) uint8, T at least 4.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from fill import fill_
from networks.engines import build_engine
from networks.engines.deaot_engine import DeAOTEngine
from networks.layers import transformer
from networks.layers.attention import MultiheadLocalAttentionV2
from networks.models import build_vos_model

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
NO_DROPOUT = ("EMB_DROPOUT", "ID_DROPOUT", "DROPPATH", "LT_DROPOUT", "ST_DROPOUT")

# What AOT takes where the compiled correlation is missing adds tensors of unlike shapes; this one also does without.
transformer.MultiheadLocalAttentionV3 = MultiheadLocalAttentionV2

CASES = {
    "aots_2obj_gap2": {"model": "aots", "objects": 2, "gap": 2},
    "swinb_deaotl_2obj_gap2": {"model": "swinb_deaotl", "objects": 2, "gap": 2},
    "deaots_12obj_gap1_skip2_sharp4": {"model": "deaots", "objects": 12, "gap": 1, "skip": 2, "sharp": True},
    "deaott_addref": {"model": "deaott", "objects": 1, "added": 3, "gap": 2},
    "deaott_addref_second_engine": {"model": "deaott", "objects": 10, "added": 12, "gap": 1},
}


def boxes(count, height, width):
    """Labels of ``count`` boxes side by side."""
    labels = np.zeros((height, width), np.uint8)
    step = width // count
    for k in range(count):
        labels[8 + k : height - 12, k * step + 2 : (k + 1) * step - 1] = k + 1
    return labels


def network(name):
    config = importlib.import_module(f"configs.models.{name}").ModelConfig()
    for key in NO_DROPOUT:
        setattr(config, f"TRAIN_LSTT_{key}", 0.0)
    config.TRAIN_LSTT_DROPPATH_LST = config.TRAIN_LSTT_DROPPATH_SCALING = False
    config.TRAIN_ENCODER_FREEZE_AT = 2
    return fill_(build_vos_model(config.MODEL_VOS, config)).eval(), config


def tensor(frame):
    x = (frame / 255 - MEAN) / STD
    return torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32))


def as_mask(labels):
    return torch.from_numpy(labels)[None, None].float()


@torch.no_grad()
def run(frames, *, model, objects, gap, skip=1, added=None, sharp=False):
    net, config = network(model)
    for layer in net.LSTT.layers if sharp else ():
        layer.linear_QV.weight[:128] *= 4  # or the attention of random weights is all but uniform
    if not config.MODEL_ALIGN_CORNERS:
        frames = frames[:, :64, :256]
    engine = build_engine(
        config.MODEL_ENGINE,
        phase="eval",
        aot_model=net,
        gpu_id=None,
        long_term_mem_gap=gap,
        short_term_mem_skip=skip,
    ).eval()
    labels, used = boxes(added or objects, *frames.shape[1:3]), objects
    first = np.where(labels <= used, labels, 0)
    engine.add_reference_frame(tensor(frames[0]), as_mask(first), obj_nums=[used], frame_step=0)
    out = {"labels": labels}
    for t in range(1, len(frames)):
        engine.match_propogate_one_frame(tensor(frames[t]))
        engine.decode_current_logits()
        for e, part in enumerate(engine.aot_engines):
            out[f"logits.{t}.{e}"] = part.pred_id_logits[0, : part.obj_nums[0] + 1, ::2, ::2].numpy()
        out[f"logits.{t}"] = engine.decode_current_logits(frames.shape[1:3])[0, : used + 1, ::8, ::8].numpy()
        known = np.roll(labels, 6 * t, 1)
        if t == 2 and added:
            grow(engine, net, tensor(frames[t]), known, added, gap, skip)
            used = added
        else:
            engine.update_memory(as_mask(np.where(known <= used, known, 0)))
    return out


def grow(engine, net, frame, labels, objects, gap, skip):
    """Bring new objects in: engines that get none remember the frame, the others take it as a reference."""
    before = [part.obj_nums[0] for part in engine.aot_engines]
    engine.obj_nums = objects
    while len(engine.aot_engines) * 10 < objects:
        engine.aot_engines.append(DeAOTEngine(net, None, gap, skip).eval())
    masks, counts = engine.separate_mask(as_mask(labels), objects)
    for e, (part, mask, count) in enumerate(
        zip(engine.aot_engines, masks, np.atleast_1d(counts), strict=True)
    ):
        if e < len(before) and before[e] == count:
            part.update_short_term_memory(mask)
        else:
            part.add_reference_frame(frame, mask, obj_nums=[int(count)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    frames = np.load(sys.argv[1])["frames"][:4, 60:125, 16:273]  # 5x17 tokens: wider than the window
    out = Path(sys.argv[2])
    np.savez_compressed(out / "frames.npz", frames=frames)
    for name, case in CASES.items():
        np.savez_compressed(out / f"{name}.npz", config=json.dumps(case), **run(frames, **case))
        print(name)
