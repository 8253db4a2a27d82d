"""SAM 3 with made-up weights against transformers' own session, which sees the whole video and forgets nothing."""

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.sam3_video.modeling_sam3_video import Sam3VideoInferenceSession

from refseg.bench import registry
from refseg.bench.cli import main
from refseg.bench.errors import InputError
from refseg.bench.predict import check_frame
from refseg.bench.types import MethodRequest
from refseg.methods.sam2.video import prepare
from refseg.methods.sam3 import load
from refseg.methods.sam3.session import Session
from refseg.methods.sam3.video import MEAN, STD, follow, merged, tokens

FRAMES = 10
NOWHERE = "val-0001"


@pytest.fixture(autouse=True)
def _empty_hub(nothing_configured, monkeypatch):
    monkeypatch.setattr(load, "snapshot", lambda *args, **options: None)


@pytest.fixture(scope="module")
def built(folder):
    """``built(**options)``: the method on the small weights."""

    def build(**options):
        return registry.build_method(MethodRequest("sam3", {"sam3_checkpoint": str(folder), **options}))

    return build


@pytest.fixture(scope="module")
def videos(shapes):
    """The first videos of RefShapes, cut, by id."""
    several = (v for v, _ in zip(shapes.videos(), range(2), strict=False))
    return {v.id: replace(v, frame_ids=v.frame_ids[:FRAMES], expressions=v.expressions[1:3]) for v in several}


@pytest.fixture(scope="module")
def video(videos):
    """Ten frames and two sentences; objects appear, are confirmed and are taken back."""
    return videos["val-0000"]


@pytest.fixture(scope="module")
def found(built, video):
    """By ``(hotstart, merge)``, per frame and sentence: logits and score, or None."""
    answers = {}
    for hotstart in (True, False):
        method = built()
        texts = [tokens(method._tokenizer, e.text, 32) for e in video.expressions]
        outputs = [
            [(out, set(removed)) for out, removed in said]
            for said in follow(method._model, video, texts, hotstart=hotstart)
        ]
        for merge in ("best", "union"):
            answers[hotstart, merge] = [[merged(*one, video.size, merge) for one in said] for said in outputs]
    return answers


def mask_of(answer, size):
    return np.zeros(size, bool) if answer is None else (answer[0] > 0).numpy()


class Theirs:
    """transformers' own session, text prompt and post-processing, on a model of its own."""

    def __init__(self, folder, monkeypatch):
        self.model, tokenizer, _ = load.load_sam3(folder)
        self.model.eval()
        # Its constructor asks for torchvision; the two methods that are used need boxes from there only.
        module = importlib.import_module("transformers.models.sam3_video.processing_sam3_video")
        self.processor = object.__new__(module.Sam3VideoProcessor)
        self.processor.tokenizer = tokenizer
        monkeypatch.setattr(module, "masks_to_boxes", lambda m: torch.zeros(len(m), 4), raising=False)

    def of(self, video, text, *, hotstart):
        """Per frame ids, scores, masks (N, H, W) and whether an object was removed in it."""
        side = self.model.config.image_size
        frames = torch.cat([prepare(video.read(t), side, MEAN, STD) for t in range(len(video))])
        session = Sam3VideoInferenceSession(
            video=frames if hotstart else None,
            video_height=video.size[0],
            video_width=video.size[1],
            dtype=torch.float32,
        )
        self.processor.add_text_prompt(session, text)
        outputs = (
            self.model.propagate_in_video_iterator(session)
            if hotstart
            else (self.model(session, frame=f[None], frame_idx=t) for t, f in enumerate(frames))
        )
        removed = set()
        for out in outputs:
            shown = self.processor.postprocess_outputs(session, out)
            yield shown, bool(out.removed_obj_ids - removed)
            removed = out.removed_obj_ids


@pytest.fixture
def theirs(folder, monkeypatch):
    return Theirs(folder, monkeypatch)


