"""One method over the first frames of one video, in a process of its own: what it took, and what its networks did.

    python full_size.py FOLDER < asked.json

``asked.json``: ``method``, ``options``, ``root`` of a dataset ``folder``, how many ``frames`` and ``sentences`` of its
first video, and whether the last sentence's truth is ``mirrored``, so that two sentences have two objects. Predictions
and what was seen of the networks go into FOLDER, the rest is printed as JSON.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from refseg.bench import registry
from refseg.bench.predict import checked
from refseg.bench.speed.clock import StageClock, synchroniser
from refseg.bench.speed.facts import forget_peak, peak_memory
from refseg.bench.stages import listening
from refseg.bench.types import DatasetRequest, MethodRequest
from refseg.datasets.folder import build as build_folder

COUNTED = {
    "sam": {"encoder": "image_encoder.neck.2"},
    "detector": {"backbone": "model.backbone.conv_encoder", "text": "model.text_backbone"},
    "sam2": {"encoder": "vision_encoder", "attention": "memory_attention", "memory": "memory_encoder"},
    "sam3": {"encoder": "detector_model.vision_encoder.network"},
    "tracker": {"encoder": "encoder"},
}
"""Parts of a method's networks whose calls are counted."""

SEEN = {"sam": ("prompt_encoder", "boxes"), "sam2": ("prompt_encoder", "input_points")}
"""The parts that are prompted, and the argument that is kept of each call where it is given."""


class Mirrored:
    """A dataset whose truth about one expression is the mirror image."""

    def __init__(self, dataset, expression_id):
        self._dataset, self._id, self.info = dataset, expression_id, dataset.info

    def ground_truth(self, video_id, expression_id):
        truth = self._dataset.ground_truth(video_id, expression_id)
        return replace(truth, masks=truth.masks[..., ::-1]) if expression_id == self._id else truth


class Watch:
    """Counts the calls of parts of networks and keeps prompts and what the detector says."""

    def __init__(self, networks):
        self.calls = Counter()
        self.seen = {}
        for name, parts in COUNTED.items():
            for label, path in parts.items() if name in networks else ():
                part = networks[name].get_submodule(path)
                part.register_forward_hook(lambda *_, key=f"{name}.{label}": self.calls.update([key]))
        for name, (path, argument) in SEEN.items():
            if name in networks:
                hook = self._keep(f"{name}.{argument}", argument)
                networks[name].get_submodule(path).register_forward_hook(hook, with_kwargs=True)
        if "detector" in networks:
            networks["detector"].register_forward_hook(self._said)

    def _keep(self, key, argument):
        def hook(part, args, kwargs, out):
            if kwargs.get(argument) is not None:
                self.seen[f"{key}.{sum(k.startswith(key) for k in self.seen)}"] = kwargs[argument].numpy()

        return hook

    def _said(self, network, args, out):
        self.seen |= {"detector.logits": out.logits.numpy(), "detector.boxes": out.pred_boxes.numpy()}


def ends(network):
    """Return name, shape and first numbers of the first and the last parameter.

    Names are those of the checkpoint, which knows nothing of SAM 3's ``Remembered`` networks.
    """
    own = [*network.named_parameters()]
    return [
        (name.replace(".network.", "."), tuple(p.shape), p.flatten()[:4].tolist())
        for name, p in (own[0], own[-1])
    ]


def main(folder, asked):
    dataset = build_folder(DatasetRequest("folder", None, asked["root"]))
    whole = dataset.videos()[0]
    said = whole.expressions[: asked["sentences"]]
    video = replace(whole, frame_ids=whole.frame_ids[: asked["frames"]], expressions=said)
    forget_peak("cpu")
    began = time.process_time()
    method = registry.build_method(MethodRequest(asked["method"], asked["options"]))
    built = time.process_time()
    networks = dict(method.modules())
    watch = Watch(networks)
    if hasattr(method, "bind"):
        method.bind(Mirrored(dataset, said[-1].id) if asked["mirrored"] else dataset)
    found, at, clock = [], [time.process_time()], StageClock(synchroniser("cpu"))
    with listening(clock):
        for prediction in checked(method, video, said):
            found.append(prediction)
            at.append(time.process_time())
    facts = {
        "building": built - began,
        "frames": np.diff(at).tolist(),
        "stages": clock.stop().processor_seconds,
        "peak_gib": peak_memory("cpu")["process_mib"] / 1024,
        "threads": torch.get_num_threads(),
        "parameters": {k: sum(p.numel() for p in n.parameters()) for k, n in networks.items()},
        "learnable": sum(p.requires_grad for n in networks.values() for p in n.parameters()),
        "ends": {k: ends(n) for k, n in networks.items()},
        "weights": dict(method.info.weights),
        "extras": found[0].extras,
        "calls": watch.calls,
    }
    stacked = {k: np.stack([getattr(p, k) for p in found]) for k in ("masks", "scores", "probabilities")}
    np.savez(folder / "found.npz", **stacked, **watch.seen)
    print(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.load(sys.stdin))
