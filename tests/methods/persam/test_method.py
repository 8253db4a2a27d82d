"""PerSAM composed with a detector: oracles and a small detector in the place of Grounding DINO."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import save_file

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.predict import check_frame
from refseg.bench.types import DatasetRequest, Expression, GroundTruth, MethodRequest, Video
from refseg.datasets.refshapes import build as build_refshapes
from refseg.methods.boxes import tight_box
from refseg.methods.first_frame import first_frame_options
from refseg.methods.grounding_dino import load
from refseg.methods.grounding_dino.tiny import build_tiny
from refseg.methods.persam.method import PerSamOptions
from refseg.methods.persam.video import VideoOptions
from refseg.methods.stages import Detection


@pytest.fixture(scope="module")
def video(shapes):
    """Three frames and two expressions whose objects are there from the first frame on."""
    whole = shapes.videos()[0]
    seen = [e for e in whole.expressions if shapes.ground_truth(whole.id, e.id).masks[0].sum() > 50]
    return replace(whole, frame_ids=whole.frame_ids[:3], expressions=tuple(seen[:2]))


@pytest.fixture(autouse=True)
def _empty_hub(nothing_configured, monkeypatch):
    monkeypatch.setattr(load, "snapshot", lambda *args, **options: None)


def method(name="persam_gdino", **options):
    return registry.build_method(
        MethodRequest(name, {"sam": "tiny"} | {k: str(v) for k, v in options.items()})
    )


def predicted(built, dataset, video, expressions=None):
    built.bind(dataset)
    found = list(built.segment(video, expressions or video.expressions))
    for p in found:
        check_frame("it", p, (len(expressions or video.expressions), *video.size))
    assert [p.frame for p in found] == list(range(len(video)))
    return found


def test_oracle_reference_starts_from_the_true_mask(shapes, video):
    built = method(reference="oracle")
    found = predicted(built, shapes, video)
    for k, expression in enumerate(video.expressions):
        assert np.array_equal(found[0].masks[k], shapes.ground_truth(video.id, expression.id).masks[0])
    assert built.info.uses_truth and set(built.modules()) == {"sam"}
    assert found[0].extras == [{}, {}] and found[1].extras is None


def test_oracle_detector_prompts_with_the_true_box_and_tells_it(shapes, video):
    built = method(detector="oracle")
    first = predicted(built, shapes, video)[0]
    for k, expression in enumerate(video.expressions):
        box = tight_box(shapes.ground_truth(video.id, expression.id).masks[0])
        if box is None:
            assert first.extras[k] == {} and not first.masks[k].any()
        else:
            assert first.extras[k] == {
                "box": box.tolist(),
                "box_score": 1.0,
                "box_passed": True,
                "phrase": "",
            }
            assert first.masks[k].any()
    assert built.info.uses_truth


class Finds:
    """Finds a box for the first expression, under the threshold, and none for the others."""

    def __init__(self, box):
        self._found = Detection(box.astype(np.float32), 0.2, passed=False, phrase="circle")

    def detect(self, video, frame, expressions):
        assert frame == 0
        return [self._found, *[None] * (len(expressions) - 1)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("persam_gdino", {}),
        ("persam_gdino", {"procedure": "image"}),
        ("persam_f_gdino", {"steps": 2}),
        ("persam_f_gdino", {"steps": 2, "procedure": "image"}),
    ],
)
def test_what_is_not_found_stays_empty_and_the_rest_is_followed(shapes, video, name, options):
    built = method(name, detector="oracle", **options)
    truth = shapes.ground_truth(video.id, video.expressions[0].id).masks[0]
    built._first.detector = Finds(tight_box(truth))
    found = predicted(built, shapes, video)
    assert found[0].extras[0]["box_passed"] is False and found[0].extras[1] == {}
    assert found[0].masks[0].any()
    for p in found:
        assert not p.masks[1].any() and not p.probabilities[1].any() and p.scores[1] == 0
        sure = np.abs(p.probabilities[0].astype(np.float32) - 0.5) > 1e-3
        assert np.array_equal(p.masks[0][sure], (p.probabilities[0] > 0.5)[sure])


def test_tiny_names_have_tiny_stages_unless_told_otherwise():
    plain = first_frame_options(PerSamOptions, MethodRequest("persam_gdino"))
    tiny = first_frame_options(PerSamOptions, MethodRequest("persam_gdino_tiny", {"margin": "3"}))
    assert (plain.detector, plain.sam) == ("gdino_swint", "vit_h")
    assert (tiny.detector, tiny.sam, tiny.margin) == ("gdino_tiny", "tiny", 3)
    told = first_frame_options(PerSamOptions, MethodRequest("persam_gdino_tiny", {"detector": "oracle"}))
    assert (told.detector, told.sam) == ("oracle", "tiny")


def test_tiny_detector_s_weights_are_given_like_others(shapes, video, tmp_path):
    path = tmp_path / "mine.safetensors"
    save_file({k: v.half() for k, v in build_tiny().state_dict().items()}, path)
    built = method(detector="gdino_tiny", detector_checkpoint=path)
    assert {*built.info.weights} == {"sam_tiny.safetensors", "mine.safetensors"}
    assert {*built.modules()} == {"sam", "detector"} and not built.info.uses_truth
    first = predicted(built, shapes, video)[0]
    assert all(0 < e["box_score"] <= 1 and len(e["box"]) == 4 for e in first.extras)
    empty = registry.build_method(
        MethodRequest("persam_gdino", {"sam": "tiny", "detector": "gdino_tiny"}, device="meta")
    )
    for name, module in built.modules().items():
        assert sum(p.numel() for p in module.parameters()) == sum(
            p.numel() for p in empty.modules()[name].parameters()
        )


def test_tiny_variant_runs_with_what_is_shipped(shapes, video):
    built = registry.build_method(MethodRequest("persam_gdino_tiny"))
    first = predicted(built, shapes, video)[0]
    assert all(0 < e["box_score"] < 1 and len(e["box"]) == 4 for e in first.extras) and first.masks.any()
    assert {*built.info.weights} == {"sam_tiny.safetensors", "grounding_dino_tiny.safetensors"}
    assert {*built.modules()} == {"sam", "detector"} and not built.info.uses_truth and not built.info.needs
    assert built.info.config["detector"] == "gdino_tiny" and built.info.config["sam"] == "tiny"


def test_tiny_variant_takes_other_stages_where_it_is_told_to():
    built = registry.build_method(MethodRequest("persam_gdino_tiny", {"detector": "oracle"}))
    assert built.info.uses_truth and {*built.info.weights} == {"sam_tiny.safetensors"}


def test_tiny_variant_is_counted_without_weights():
    counted = registry.build_method(MethodRequest("persam_gdino_tiny", device="meta"))
    sizes = {k: sum(p.numel() for p in m.parameters()) for k, m in counted.modules().items()}
    built = registry.build_method(MethodRequest("persam_gdino_tiny"))
    assert sizes == {k: sum(p.numel() for p in m.parameters()) for k, m in built.modules().items()}


def test_frames_follow_the_procedure_for_videos(shapes, video):
    """Frame by frame, each prompted with the result of the one before."""
    from refseg.methods.persam.video import PerSamVideo

    built = method(reference="oracle")
    found = predicted(built, shapes, video, video.expressions[:1])
    features, previous = built._sam.encode(video.read(0)), found[0].masks[0]
    tracked = PerSamVideo(built._sam, VideoOptions(), features, previous)
    for p in found[1:]:
        answer = tracked.step(built._sam.encode(video.read(p.frame)), previous).result
        previous = (answer.logits[0, 0] > 0).numpy()
        assert np.array_equal(p.masks[0], previous)
        assert p.scores[0] == pytest.approx(float(answer.scores[0, 0]))


class Two:
    """Both expressions mean nearly the same object: the first one's, and all of it but its first rows."""

    def __init__(self, shapes, video):
        self._masks = shapes.ground_truth(video.id, video.expressions[0].id).masks

    def ground_truth(self, video_id, expression_id):
        masks = self._masks.copy()
        top = masks[0].any(1).argmax()
        masks[:, top : top + 2 * int(expression_id)] = False
        return GroundTruth(masks)