@pytest.mark.parametrize("hotstart", [True, False])
def test_it_is_transformers_sam3(theirs, found, video, hotstart):
    """The same masks, though frames, features and old outputs are dropped; held back as the processor would."""
    one = several = removals = 0
    for k, expression in enumerate(video.expressions):
        for t, (shown, removing) in enumerate(theirs.of(video, expression.text, hotstart=hotstart)):
            removals += removing
            if removing:
                # Where transformers removes an object, it gives the frame's masks to the wrong ones.
                continue
            masks = shown["masks"].numpy()
            best, union = (mask_of(found[hotstart, merge][t][k], video.size) for merge in ("best", "union"))
            assert np.array_equal(union, masks.any(0)), (k, t)
            # The best object may be out of sight: then it is not among theirs.
            assert not best.any() or any(np.array_equal(best, mask) for mask in masks), (k, t)
            one += best.any() and np.array_equal(best, masks[shown["scores"].argmax()])
            several += len(masks) > 1
    assert one > 6 and several > 1
    assert (removals > 2) == hotstart


def test_best_and_all_of_several_objects_differ(found, video):
    pairs = [
        tuple(mask_of(found[True, merge][t][k], video.size) for merge in ("best", "union"))
        for t in range(FRAMES)
        for k in range(2)
    ]
    assert all((best <= union).all() for best, union in pairs)
    assert any(best.any() and (best < union).any() for best, union in pairs)


def test_masks_stay_with_their_objects_in_the_frame_that_removes_one(built, video, monkeypatch):
    method = built()
    model, before, seen = method._model, {}, 0
    propagate = model.run_tracker_propagation

    def remembering(inference_session, **options):
        masks, scores = propagate(inference_session=inference_session, **options)
        # The model goes on to change these masks in place.
        before.update(ids=list(inference_session.obj_ids), masks=masks)
        return masks, scores

    monkeypatch.setattr(model, "run_tracker_propagation", remembering)
    monkeypatch.setattr(model, "recondition_every_nth_frame", 0)
    text = tokens(method._tokenizer, video.expressions[1].text, 32)
    session = Session(model, text, len(video))
    for t in range(len(video)):
        gone = set(session.removed_obj_ids)
        out = session.step(prepare(video.read(t), 112, MEAN, STD))
        for i, mask in zip(before["ids"], before["masks"], strict=True):
            assert torch.equal(out.obj_id_to_mask[i][0], mask)
        new = set(out.removed_obj_ids) - gone
        seen += bool(new) and len(before["ids"]) > 1
        assert session.obj_ids == list(session._obj_id_to_idx) and not new & {*session.obj_ids}
    assert seen > 0


def held(session):
    """Numbers of elements that a session holds in tensors for each object."""
    per_object = []
    for outputs in session.output_dict_per_obj.values():
        frames = [o for kind in outputs.values() for o in kind.values()]
        per_object.append(sum(t.numel() for o in frames for t in o.values() if isinstance(t, torch.Tensor)))
    return per_object


def test_memory_is_bounded(built, shapes):
    """An object that is there from the first frame to the last takes no more after 16 frames than after 6."""
    whole = next(v for v in shapes.videos() if v.id == "val-0002")
    method = built()
    model, text = method._model, tokens(method._tokenizer, whole.expressions[1].text, 32)
    session = Session(model, text, len(whole))
    config = model.config.tracker_config
    pointer, memory = (
        config.mask_decoder_config.hidden_size,
        2 * config.memory_encoder_output_channels * 8 * 8,
    )
    most = config.max_object_pointers_in_encoder * pointer
    most += (config.num_maskmem - 1 + config.max_cond_frame_num) * memory
    for t in range(len(whole)):
        session.step(prepare(whole.read(t), 112, MEAN, STD))
        assert not session.processed_frames and not session.cache._vision_features
        confirmed = [len(o["cond_frame_outputs"]) for o in session.output_dict_per_obj.values()]
        for numbers, n in zip(held(session), confirmed, strict=True):
            assert numbers <= most + n * pointer
        for lists in (session.unmatched_frame_inds, session.overlap_pair_to_frame_inds):
            assert all(len(frames) <= 2 for frames in lists.values())
        kept = (session.mask_inputs_per_obj, session.frames_tracked_per_obj)
        assert not any(of_object for per_object in kept for of_object in per_object.values())
        assert not session.suppressed_obj_ids and not session.obj_id_to_tracker_score_frame_wise
    assert confirmed and t - min(session.obj_first_frame_idx.values()) > 10


