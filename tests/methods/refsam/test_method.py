import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from refseg.bench.errors import InputError
from refseg.bench.types import DatasetRequest, Expression, MethodRequest, Video
from refseg.datasets.refshapes import build as build_refshapes
from refseg.methods.refsam import build
from refseg.methods.refsam import method as method_module
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.method import RefSamMethod, RefSamOptions, shrink_to_360p
from refseg.methods.refsam.model import build_refsam

MINI = Path(__file__).parents[2] / "data/ref-davis-mini"


def refsam(**options):
    return build(MethodRequest("refsam_tiny", {k: str(v) for k, v in options.items()}))


@pytest.fixture(scope="module")
def video():
    return build_refshapes(DatasetRequest("refshapes", "val")).videos()[0]


def predicted(method, video, expressions=None, frames=None):
    shown = video if frames is None else replace(video, frame_ids=video.frame_ids[:frames])
    return list(method.segment(shown, video.expressions if expressions is None else expressions))


def test_predictions_have_the_promised_shapes(video):
    found = predicted(refsam(), video, frames=3)
    k = len(video.expressions)
    assert [p.frame for p in found] == [0, 1, 2]
    for p in found:
        assert p.masks.shape == p.probabilities.shape == (k, *video.size)
        assert (p.masks.dtype, p.scores.dtype, p.probabilities.dtype) == (bool, np.float32, np.float16)
        assert p.scores.shape == (k,)


def test_it_is_online(video):
    """What comes later changes nothing: a video cut short gives the same masks."""
    long, short = predicted(refsam(), video, frames=6), predicted(refsam(), video, frames=3)
    for a, b in zip(long[:3], short, strict=True):
        assert (a.masks == b.masks).all()


def test_expressions_do_not_feel_each_other(video):
    together = predicted(refsam(), video, frames=3)
    for k, expression in enumerate(video.expressions):
        alone = predicted(refsam(), video, [expression], frames=3)
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(
                a.probabilities[k].astype(np.float32), b.probabilities[0].astype(np.float32), atol=2e-3
            )


def test_many_expressions_go_in_parts(video, monkeypatch):
    method = refsam()
    whole = predicted(method, video, frames=2)
    monkeypatch.setattr(method_module, "ROWS_AT_ONCE", 2)
    parts = predicted(method, video, frames=2)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(
            a.probabilities.astype(np.float32), b.probabilities.astype(np.float32), atol=2e-3
        )


@pytest.fixture(scope="module")
def images():
    """Five images of three sizes, with one to three sentences each."""
    dataset = build_refshapes(DatasetRequest("refshapes", "image_val"))
    shown = []
    for k, image in enumerate(dataset.videos()[:5]):
        frame = image.read(0)
        frame = (frame, frame[:-20], frame[:, 8:])[k % 3]
        told = image.expressions[: 1 + k % 3]
        shown.append(
            replace(image, size=frame.shape[:2], expressions=told, read=lambda i, frame=frame: frame)
        )
    return shown


@pytest.mark.parametrize(
    ("options", "rows", "padding_counts"),
    [({}, 32, False), ({}, 2, False), ({}, 2, True), ({"frame_size": "full", "threshold": 0.3}, 32, False)],
)
def test_several_images_at_once_are_as_one_by_one(images, monkeypatch, options, rows, padding_counts):
    monkeypatch.setattr(method_module, "ROWS_AT_ONCE", rows)
    method = refsam(**options)
    if padding_counts:
        # As text_attention_mask=false, which the shipped weights are not for.
        model = method._model
        model.config = replace(model.config, text_attention_mask=False)
        model.text_encoder.use_attention_mask = False
    together = list(method.segment_images(images))
    assert len({v.size for v in images}) > 1 and len({len(v.expressions) for v in images}) > 1
    for video, at_once in zip(images, together, strict=True):
        (alone,) = method.segment(video, video.expressions)
        assert at_once.frame == 0 and at_once.masks.shape == (len(video.expressions), *video.size)
        assert (at_once.masks.dtype, at_once.scores.dtype, at_once.probabilities.dtype) == (
            bool,
            np.float32,
            np.float16,
        )
        np.testing.assert_allclose(
            at_once.probabilities.astype(np.float32), alone.probabilities.astype(np.float32), atol=2e-3
        )
        np.testing.assert_allclose(at_once.scores, alone.scores, atol=1e-4)
        # A pixel may change sides only where the probability is all but at the threshold.
        near = np.abs(alone.probabilities.astype(np.float32) - method.info.threshold) < 2e-3
        assert (at_once.masks == alone.masks)[~near].all()


