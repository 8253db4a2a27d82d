"""Every real configuration of the baselines once at full size over two real frames; weights are made from their names.

What the masks are means nothing. Each case builds its method through the registry from files as they are published, in
a process of its own (``full_size.py``), whose processor time and peak memory are printed.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from refseg.bench.fetch import file_sha256
from refseg.methods.boxes import tight_box
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.grounding_dino.convert import configuration
from refseg.methods.sam.build import SAM_CONFIGS, build_sam
from refseg.methods.sam2.load import configuration as sam2_configuration

pytestmark = pytest.mark.big

MINI = Path(__file__).parents[1] / "data/ref-davis-mini"
SIZE, FRAMES, SENTENCES = (480, 854), 2, 2
VIT_H = 641_090_608
"""Parameters of SAM ViT-H."""
TINY = 5_000_000
"""Networks with fewer parameters are shipped with their own weights."""
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "a", "dog", "running", "in", "the", "garden")
NUMBERS = (0, 100, 101, 102, 103, 1012, 1029, 1037, 3899, 2770, 1999, 1996, 3871)
"""Words of the sentences, and their numbers in bert-base-uncased's vocabulary of 30,522."""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, filled_large):
    """``checkpoints(kind, name)``: the path of a checkpoint's file or folder, made when it is first asked for."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(kind, name):
        path = folder / f"{kind}_{name}"
        if kind in ("sam", "deaot"):
            path = path.with_suffix(".pth")
        if not path.exists():
            MAKERS[kind](name, filled_large, path)
        return path

    yield make
    shutil.rmtree(folder)


def write_sam(size, filled, path):
    """A plain state dict, as segment_anything publishes it."""
    with torch.device("meta"):
        state = build_sam(SAM_CONFIGS[size]).state_dict()
    torch.save({k: filled(k, tuple(v.shape)) for k, v in state.items()}, path)


def write_deaot(size, filled, path):
    """A state dict with ``module.`` before the names and the optimiser beside it, as aot-benchmark writes it."""
    state = build_deaot(DEAOT_CONFIGS[size]).state_dict()
    made = {
        f"module.{k}": filled(k, tuple(v.shape)) if v.is_floating_point() else v for k, v in state.items()
    }
    torch.save({"state_dict": made, "optimizer": {"state": {}, "param_groups": []}}, path)


def write_transformers(model, filled, path):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(filled(name, tuple(parameter.shape)))
    model.save_pretrained(path)


def write_dino(size, filled, path):
    """A folder with weights, configuration and tokenizer, as ``IDEA-Research/grounding-dino-tiny`` on the hub."""
    from transformers import BertTokenizerFast, GroundingDinoForObjectDetection

    write_transformers(GroundingDinoForObjectDetection(configuration(size)), filled, path)
    lines = [f"[unused{i}]" for i in range(30522)]
    for number, word in zip(NUMBERS, WORDS, strict=True):
        lines[number] = word
    (path / "vocab.txt").write_text("\n".join(lines))
    BertTokenizerFast.from_pretrained(path).save_pretrained(path)


def write_sam2(size, filled, path):
    """A folder with weights and configuration, as ``facebook/sam2.1-hiera-large`` on the hub."""
    from transformers import Sam2VideoModel

    def seen(name, shape):
        """Made-up weights may say that an object is out of sight, which has no mask; here all are seen."""
        return (
            torch.full(shape, 100.0)
            if name == "mask_decoder.pred_obj_score_head.proj_out.bias"
            else filled(name, shape)
        )

    write_transformers(Sam2VideoModel(sam2_configuration(size)), seen, path)


def write_sam3(size, filled, path):
    """A folder with weights, configuration and tokenizer, as ``facebook/sam3`` on the hub; a word is a letter here."""
    from transformers import CLIPTokenizer, Sam3VideoConfig, Sam3VideoModel

    write_transformers(Sam3VideoModel(Sam3VideoConfig()), filled, path)
    letters = [chr(c) for c in range(33, 127)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[]).save_pretrained(path)


MAKERS = {
    "sam": write_sam,
    "deaot": write_deaot,
    "dino": write_dino,
    "sam2": write_sam2,
    "sam3": write_sam3,
}


@pytest.fixture
def ran(tmp_path, nothing_configured, capsys, filled_large):
    """Run a method in a process of its own, and tell what it took and what it predicted."""

    def run(method, *, mirrored=False, **options):
        asked = {
            "method": method,
            "options": {k: str(v) for k, v in options.items()},
            "root": str(MINI),
            "frames": FRAMES,
            "sentences": SENTENCES,
            "mirrored": mirrored,
        }
        script = Path(__file__).with_name("full_size.py")
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        facts = SimpleNamespace(**json.loads(done.stdout))
        with np.load(tmp_path / "found.npz") as file:
            facts.seen = dict(file)
        tell(method, options, facts, capsys)
        check(facts, filled_large)
        return facts

    return run


def tell(method, options, facts, capsys):
    """Print what a case took in one line."""
    sizes = ", ".join(f"{name} {count / 1e6:.1f}" for name, count in facts.parameters.items())
    frames = " + ".join(f"{seconds:.1f}" for seconds in facts.frames)
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in facts.stages.items())
    with capsys.disabled():
        print(
            f"\n{method} {options.get('tracker', '')} ({sizes} million parameters), {facts.threads} threads, "
            f"{SENTENCES} sentences, processor time: building {facts.building:.1f} s, frames {frames} s "
            f"({stages}); peak {facts.peak_gib:.1f} GiB"
        )


def check(facts, filled):
    """What holds for every method: kinds, shapes, finite numbers, and that the weights are the files'."""
    seen = facts.seen
    assert seen["masks"].shape == seen["probabilities"].shape == (FRAMES, SENTENCES, *SIZE)
    assert seen["masks"].dtype == bool and np.isfinite(seen["scores"]).all()
    assert ((seen["probabilities"] >= 0) & (seen["probabilities"] <= 1)).all()
    assert facts.learnable == 0
    for name, ends in facts.ends.items():
        for parameter, shape, numbers in ends if facts.parameters[name] > TINY else ():
            assert numbers == filled(parameter, tuple(shape)).flatten()[:4].tolist()


