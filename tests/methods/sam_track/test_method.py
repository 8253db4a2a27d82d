"""SAM-Track composed with oracles in the place of Grounding DINO and a DeAOT with made-up weights."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.predict import check_frame
from refseg.bench.types import MethodRequest
from refseg.methods.boxes import tight_box
from refseg.methods.deaot.build import DEAOT_CONFIGS, build_deaot
from refseg.methods.deaot.tracker import DeAotTracker
from refseg.methods.first_frame import FirstMask
from refseg.methods.grounding_dino import load
from refseg.methods.sam.weights import save_safetensors
from refseg.methods.sam_track.method import SamTrackGdino, label_map, sam_track_options


@pytest.fixture(autouse=True)
def _empty_hub(nothing_configured, monkeypatch):
    monkeypatch.setattr(load, "snapshot", lambda *args, **options: None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of the smallest DeAOT."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "deaott.pth"
    torch.save(build_deaot(DEAOT_CONFIGS["deaott"]).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def video(shapes):
    """Three frames and expressions of two objects that are there from the first frame on."""
    for whole in shapes.videos():
        seen = [e for e in whole.expressions if shapes.ground_truth(whole.id, e.id).masks[0].sum() > 50]
        others = [e for e in seen if e.object_ids != seen[0].object_ids]
        if others:
            return replace(whole, frame_ids=whole.frame_ids[:3], expressions=(seen[0], others[0]))
    raise AssertionError("no video has two such objects")


def method(weights=None, **options):
    tracker = {} if weights is None else {"tracker": "deaott", "tracker_checkpoint": str(weights)}
    return registry.build_method(MethodRequest("sam_track_gdino", {"sam": "tiny", **tracker, **options}))


def predicted(built, dataset, video):
    built.bind(dataset)
    found = list(built.segment(video, video.expressions))
    for p in found:
        check_frame("it", p, (len(video.expressions), *video.size))
    assert [p.frame for p in found] == list(range(len(video)))
    return found


@pytest.mark.parametrize("merge", ["none", "annotator"])
def test_true_masks_are_followed_by_the_tracker(weights, shapes, video, merge):
    """Alone, an expression has a tracker of its own; those of one annotator share one and do not overlap."""
    shown = replace(video, expressions=tuple(replace(e, annotator=0) for e in video.expressions))
    built = method(weights, reference="oracle", merge=merge)
    found = predicted(built, shapes, shown)
    truth = [shapes.ground_truth(video.id, e.id).masks[0] for e in video.expressions]
    groups = [[0], [1]] if merge == "none" else [[0, 1]]
    for rows in groups:
        labels = sum((i + 1) * truth[k] for i, k in enumerate(rows)).astype(np.uint8)
        tracker = DeAotTracker(built._model)
        tracker.add_reference(video.read(0), labels)
        for p in found[1:]:
            soft = tracker.propagate(video.read(p.frame)).softmax(0).cpu().numpy()
            labels = soft.argmax(0).astype(np.uint8)
            tracker.update(labels)
            for i, k in enumerate(rows):
                assert np.array_equal(p.masks[k], labels == i + 1)
                np.testing.assert_allclose(p.probabilities[k], soft[i + 1].astype(np.float16), atol=1e-3)
    assert built.info.uses_truth and set(built.modules()) == {"sam", "tracker"}
    assert len(built.info.weights) == 2


def test_a_frame_is_encoded_once_and_by_sam_only_where_it_is_prompted(weights, shapes, video):
    for options, expected in (({"reference": "oracle"}, 0), ({"detector": "oracle"}, 1)):
        built, calls = method(weights, **options), {"sam": 0, "tracker": 0}
        parts = {"sam": "image_encoder.neck.2", "tracker": "encoder"}
        for name, part in parts.items():

            def count(*_, name=name, calls=calls):
                calls[name] += 1

            built.modules()[name].get_submodule(part).register_forward_hook(count)
        predicted(built, shapes, video)
        assert calls == {"sam": expected, "tracker": len(video)}


def test_what_is_not_found_stays_empty_and_boxes_are_told(weights, shapes, video):
    built = method(weights, detector="oracle")
    detect = built._first.detector.detect
    built._first.detector.detect = lambda *args: [detect(*args)[0], None]
    found = predicted(built, shapes, video)
    assert found[0].extras[0]["box_passed"] is True and found[0].extras[1] == {}
    assert found[0].masks[0].any() and found[1].extras is None
    assert not any(p.masks[1].any() or p.probabilities[1].any() or p.scores[1] for p in found)


def test_an_object_that_another_covers_is_none_of_the_tracker_s(weights, shapes, video):
    twice = tuple(replace(video.expressions[0], annotator=0) for _ in range(2))
    found = predicted(
        method(weights, reference="oracle", merge="annotator"), shapes, replace(video, expressions=twice)
    )
    assert found[0].masks[0].any()
    assert not any(p.masks[1].any() or (p.probabilities[1] > 0.5).any() for p in found)


def test_overlapping_masks_go_to_the_surer_one():
    a, b = np.array([[True, True, False, False]]), np.array([[False, True, True, False]])
    first = [
        FirstMask(a, np.array([[0.9, 0.6, 0.1, 0.4]], np.float16), 1.0),
        FirstMask(b, np.array([[0.2, 0.8, 0.7, 0.3]], np.float16), 1.0),
    ]
    assert label_map(first).tolist() == [[1, 2, 2, 0]]


def test_missing_checkpoints_of_all_stages_are_named_together():
    with pytest.raises(InputError) as caught:
        method(sam="vit_h")
    said = str(caught.value)
    for part in (
        "3 checkpoints are missing",
        "sam_vit_h_4b8939.pth",
        "R50_DeAOTL_PRE_YTB_DAV.pth",
        "7e8a8d83310739",
    ):
        assert part in said
    assert (
        "groundingdino_swint_ogc.pth" in said and "--set tracker_checkpoint=PATH" in said and "\n" not in said
    )


def test_the_tiny_one_is_the_same_method_with_the_shipped_stages(tmp_path, shapes, video):
    """Its defaults are options of the full one; with them, and the same weights, both say the same."""
    torch.manual_seed(0)
    path = tmp_path / "mine.safetensors"
    save_safetensors(build_deaot(DEAOT_CONFIGS["deaot_tiny"]).state_dict(), path, {})
    given = {"detector": "oracle", "tracker_checkpoint": str(path)}
    tiny = SamTrackGdino(MethodRequest("sam_track_gdino_tiny", given))
    full = registry.build_method(
        MethodRequest("sam_track_gdino", {**given, "sam": "tiny", "tracker": "deaot_tiny"})
    )
    assert tiny.info.config == full.info.config and tiny.info.weights == full.info.weights
    assert set(tiny.info.weights) == {"sam_tiny.safetensors", "mine.safetensors"} and not tiny.info.needs
    for one, other in zip(predicted(tiny, shapes, video), predicted(full, shapes, video), strict=True):
        assert np.array_equal(one.masks, other.masks)


def test_the_tiny_one_runs_with_what_is_shipped(shapes, video):
    built = registry.build_method(MethodRequest("sam_track_gdino_tiny"))
    found = predicted(built, shapes, video)
    assert {*built.info.weights} == {
        "sam_tiny.safetensors", "grounding_dino_tiny.safetensors", "deaot_tiny.safetensors",
    }  # fmt: skip
    assert not built.info.uses_truth and not built.info.needs
    assert all(0 < e["box_score"] < 1 and len(e["box"]) == 4 for e in found[0].extras)
    # Followed, and not found anew: objects move at most 5 pixels a frame.
    for k in range(len(video.expressions)):
        assert found[0].masks[k].any()
        boxes = [tight_box(p.masks[k]) for p in found]
        assert all(np.abs(a - b).max() < 10 for a, b in pairwise(boxes))
    counted = registry.build_method(MethodRequest("sam_track_gdino_tiny", device="meta"))
    sizes = [
        {k: sum(p.numel() for p in m.parameters()) for k, m in one.modules().items()}
        for one in (counted, built)
    ]
    assert sizes[0] == sizes[1] and len(sizes[0]) == 3


def test_options_of_the_tiny_one_can_be_set():
    options = sam_track_options(MethodRequest("sam_track_gdino_tiny", {"sam": "vit_b", "long_term_gap": "5"}))
    assert (options.detector, options.sam, options.tracker) == ("gdino_tiny", "vit_b", "deaot_tiny")
    assert options.long_term_gap == 5
    assert sam_track_options(MethodRequest("sam_track_gdino")).tracker == "r50_deaotl"


def test_wrong_memory_is_told(weights):
    with pytest.raises(InputError, match="long_term_gap=0 is not positive"):
        method(weights, reference="oracle", long_term_gap="0")