def test_one_annotator_s_objects_compete_only_where_asked(shapes, video):
    def said(*annotators):
        return tuple(Expression(str(k), "x", (str(k + 1),), annotator=a) for k, a in enumerate(annotators))

    clip = Video("v", video.frame_ids, video.size, said(0, 0), video.read)
    free = predicted(method(reference="oracle"), Two(shapes, video), clip)
    assert any((p.masks[0] & p.masks[1]).any() for p in free[1:])
    for annotators, apart in (((0, 0), True), ((0, 1), False), ((None, None), False)):
        shown = replace(clip, expressions=said(*annotators))
        merged = predicted(method(reference="oracle", merge="annotator"), Two(shapes, video), shown)
        assert (not any((p.masks[0] & p.masks[1]).any() for p in merged[1:])) == apart
        if not apart:
            for a, b in zip(merged, free, strict=True):
                assert np.array_equal(a.masks, b.masks)
        else:
            assert all(((p.probabilities > 0) <= p.masks).all() for p in merged[1:])


def test_it_is_online(shapes, video):
    built = method(reference="oracle")
    short = predicted(built, shapes, replace(video, frame_ids=video.frame_ids[:2]))
    for a, b in zip(predicted(built, shapes, video), short, strict=False):
        assert np.array_equal(a.masks, b.masks)


def test_hidden_labels_leave_no_oracle(video):
    class Hidden:
        info = build_refshapes(DatasetRequest("refshapes", "val")).info

        def ground_truth(self, video_id, expression_id):
            return None

    with pytest.raises(InputError, match="labels of refshapes val are hidden, so persam_gdino has no oracle"):
        predicted(method(reference="oracle"), Hidden(), video)


def test_missing_checkpoints_are_named_together_with_source_and_hash():
    with pytest.raises(InputError) as caught:
        method(sam="vit_b")
    said = str(caught.value)
    for part in (
        "2 checkpoints are missing",
        "sam_vit_b_01ec64.pth",
        "SHA-256 ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "groundingdino_swint_ogc.pth",
        "https://github.com/IDEA-Research/GroundingDINO/releases/download/v0.1.0-alpha/",
        "SHA-256 3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        "revision a2bb814dd30d776dcf7e30523b00659f4f141c71",
        "--set sam_checkpoint=PATH",
        "$REFSEG_CHECKPOINTS",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(InputError, match=r"^A checkpoint is missing: groundingdino_swinb_cogcoor\.pth"):
        method(detector="gdino_swinb")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps=0"),
        ({"detector": "yolo"}, "detector='yolo'"),
        ({"top_points": 0}, "top_points=0"),
    ],
)
def test_wrong_options_are_told(options, said):
    with pytest.raises(InputError, match=said):
        method(**{"reference": "oracle", **options})