@pytest.mark.parametrize(("hotstart", "merge"), [(True, "best"), (False, "union")])
def test_sentences_do_not_meddle_with_each_other(built, found, video, hotstart, merge):
    """Each alone, and one of them twice, is bit for bit what it is among all."""
    method = built(hotstart=str(hotstart), merge=merge)
    for k, expression in enumerate(video.expressions):
        predictions = method.segment(video, [expression] * (k + 1))
        for t, (p, said) in enumerate(zip(predictions, found[hotstart, merge], strict=True)):
            check_frame("it", p, (k + 1, *video.size))
            logits, score = said[k] or (torch.full(video.size, -torch.inf), 0.0)
            assert p.frame == t and (p.scores == np.float32(score)).all() and 0 <= score <= 1
            assert all(np.array_equal(m, (logits > 0).numpy()) for m in p.masks)
            assert all(np.array_equal(m, logits.sigmoid().half().numpy()) for m in p.probabilities)


def test_a_frame_is_encoded_once_for_all_sentences(built, video):
    method = built()
    networks = (method._model.detector_model.vision_encoder, method._model.tracker_neck)
    calls = []
    for network in networks:
        network.network.register_forward_hook(lambda *args: calls.append(args[0]))
    short = replace(video, frame_ids=video.frame_ids[:2])
    assert len(list(method.segment(short, short.expressions))) == 2
    assert [calls.count(n.network) for n in networks] == [2, 2]


def test_no_object_is_an_empty_mask(built, videos):
    video = videos[NOWHERE]
    found = list(built(merge="union").segment(video, video.expressions))
    assert [p.frame for p in found] == list(range(FRAMES))
    assert not any(p.masks.any() or p.scores.any() or p.probabilities.any() for p in found)


def test_without_hotstart_it_is_online(built, found, video):
    """And with it, it says that it is not; it reads ahead by the model's delay and no further."""
    method = built(hotstart="false")
    assert method.info.online and not built().info.online
    cut = replace(video, frame_ids=video.frame_ids[:4])
    for p, said in zip(method.segment(cut, cut.expressions), found[False, "best"], strict=False):
        assert all(np.array_equal(m, mask_of(one, video.size)) for m, one in zip(p.masks, said, strict=True))
    for options, first in (({"hotstart": "false"}, 1), ({}, 4)):
        read = []
        watched = replace(video, read=lambda t, seen=read: seen.append(t) or video.read(t))
        next(built(**options).segment(watched, watched.expressions[:1]))
        assert read == list(range(first))


def test_an_image_has_one_frame(built, video):
    image = replace(video, frame_ids=video.frame_ids[:1])
    (p,) = built().segment(image, image.expressions)
    assert p.masks[0].any() and p.scores[0] > 0.3


def test_frames_are_resized_and_normalised_as_published(video):
    """To 1008 x 1008 by bilinear interpolation of bytes, then to -1..1; PIL as another implementation."""
    image = video.read(0)
    expected = np.asarray(Image.fromarray(image).resize((98, 98), Image.Resampling.BILINEAR)) / 127.5 - 1
    ours = prepare(image, 98, MEAN, STD)[0].permute(1, 2, 0).numpy()
    # A byte more or less, where the two round otherwise; without antialiasing it would be many.
    assert np.abs(ours - expected).max() <= 1.001 / 127.5


