"""The paper's recipe on the tiny model and a few real frames."""

import csv
import json
import math
import multiprocessing
import os
import pickle
import signal
import socket
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetRequest, TrainRequest
from refseg.datasets.folder import build as build_folder
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.training import recipes
from refseg.methods.refsam.training.augment import NONE, Augmentation
from refseg.methods.refsam.training.clips import Clips
from refseg.methods.refsam.training.frozen import Encoders
from refseg.methods.refsam.training.recipes import RECIPES, RecipeOptions, learnable_groups, recipe, share_of
from refseg.methods.refsam.training.walk import clip_losses
from refseg.methods.sam.weights import load_tensors
from refseg.methods.team import Team

SMALL = {
    "datasets": "folder:valid",
    "batch": "2",
    "steps": "3",
    "clip_frames": "2",
    "log_every": "1",
    "checkpoint_every": "1",
    "evaluate_every": "100",
    "workers": "0",
    # Larger than the paper's, or four steps leave no trace.
    "decoder_lr": "1e-4",
}


@pytest.fixture(autouse=True)
def _alone(nothing_configured):
    pass


@pytest.fixture
def train(real_root, tmp_path):
    def start(name, *, resume=False, method="refsam_tiny", **options):
        given = SMALL | {"root": str(real_root)} | {k: str(v) for k, v in options.items()}
        request = TrainRequest(method, "refytvos_finetune", given, str(tmp_path / name), resume)
        return recipe(request)

    return start


def log(out, *names):
    with (out / "log.csv").open() as file:
        rows = [(r[0], r[1], float(r[2])) for r in list(csv.reader(file))[1:]]
    return [r for r in rows if not r[1].endswith("_seconds") and (not names or r[1] in names)]


def close(one, two, tolerance=1e-4):
    assert [r[:2] for r in one] == [r[:2] for r in two] and one
    assert [r[2] for r in one] == pytest.approx([r[2] for r in two], rel=tolerance)


def tiny(**options):
    torch.manual_seed(0)
    return build_refsam(replace(CONFIGS["refsam_tiny"], **options), build_tiny_text()).train()


@pytest.fixture(scope="module")
def batch(real_root):
    """Two augmented clips of two frames, each of another size."""
    dataset = build_folder(DatasetRequest("folder", "valid", str(real_root)))
    source = Clips([dataset], frames=2, augmentation=Augmentation(), image_size=128)
    return [source.draw(i) for i in range(2)]


def test_a_step_changes_what_is_learnable_and_nothing_else(batch):
    model = tiny(freeze_text=True)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    # At the paper's rates a step of what the output leaves out, by weight decay alone, is lost in rounding.
    options = RecipeOptions(clip_frames=3, decoder_lr=1e-3, adapter_lr=1e-3)
    optimizer = torch.optim.AdamW(learnable_groups(model, options))
    # Twice: what lies behind a layer that starts at zero gets no gradient in the first step.
    for _ in range(2):
        optimizer.zero_grad()
        clip_losses(model, Encoders(model), batch)["loss"].backward()
        optimizer.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    parts = {n: {id(p) for p in m.parameters()} for n, m in model.learnable_modules().items()}
    of = {
        n: next((k for k, ids in parts.items() if id(p) in ids), None)
        for n, p in model.named_parameters(remove_duplicate=False)
    }
    assert {of[n] for n in changed} == {*parts} and "text" not in parts
    # Nothing in the paper's losses asks for the predicted quality, and key biases cancel out in a softmax.
    still = {n for n, part in of.items() if part and n not in changed}
    assert all("iou_prediction_head" in n or "bias" in n for n in still), sorted(still)


