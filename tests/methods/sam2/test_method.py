"""Grounding DINO + SAM 2, with oracles in the detector's place and a small SAM 2 with made-up weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import (
    Sam2HieraDetConfig,
    Sam2VideoConfig,
    Sam2VideoInferenceSession,
    Sam2VideoModel,
    Sam2VisionConfig,
)

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.predict import check_frame
from refseg.bench.speed.clock import StageClock, synchroniser
from refseg.bench.stages import listening
from refseg.bench.types import MethodRequest
from refseg.methods.boxes import tight_box
from refseg.methods.sam2 import load
from refseg.methods.sam2.load import HUB, empty_sam2
from refseg.methods.sam2.video import Sam2Video, prepare

SIDE = 64
DECODER = {"hidden_size": 128, "num_attention_heads": 2, "mlp_dim": 64, "iou_head_hidden_dim": 32}


def small_config():
    """A SAM 2 of the published form in small numbers."""
    backbone = Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[4, 4, 2, 2],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=128,
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config=DECODER,
        image_size=SIDE,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=64,
        num_maskmem=3,
        max_object_pointers_in_encoder=4,
    )


@pytest.fixture(autouse=True)
def _empty_hub(nothing_configured, monkeypatch):
    monkeypatch.setattr(load, "snapshot", lambda *args, **options: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as transformers writes it."""
    torch.manual_seed(0)
    model = Sam2VideoModel(small_config())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.abs().sum() == 0 and "bias" not in name:
                parameter.normal_(std=0.02)
    path = tmp_path_factory.mktemp("weights") / "sam2"
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load.load_sam2(folder)[0].eval()


@pytest.fixture(scope="module")
def video(shapes):
    """Eight frames and expressions of two objects that are there from the first frame on."""
    for whole in shapes.videos():
        seen = [e for e in whole.expressions if shapes.ground_truth(whole.id, e.id).masks[0].sum() > 50]
        others = [e for e in seen if e.object_ids != seen[0].object_ids]
        if others:
            return replace(whole, frame_ids=whole.frame_ids[:8], expressions=(seen[0], others[0]))
    raise AssertionError("no video has two such objects")


def theirs(model, video, boxes):
    """Logits (T, N, h, w) of transformers' own session, which sees the whole video and forgets nothing."""
    frames = torch.cat([prepare(video.read(t), SIDE) for t in range(len(video))])
    height, width = video.size
    session = Sam2VideoInferenceSession(video_height=height, video_width=width, dtype=torch.float32)
    for number, box in enumerate(boxes):
        corners = torch.tensor(box.reshape(2, 2) * SIDE / np.array([width, height]), dtype=torch.float32)
        inputs = {"point_coords": corners[None, None], "point_labels": torch.tensor([[[2, 3]]])}
        session.add_point_inputs(session.obj_id_to_idx(number), 0, inputs)
    session.obj_with_new_inputs = list(range(len(boxes)))
    return [model(session, frame_idx=t, frame=frames[t]).pred_masks for t in range(len(video))]


def test_it_is_sam2_with_bounded_memory(model, folder, shapes, video):
    """What is forgotten is not looked at: the same masks as transformers' session that keeps everything."""
    boxes = [tight_box(shapes.ground_truth(video.id, e.id).masks[0]) for e in video.expressions]
    expected = theirs(model, video, boxes)
    followed = Sam2Video(model, video.read(0), [b.astype(np.float32) for b in boxes])
    for t in range(len(video)):
        logits, seen = followed.step(video.read(t))
        up = torch.nn.functional.interpolate(expected[t].float(), (SIDE, SIDE), mode="bilinear")
        up = torch.nn.functional.interpolate(up, video.size, mode="bilinear")[:, 0]
        torch.testing.assert_close(logits, up, atol=1e-5, rtol=1e-5)
        assert ((seen >= 0) & (seen <= 1)).all()
    session = followed._session
    assert len(session.processed_frames) == 0
    kept = [len(o["non_cond_frame_outputs"]) for o in session.output_dict_per_obj.values()]
    assert max(kept) <= 4


def test_its_stages_are_told_apart(folder, shapes, video):
    built = registry.build_method(
        MethodRequest("gdino_sam2", {"sam2_checkpoint": str(folder), "detector": "oracle"})
    )
    built.bind(shapes)
    clock = StageClock(synchroniser("cpu"))
    with listening(clock):
        list(built.segment(video, video.expressions))
    assert {"detector", "preprocess", "decoder/tracker", "upsample"} <= set(clock.stop().seconds)


@pytest.mark.parametrize("options", [{"detector": "oracle"}, {"reference": "oracle"}])
def test_each_object_is_followed_from_its_prompt(folder, shapes, video, options):
    request = MethodRequest("gdino_sam2", {"sam2_checkpoint": str(folder), **options})
    built = registry.build_method(request)
    built.bind(shapes)
    found = list(built.segment(video, video.expressions))
    for p in found:
        check_frame("it", p, (2, *video.size))
    assert [p.frame for p in found] == list(range(len(video)))
    assert built.info.uses_truth and set(built.modules()) == {"sam2"} and len(built.info.weights) == 1
    alone = list(built.segment(video, video.expressions[1:]))
    for p, q in zip(found, alone, strict=True):
        assert np.array_equal(p.masks[1], q.masks[0])


def test_an_object_out_of_sight_in_frame_0_stays_empty(folder, shapes, video):
    dark = [
        e
        for v in shapes.videos()
        for e in v.expressions
        if not shapes.ground_truth(v.id, e.id).masks[0].any()
    ]
    whole = next(v for v in shapes.videos() if dark[0] in v.expressions)
    shown = replace(whole, frame_ids=whole.frame_ids[:2], expressions=(dark[0],))
    built = registry.build_method(
        MethodRequest("gdino_sam2", {"sam2_checkpoint": str(folder), "detector": "oracle"})
    )
    built.bind(shapes)
    assert not any(p.masks.any() for p in built.segment(shown, shown.expressions))


def test_all_that_is_missing_is_named_at_once(monkeypatch):
    from refseg.methods.grounding_dino import load as detector

    monkeypatch.setattr(detector, "snapshot", lambda *args, **options: None)
    with pytest.raises(
        InputError, match=r"2 checkpoints are missing: .*sam2.1-hiera-large.*groundingdino_swint"
    ) as e:
        registry.build_method(MethodRequest("gdino_sam2"))
    assert "\n" not in str(e.value)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        registry.build_method(MethodRequest("gdino_sam2", {"sam2_checkpoint": str(tmp_path)}))


@pytest.mark.parametrize(
    ("size", "published"), [("tiny", 38.9), ("small", 46), ("base_plus", 80.8), ("large", 224.4)]
)
def test_sizes_are_the_published_ones(size, published):
    """Millions of parameters as the README of facebookresearch/sam2 has them."""
    assert size in HUB
    total = sum(p.numel() for p in empty_sam2(size).parameters()) / 1e6
    assert total == pytest.approx(published, abs=0.1)