def check_boxes(facts):
    """The image is seen once, and the reported box is the one of the highest score of the 900."""
    logits, boxes = (torch.from_numpy(facts.seen[f"detector.{k}"]) for k in ("logits", "boxes"))
    assert logits.shape[:2] == boxes.shape[:2] == (SENTENCES, 900)
    assert facts.calls["detector.backbone"] == facts.calls["detector.text"] == 1
    assert not torch.equal(logits[0], logits[1])
    found = []
    for said, box, extras in zip(logits.sigmoid().amax(2), boxes, facts.extras, strict=True):
        cx, cy, w, h = box[said.argmax()].tolist()
        found.append(np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * [*SIZE[::-1], *SIZE[::-1]])
        np.testing.assert_allclose(extras["box"], found[-1], atol=1e-2)
        assert extras["box_score"] == float(said.max()) and extras["box_passed"] == (float(said.max()) > 0.35)
    return np.stack(found)


def prompted(facts, call):
    """Return the boxes (B, 4) of SAM's prompts in a call, in pixels of the frame."""
    # A frame of 480x854 is 576x1024 in SAM's square.
    return facts.seen[f"sam.boxes.{call}"].reshape(-1, 4) / np.tile([1024 / 854, 576 / 480], 2)


def check_memory(facts):
    """What differs between two sentences in the second frame can only come from the first one."""
    seen = facts.seen
    assert seen["masks"][0].any((1, 2)).all()
    assert not np.array_equal(seen["probabilities"][1, 0], seen["probabilities"][1, 1])
    for frame in range(FRAMES):
        assert all(np.ptp(p) > 0 for p in seen["probabilities"][frame])


@pytest.mark.parametrize("method", ["persam_gdino", "persam_f_gdino"])
def test_persam(method, ran, checkpoints):
    facts = ran(
        method, sam_checkpoint=checkpoints("sam", "vit_h"), detector_checkpoint=checkpoints("dino", "swint")
    )
    assert facts.parameters["sam"] == VIT_H and facts.calls["sam.encoder"] == FRAMES
    np.testing.assert_allclose(prompted(facts, 0), check_boxes(facts), atol=0.1)
    # The next prompt is the box of the first mask, grown by ten pixels.
    grown = tight_box(facts.seen["masks"][0, 0]) + np.repeat([-10, 10], 2)
    np.testing.assert_allclose(prompted(facts, 1)[0], grown.clip(0, [*SIZE[::-1], *SIZE[::-1]]), atol=0.1)
    check_memory(facts)