def test_without_track_token_each_frame_stands_alone(video):
    method = refsam(track_token=False)
    in_order = predicted(method, video, frames=3)
    third = replace(video, frame_ids=video.frame_ids[2:3], read=lambda i: video.read(2))
    assert (predicted(method, third)[0].masks == in_order[2].masks).all()
    # The token is in use by default, or the control would show nothing.
    tracked = predicted(refsam(), video, frames=3)
    assert not np.array_equal(tracked[2].probabilities, in_order[2].probabilities)
    assert np.array_equal(tracked[0].probabilities, in_order[0].probabilities)


def test_the_threshold_is_a_probability(video):
    low, high = (predicted(refsam(threshold=t), video, frames=1)[0] for t in (0.1, 0.8))
    assert high.masks.sum() < low.masks.sum()
    assert (low.masks | ~high.masks).all()
    assert refsam(threshold=0.1).info.threshold == 0.1
    with pytest.raises(InputError, match="no probability"):
        refsam(threshold=1.5)


def test_a_variant_has_its_own_threshold(video):
    """The paper's sizes have SAM's."""
    own = refsam()
    assert own.info.threshold == own.info.config["threshold"] == CONFIGS["refsam_tiny"].threshold < 0.5
    model = build_refsam(replace(CONFIGS["refsam_tiny"], threshold=CONFIGS["refsam_vit_h"].threshold))
    other = RefSamMethod("refsam", model, RefSamOptions(), device=torch.device("cpu"))
    assert other.info.threshold == 0.5
    (found,) = predicted(own, video, frames=1)
    # Masks are cut before probabilities are rounded to halves.
    sure = np.abs(found.probabilities.astype(np.float32) - own.info.threshold) > 2e-3
    assert np.array_equal(found.masks[sure], (found.probabilities > own.info.threshold)[sure])


def test_masks_have_the_size_of_frames_that_were_shrunk():
    frame = np.random.default_rng(0).integers(0, 256, (480, 854, 3), np.uint8)
    video = Video("v", ("0",), (480, 854), (Expression("0", "the red circle"),), lambda i: frame)
    assert predicted(refsam(), video)[0].masks.shape == (1, 480, 854)
    assert shrink_to_360p(frame).shape == (360, 640, 3)
    assert shrink_to_360p(frame[:300, :300]) is not None
    assert shrink_to_360p(frame[:300, :300]).shape == (300, 300, 3)


def test_weights_and_options_are_in_the_record():
    info = refsam().info
    assert set(info.weights) == {"sam_tiny.safetensors", "refsam_tiny.safetensors"}
    assert all(len(h) == 64 for h in info.weights.values())
    assert info.config["track_token"] is True
    assert info.online


def test_the_real_sizes_say_which_checkpoints_they_need(monkeypatch):
    monkeypatch.delenv("REFSEG_CHECKPOINTS", raising=False)
    with pytest.raises(InputError, match=r"sam_vit_h.*--set sam_checkpoint=PATH"):
        build(MethodRequest("refsam"))
    with pytest.raises(InputError, match="does not exist"):
        build(MethodRequest("refsam_vit_b", {"sam_checkpoint": "nowhere.pth"}))


def test_weights_of_other_options_are_refused():
    with pytest.raises(InputError, match="itm_residual"):
        refsam(itm_residual=False)