def test_long_sentences_are_cut_and_keep_their_end(folder, theirs):
    tokenizer = load.load_sam3(folder)[1]
    session = Sam3VideoInferenceSession()
    theirs.processor.add_text_prompt(session, "a red circle")
    short = tokens(tokenizer, "a red circle", 32)
    assert torch.equal(short["input_ids"], session.prompt_input_ids[0])
    assert torch.equal(short["attention_mask"], session.prompt_attention_masks[0])
    long = tokens(tokenizer, "a red circle " * 9, 32)
    assert long["input_ids"].shape == (1, 32) and long["attention_mask"].all()
    assert long["input_ids"][0, -1] == tokenizer.eos_token_id
    assert torch.equal(long["input_ids"][0, :11], short["input_ids"][0, :11])


def test_texts_of_the_hub_are_taken_at_the_pinned_revision(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(load, "snapshot", lambda hub, revision, **options: asked.append((hub, revision)))
    for given in (None, "facebook/sam3", "somebody/sam3-tuned"):
        load.find_sam3(given)
    assert asked[::2] == [(load.HUB, load.HUB_REVISION)] * 2 + [("somebody/sam3-tuned", None)]


def test_a_missing_checkpoint_is_said_to_be_gated():
    with pytest.raises(InputError) as e:
        registry.build_method(MethodRequest("sam3"))
    message = str(e.value)
    assert "\n" not in message and load.HUB_REVISION in message
    for words in (
        "https://huggingface.co/facebook/sam3",
        "gated",
        "hf auth login",
        "--set sam3_checkpoint=PATH",
    ):
        assert words in message


@pytest.mark.parametrize("lacking", ["model.safetensors", "tokenizer.json", "config.json", "type", "tensors"])
def test_a_folder_of_something_else_is_refused(folder, tmp_path, capsys, lacking):
    from safetensors.torch import load_file, save_file

    for path in folder.iterdir():
        if path.name != lacking:
            (tmp_path / path.name).symlink_to(path)
    if lacking == "tensors":
        tensors = load_file(folder / "model.safetensors")
        (tmp_path / "model.safetensors").unlink()
        save_file(
            {k: v for k, v in tensors.items() if "tracker_neck" not in k}, tmp_path / "model.safetensors"
        )
    if lacking == "type":
        (tmp_path / "config.json").unlink()
        (tmp_path / "config.json").write_text('{"model_type": "sam2_video"}')
    out = tmp_path / "run"
    call = ["run", "--method", "sam3", "--dataset", "refshapes", "--set", f"sam3_checkpoint={tmp_path}"]
    assert main([*call, "--out", str(out)]) == 2
    (line,) = (
        x for x in capsys.readouterr().err.splitlines() if str(tmp_path) in x and "sam3_checkpoint" in x
    )
    assert "tracker_neck" in line if lacking == "tensors" else "FOLDER" in line
    assert not out.exists()


def test_parameters_are_the_published_ones():
    """848 million as the README of facebookresearch/sam3 has them, beside the memory's 12."""
    model = registry.build_method(MethodRequest("sam3", device="meta")).modules()["sam3"]
    memory = sum(p.numel() for p in model.tracker_model.parameters())
    total = sum(p.numel() for p in model.parameters())
    assert (total - memory) / 1e6 == pytest.approx(848, abs=0.5)
    assert memory / 1e6 == pytest.approx(12, abs=0.5)


def test_it_needs_neither_torchvision_nor_the_hubs_kernels(folder):
    """In a process that cannot import them."""
    code = f"""
import sys
sys.modules.update(torchvision=None, kernels=None)
import numpy as np
from refseg.bench import registry
from refseg.bench.types import Expression, MethodRequest, Video
sentence = Expression("0", "a red circle", ("1",), "0")
grey = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
video = Video("v", ("0", "1"), (60, 80), (sentence,), lambda t: grey)
method = registry.build_method(MethodRequest("sam3", {{"sam3_checkpoint": {str(folder)!r}}}))
print(sum(int(p.masks.sum()) for p in method.segment(video, [sentence])))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stdout + done.stderr
    assert "kernels" not in done.stderr and "NMS" not in done.stderr