def test_sam_track(ran, checkpoints):
    files = {"sam": ("sam", "vit_h"), "detector": ("dino", "swint"), "tracker": ("deaot", "r50_deaotl")}
    facts = ran("sam_track_gdino", **{f"{k}_checkpoint": checkpoints(*v) for k, v in files.items()})
    assert facts.parameters["sam"] == VIT_H and facts.calls["sam.encoder"] == 1
    boxes = check_boxes(facts)
    for call in range(2):
        np.testing.assert_allclose(prompted(facts, call), boxes, atol=0.1)
    assert facts.calls["tracker.encoder"] == FRAMES and len(facts.weights) == 3
    check_memory(facts)


@pytest.mark.parametrize(
    ("tracker", "millions"),
    [
        ("deaott", 7.2),
        ("deaots", 10.2),
        ("deaotb", 13.2),
        ("deaotl", 13.2),
        ("r50_deaotl", 19.8),
        ("swinb_deaotl", 70.3),
    ],
)
def test_every_deaot_follows_two_objects(tracker, millions, ran, checkpoints):
    """From true masks, so that neither detector nor a large SAM is needed; the other object is the mirror image."""
    weights = checkpoints("deaot", tracker)
    facts = ran(
        "sam_track_gdino",
        mirrored=True,
        sam="tiny",
        reference="oracle",
        tracker=tracker,
        tracker_checkpoint=weights,
    )
    assert round(facts.parameters["tracker"] / 1e6, 1) == millions
    assert facts.weights[weights.name] == file_sha256(weights)
    dog = labels("valid/Annotations", 0) == 1
    assert np.array_equal(facts.seen["masks"][0], [dog, dog[:, ::-1]])
    assert facts.calls["tracker.encoder"] == FRAMES and facts.calls.get("sam.encoder", 0) == 0
    check_memory(facts)


def test_gdino_sam2(ran, checkpoints):
    folders = {
        "sam2_checkpoint": checkpoints("sam2", "large"),
        "detector_checkpoint": checkpoints("dino", "swint"),
    }
    facts = ran("gdino_sam2", **folders)
    assert facts.parameters["sam2"] / 1e6 == pytest.approx(224.4, abs=0.1)
    for k, box in enumerate(check_boxes(facts)):
        corners = facts.seen[f"sam2.input_points.{k}"].reshape(2, 2)
        np.testing.assert_allclose(corners, box.reshape(2, 2) * [1024 / 854, 1024 / 480], atol=0.1)
    # The image is encoded once a frame, and each object looks into its memory in all but the first.
    assert facts.calls["sam2.encoder"] == FRAMES
    assert facts.calls["sam2.attention"] == SENTENCES * (FRAMES - 1)
    check_memory(facts)


def test_sam3(ran, checkpoints):
    """Its made-up weights find what they find; what is held is that it is SAM 3 and sees a frame once."""
    facts = ran("sam3", sam3_checkpoint=checkpoints("sam3", "video"), hotstart="false")
    assert set(facts.weights) == {"sam3_video/model.safetensors", "sam3_video/tokenizer.json"}
    assert facts.calls["sam3.encoder"] == FRAMES
    assert facts.stages["visual encoder"] > 0


@pytest.mark.parametrize(
    ("method", "source", "truth"),
    [("refine", "oracle", "valid/Annotations"), ("ftvr_sam", MINI / "results/osvos", "results/osvos")],
)
def test_refined_masks(method, source, truth, ran, checkpoints):
    facts = ran(method, source=source, sam_checkpoint=checkpoints("sam", "vit_h"))
    assert facts.parameters["sam"] == VIT_H and facts.calls["sam.encoder"] == FRAMES
    for frame in range(FRAMES):
        box = tight_box(labels(truth, frame) == 1)
        np.testing.assert_allclose(prompted(facts, frame), [box] * SENTENCES, atol=0.1)
        # Both sentences mean the dog, so they have one box and one mask.
        one, other = facts.seen["probabilities"][frame].astype(np.float32)
        assert np.ptp(one) > 0
        np.testing.assert_allclose(one, other, atol=1e-2)
    assert not np.array_equal(facts.seen["probabilities"][0], facts.seen["probabilities"][1])


def labels(folder, frame):
    """Return the labels (H, W) of a frame of the first video."""
    with Image.open(MINI / folder / f"libby/{frame:05d}.png") as image:
        return np.asarray(image)