@pytest.mark.parametrize(
    ("name", "learnable"),
    [("refsam_vit_b", 9_906_916), ("refsam_vit_l", 19_166_692), ("refsam", 33_015_268)],
)
def test_learnable_parameters_are_those_of_table_ix(name, learnable):
    method = build(MethodRequest(name, device="meta"))
    counted = sum(p.numel() for m in method.modules().values() for p in m.parameters() if p.requires_grad)
    assert counted == learnable


def test_the_caller_keeps_its_gradients(video):
    for _ in refsam().segment(video, video.expressions):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        break


class Counted:
    """A method's network with its encoder calls counted, by frames and sentences."""

    def __init__(self, method):
        model = method._model
        self.frames, self.sentences = 0, 0
        self._frames, self._text = model.encode_frames, model.text
        model.encode_frames, model.text = self._count_frames, self._count_text

    def _count_frames(self, images, content=None):
        self.frames += len(images)
        return self._frames(images, content)

    def _count_text(self, texts):
        self.sentences += len(texts)
        return self._text(texts)


def test_a_frame_and_a_sentence_are_encoded_once(video, monkeypatch):
    monkeypatch.setattr(method_module, "ROWS_AT_ONCE", 2)
    method = refsam()
    counted = Counted(method)
    predicted(method, video, frames=4)
    assert len(video.expressions) > 2
    assert (counted.frames, counted.sentences) == (4, len(video.expressions))


def test_without_its_text_encoder_it_says_the_same(shapes):
    plain, offloaded = refsam(), refsam(offload_text=True)
    encoder = weakref.ref(offloaded._model.text_encoder)
    offloaded.bind(shapes)
    counted = Counted(offloaded)
    gc.collect()
    assert offloaded._model.text_encoder is None and encoder() is None
    video = shapes.videos()[1]
    for a, b in zip(predicted(plain, video, frames=2), predicted(offloaded, video, frames=2), strict=True):
        np.testing.assert_allclose(
            a.probabilities.astype(np.float32), b.probabilities.astype(np.float32), atol=2e-3
        )
    assert (counted.frames, counted.sentences) == (2, 0)
    assert plain.info.config == offloaded.info.config
    with pytest.raises(InputError, match="none of the dataset's"):
        predicted(offloaded, video, [Expression("x", "a sentence that nobody said")], frames=1)


def test_offloading_needs_masked_padding():
    with pytest.raises(InputError, match="text_attention_mask=false"):
        RefSamMethod(
            "refsam_tiny",
            build_refsam(replace(CONFIGS["refsam_tiny"], text_attention_mask=False)),
            RefSamOptions(offload_text=True),
            device=torch.device("cpu"),
        )


@pytest.mark.parametrize("at_once", [2, 5])
def test_frames_that_are_encoded_together_give_the_same_masks(video, at_once):
    alone, together = (predicted(refsam(frames_at_once=n), video, frames=5) for n in (1, at_once))
    assert [p.frame for p in together] == [0, 1, 2, 3, 4]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=2e-3)


def test_the_fast_encoder_gives_the_official_one_s_masks(video):
    fast, official = (predicted(refsam(encoder=e), video, frames=3) for e in ("fast", "official"))
    for a, b in zip(fast, official, strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=2e-3)
        assert (a.masks == b.masks).mean() > 0.9999


def test_frozen_padding_does_not_depend_on_what_was_seen_before(video):
    from refseg.datasets.refdavis import build as build_davis

    other = build_davis(DatasetRequest("refdavis17", root=str(MINI))).videos()[0]
    frozen = refsam(padding="frozen")
    first = predicted(frozen, video, frames=1)
    predicted(frozen, other, other.expressions[:1], frames=1)
    assert (predicted(frozen, video, frames=1)[0].probabilities == first[0].probabilities).all()
    images = [replace(v, frame_ids=v.frame_ids[:1]) for v in (video, other)]
    together = list(frozen.segment_images(images))
    np.testing.assert_array_equal(together[0].probabilities, first[0].probabilities)


def test_frames_at_once_must_be_some():
    with pytest.raises(InputError, match="frames_at_once=0"):
        refsam(frames_at_once=0)