def test_learning_rates_are_the_papers_by_module():
    model = tiny(freeze_text=True)
    for name in RECIPES:
        groups = learnable_groups(model, RECIPES[name].options)
        rates = {id(p): g["lr"] for g in groups for p in g["params"]}
        expected = {"mask_decoder": 1e-6, "adapters": 1e-5}
        for part, module in model.learnable_modules().items():
            found = {rates.get(id(p)) for p in module.parameters()}
            # A single image has no frame before it, so tracking learns from clips only.
            once = part in ("itm", "memory") and RECIPES[name].options.clip_frames == 1
            assert found == {None if once else expected.get(part, 1e-4)}, (name, part)
    told = {n: (r.options.datasets, r.options.epochs, r.options.clip_frames) for n, r in RECIPES.items()}
    assert told["refcoco_pretrain"] == ("refcoco,refcoco+,refcocog", 40, 1)
    assert told["refytvos_finetune"] == ("refytvos", 4, 3)
    assert told["ris_refcocog"] == ("refcocog", 40, 1) and RECIPES["ris_refcocog"].options.itm_token == "none"


def gradients(model, batch, options):
    torch.manual_seed(0)
    training = recipes._training(model, [], options, torch.device("cpu"), None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    training = replace(training, optimizer=optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 1.0)
    losses = training._step(batch, 0, scheduler, Team(1, lambda team: None))
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("options", [{"accumulate": 2}, {"recompute": True}])
def test_accumulation_and_recomputation_give_the_same_gradients(batch, options):
    plain, at_once = tiny(freeze_text=True), tiny(freeze_text=True)
    base = RecipeOptions(clip_frames=3, steps=1)
    losses, expected = gradients(plain, batch, base)
    at_once.recompute = "recompute" in options
    again, found = gradients(at_once, batch, replace(base, **options))
    assert again == pytest.approx(losses, rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-9, msg=name)


def test_recomputation_keeps_less(batch):
    kept = []
    for recompute in (False, True):
        model = tiny()
        model.recompute = recompute
        total = 0

        def pack(x):
            nonlocal total
            total += x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            Encoders(model).frames(batch, torch.device("cpu"))
        kept.append(total)
    assert kept[1] < kept[0] / 3


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_learns_in_float32(train, tmp_path, precision):
    train("full", steps=1, batch=1, clip_frames=1)
    train("half", steps=1, batch=1, clip_frames=1, precision=precision)
    assert {p.dtype for p in load_tensors(tmp_path / "half/refsam_tiny.safetensors").values()} == {
        torch.float32
    }
    close(log(tmp_path / "half", "dice"), log(tmp_path / "full", "dice"), 0.02)


@contextmanager
def processes(count, work):
    """Fork ``count`` processes as a launcher would start them, with the numbers that it gives each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run_one(rank):
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo",
            "ACCELERATE_USE_CPU": "true",
        }
        torch.set_num_threads(1)
        work()

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=run_one, args=(rank,)) for rank in range(count)]
    for process in started:
        process.start()
    yield started
    for process in started:
        process.join()


def test_two_processes_lose_what_one_loses(train, tmp_path):
    train("one", accumulate=2)
    with processes(2, lambda: train("two")) as started:
        pass
    assert [p.exitcode for p in started] == [0, 0]
    close(log(tmp_path / "two"), log(tmp_path / "one"))
    ours, theirs = (load_tensors(tmp_path / n / "refsam_tiny.safetensors") for n in ("one", "two"))
    assert ours.keys() == theirs.keys()


def test_a_killed_training_goes_on_to_the_same_losses(train, tmp_path, monkeypatch):
    train("whole")
    inner, calls = recipes.clip_losses, []

    def dies(*args, **more):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "clip_losses", dies)
        killed = multiprocessing.get_context("fork").Process(target=lambda: train("parts"))
        killed.start()
        killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert not (tmp_path / "parts/refsam_tiny.safetensors").exists()
    train("parts", resume=True)
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    parts, whole = (load_tensors(tmp_path / n / "refsam_tiny.safetensors") for n in ("parts", "whole"))
    assert parts.keys() == whole.keys() and all(torch.equal(parts[k], t) for k, t in whole.items())
    kept = torch.load(tmp_path / "parts/checkpoint.pt", weights_only=True)["network"]
    assert kept and not any("image_encoder" in n for n in kept)
    with pytest.raises(InputError, match="other settings"):
        train("parts", resume=True, lr=3e-4)


def test_validation_is_the_ordinary_score(train, tmp_path, real_root):
    figures = train(
        "v", steps=2, validate="folder:valid", validate_root=real_root, validate_videos=1, evaluate_every=1
    )
    request = RunRequest(
        "refsam_tiny",
        "folder",
        root=str(real_root),
        limit=1,
        # A training encodes by the modules that it trains, and the other encoder rounds differently.
        options={"checkpoint": str(tmp_path / "v/refsam_tiny.safetensors"), "encoder": "official"},
        out=str(tmp_path / "run"),
        page=False,
    )
    measured = run(request)["metrics"]
    assert {k: figures[f"val_{k}"] for k in measured} == pytest.approx(measured)
    assert [r[0] for r in log(tmp_path / "v", "val_J&F")] == ["1", "2"]


def test_frames_and_sentences_are_encoded_once_where_they_are_kept(real_root):
    dataset = build_folder(DatasetRequest("folder", "valid", str(real_root)))
    source = Clips([dataset], frames=3, augmentation=NONE, image_size=128)
    clips = [source.draw(i) for i in range(3)]
    model = tiny(use_adapter=False, freeze_text=True)
    calls = {"frames": 0, "texts": 0}
    frames, text = model.encode_frames, model.text
    model.encode_frames = lambda x: (calls.__setitem__("frames", calls["frames"] + len(x)), frames(x))[1]
    model.text = lambda x: (calls.__setitem__("texts", calls["texts"] + len(x)), text(x))[1]
    keeping, plain = Encoders(model, text_gib=1, frame_gib=1), Encoders(model)
    expected = clip_losses(model, plain, clips)
    assert calls == {"frames": 9, "texts": 3}
    for _ in range(2):
        calls.update(frames=0, texts=0)
        found = clip_losses(model, keeping, clips)
        assert {k: v.item() for k, v in found.items()} == pytest.approx(
            {k: v.item() for k, v in expected.items()}, rel=1e-4
        )
        once = {k for c in clips for k in c.keys}
        assert calls in (
            {"frames": len(once), "texts": len({c.text for c in clips})},
            {"frames": 0, "texts": 0},
        )
    assert calls == {"frames": 0, "texts": 0}
    # Room for nothing keeps nothing, and still answers.
    clip_losses(model, Encoders(model, text_gib=1e-9, frame_gib=1e-9), clips[:1])
    assert calls["frames"] > 0


@pytest.fixture
def coco(real_root, tmp_path, monkeypatch):
    """RefCOCO, RefCOCO+ and RefCOCOg with two real frames as their images, found by $REFSEG_DATA."""
    folder = tmp_path / "data"
    (folder / "train2014").mkdir(parents=True)
    for number, video in enumerate(("libby", "car-shadow"), 1):
        frame = real_root / f"valid/JPEGImages/{video}/00000.jpg"
        (folder / f"train2014/{number}.jpg").write_bytes(frame.read_bytes())
    square = [[300, 100, 600, 100, 600, 400, 300, 400]]
    instances = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 480, "width": 854} for i in (1, 2)],
        "annotations": [
            {"id": i, "image_id": i, "segmentation": square, "iscrowd": 0, "category_id": 1} for i in (1, 2)
        ],
        "categories": [],
    }
    for name, made_by in (("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd")):
        (folder / name).mkdir()
        (folder / name / "instances.json").write_text(json.dumps(instances))
        refs = [
            {
                "ref_id": i,
                "ann_id": i,
                "image_id": i,
                "category_id": 1,
                "split": split,
                "sent_ids": [i],
                "sentences": [{"sent_id": i, "raw": text, "sent": text, "tokens": text.split()}],
            }
            for i, split, text in ((1, "train", f"the dog of {name}"), (2, "val", f"the car of {name}"))
        ]
        (folder / name / f"refs({made_by}).p").write_bytes(pickle.dumps(refs, protocol=2))
    monkeypatch.setenv("REFSEG_DATA", str(folder))
    monkeypatch.setenv("REFSEG_CACHE", "")


def by_recipe(name, out, **options):
    given = {k: v for k, v in SMALL.items() if k not in ("datasets", "clip_frames")}
    given |= {"steps": "1", "batch": "3"} | {k: str(v) for k, v in options.items()}
    return recipe(TrainRequest("refsam_tiny", name, given, str(out)))


def test_pretraining_mixes_refcocos_three_datasets(coco, tmp_path, monkeypatch):
    seen, inner = [], recipes.clip_losses
    monkeypatch.setattr(recipes, "clip_losses", lambda m, e, b, **k: (seen.extend(b), inner(m, e, b, **k))[1])
    by_recipe("refcoco_pretrain", tmp_path / "pre")
    assert {c.text for c in seen} == {f"the dog of {n}" for n in ("refcoco", "refcoco+", "refcocog")}
    assert all(len(c.frames) == 1 and min(c.masks.shape[1:]) >= 296 for c in seen)


def test_images_are_trained_for_without_tracking_and_scored_as_images_are(coco, tmp_path):
    figures = by_recipe("ris_refcocog", tmp_path / "ris", lr=0, decoder_lr=0, adapter_lr=0)
    assert 0 <= figures["val_oIoU"] <= 100 and 0 <= figures["val_mIoU"] <= 100
    assert not any(n.startswith("itm.") for n in load_tensors(tmp_path / "ris/refsam_tiny.safetensors"))


def test_recipes_share_batches_without_gap_or_overlap():
    options = RecipeOptions(batch=5)
    for size in (1, 2, 3, 5):
        drawn = sorted(i for rank in range(size) for i in share_of(options, 2, rank, size))
        assert drawn == list(range(10, 15))
    with pytest.raises(InputError, match="nothing to share"):
        share_of(options, 0, 0, 6)


def test_weights_of_a_first_training_start_a_second(train, tmp_path):
    train("first", steps=1, clip_frames=1)
    first = tmp_path / "first/refsam_tiny.safetensors"
    train("second", steps=1, lr=0, decoder_lr=0, adapter_lr=0, start=first)
    one, two = load_tensors(first), load_tensors(tmp_path / "second/refsam_tiny.safetensors")
    assert all(torch.equal(two[n], t) for n, t in one.items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": 0}, "batch=0"),
        ({"flip": 2}, "no probability"),
        ({"frame_cache_gib": 1}, "augment=false"),
        ({"frame_cache_gib": 1, "augment": "false"}, "use_adapter=false"),
        ({"datasets": "refcoco,refytvos"}, "one folder"),
        ({"datasets": ""}, "no dataset"),
        ({"method": "oracle"}, "Unknown method to train"),
        ({"lrr": 1}, "lrr"),
    ],
)
def test_wrong_calls_are_told(train, options, told):
    with pytest.raises(InputError, match=told):
        train("wrong", **options)


def test_steps_follow_from_epochs(real_root):
    dataset = build_folder(DatasetRequest("folder", "valid", str(real_root)))
    clips = Clips([dataset], frames=1, augmentation=NONE, image_size=128)
    options = RecipeOptions(epochs=4, batch=16)
    training = recipes._training(tiny(), clips, options, torch.device("cpu"), None)
    assert training.steps == math.ceil(4 * 20 / 16) and training.clip_norm == math.inf
    assert json.loads(json.dumps(recipes._facts("r", options, [dataset], "s")))["batch"] == 16
