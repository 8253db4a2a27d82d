"""Masks on disk as a method, and masks refined by SAM."""

from dataclasses import replace

import numpy as np
import pytest

from refseg.bench import registry
from refseg.bench.errors import InputError
from refseg.bench.runner import RunRequest, run
from refseg.bench.types import DatasetRequest, FramePrediction, MethodInfo, MethodRequest
from refseg.datasets.refshapes import build as build_refshapes
from refseg.methods.boxes import masks_in_boxes, tight_box
from refseg.methods.refine.method import REVISION
from refseg.methods.sam.promptable import load_promptable
from refseg.methods.sam.weights import SAM_TINY

pytestmark = pytest.mark.usefixtures("nothing_configured")


@pytest.fixture(scope="module")
def video(shapes):
    whole = shapes.videos()[0]
    return replace(whole, frame_ids=whole.frame_ids[:3], expressions=whole.expressions[:2])


def method(name, **options):
    return registry.build_method(
        MethodRequest(name, {k.replace("__", "."): str(v) for k, v in options.items()})
    )


def predicted(built, dataset, video):
    getattr(built, "bind", lambda d: None)(dataset)
    return list(built.segment(video, video.expressions))


class Squares:
    """Answers with one square in even frames and with nothing in odd ones; the second expression is empty always."""

    def __init__(self, request):
        self.info = MethodInfo("squares", "5", config={"a": 1}, weights={"w": "ab"})

    def segment(self, video, expressions):
        for t in range(len(video)):
            video.read(t)
            masks = np.zeros((2, *video.size), bool)
            masks[0, 20:60, 30:80] = t % 2 == 0
            yield FramePrediction(t, masks, np.full(2, 0.25, np.float32), extras=[{"box": [1, 2, 3, 4]}, {}])

    def modules(self):
        return {}


def test_each_mask_s_box_prompts_sam_and_empty_stays_empty(shapes, video):
    read = []
    counting = replace(video, read=lambda i: read.append(i) or video.read(i))
    with registry.registered("methods", "squares", Squares):
        built = method("refine_tiny", source="squares")
        found = predicted(built, shapes, counting)
    assert read == [0, 1, 2]  # The source's and ours are one.
    sam = load_promptable("tiny", SAM_TINY, device="cpu", dtype="float32")
    box = np.array([[30, 20, 79, 59]])
    for t, p in enumerate(found):
        assert p.extras == [{"box": [1, 2, 3, 4]}, {}]
        assert not p.masks[1].any() and not p.probabilities[1].any() and p.scores[1] == 0.25
        if t % 2:
            assert not p.masks[0].any() and p.scores[0] == 0.25
            continue
        expected = masks_in_boxes(sam, sam.encode(video.read(t)), box, "single")
        assert np.array_equal(p.masks[0], expected.masks[0]) and p.scores[0] == expected.scores[0]
        np.testing.assert_array_equal(p.probabilities[0], expected.probabilities[0])
    assert built.info.revision == f"{REVISION}/squares/5" and set(built.info.weights) == {"w", SAM_TINY.name}


def test_multimask_takes_the_mask_of_the_highest_score(shapes, video):
    sam = load_promptable("tiny", SAM_TINY, device="cpu", dtype="float32")
    with registry.registered("methods", "squares", Squares):
        first, *_ = predicted(method("refine_tiny", source="squares", multimask=True), shapes, video)
    expected = masks_in_boxes(sam, sam.encode(video.read(0)), np.array([[30, 20, 79, 59]]), "best")
    assert np.array_equal(first.masks[0], expected.masks[0])


@pytest.mark.parametrize("prompt", ["single", "best", "twice"])
def test_boxes_go_in_parts(video, monkeypatch, prompt):
    sam = load_promptable("tiny", SAM_TINY, device="cpu", dtype="float32")
    features, boxes = (
        sam.encode(video.read(0)),
        np.array([[5, 5, 40, 50], [30, 20, 79, 59], [60, 60, 100, 110]]),
    )
    whole = masks_in_boxes(sam, features, boxes, prompt)
    monkeypatch.setattr("refseg.methods.boxes.BOXES_AT_ONCE", 2)
    parts = masks_in_boxes(sam, features, boxes, prompt)
    assert whole.masks.shape == (3, *video.size) and (whole.masks != parts.masks).mean() < 1e-3
    np.testing.assert_allclose(whole.scores, parts.scores, atol=1e-4)


def test_tight_box_holds_the_outermost_pixels():
    mask = np.zeros((7, 9), bool)
    assert tight_box(mask) is None
    mask[2, 3] = True
    assert tight_box(mask).tolist() == [3, 2, 3, 2]
    mask[5, 1] = mask[0, 8] = True
    assert tight_box(mask).tolist() == [1, 0, 8, 5]


def test_the_truth_refined_is_marked_as_such():
    assert method("refine_tiny", source="oracle").info.uses_truth
    assert not method("refine_tiny").info.uses_truth


def test_source_options_reach_the_source():
    with pytest.raises(InputError, match="option of method refsam_tiny 'nonsense'"):
        method("refine_tiny", source="refsam_tiny", source__nonsense=1)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("refine", {}, "refines masks: give a method's name, a folder or a zip"),
        ("refine_tiny", {"source": "refsam_tinny"}, "Did you mean 'refsam_tiny'"),
        ("ftvr_sam", {}, "FTVR .* has no public code or masks: give a folder or zip of its predictions"),
        ("ftvr_sam", {"source": "nowhere"}, "FTVR's masks nowhere do not exist"),
        ("ftvr_sam", {"source": "oracle"}, "FTVR's masks oracle do not exist"),
        ("folder", {}, "give their folder or zip by --set path=PATH"),
        ("folder", {"path": "nowhere.zip"}, r"nowhere\.zip do not exist"),
        ("refine", {"source": "oracle"}, r"sam_vit_h_4b8939\.pth \(https://dl\.fbai.*SHA-256 a7bf3b02f3"),
    ],
)
def test_what_is_missing_is_told_in_one_sentence(name, options, said):
    with pytest.raises(InputError, match=said) as caught:
        method(name, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run of the oracle on one video, as a run and as masks in the ytvos layout."""
    from refseg.bench.exporter import export_run

    folder = tmp_path_factory.mktemp("saved")
    run(RunRequest("oracle", "refshapes", limit=1, out=str(folder / "run"), page=False))
    export_run(str(folder / "run"), "ytvos", str(folder / "masks.zip"))
    return folder


@pytest.mark.parametrize("kind", ["run", "masks.zip"])
def test_saved_masks_are_a_method_with_the_same_score(saved, kind, tmp_path):
    request = RunRequest("folder", "refshapes", limit=1, options={"path": str(saved / kind)}, page=False)
    result = run(replace(request, out=str(tmp_path / "out")))
    assert result["metrics"]["J&F"] == 100 and not result["failures"]


def test_masks_that_are_missing_are_an_error_or_empty(saved, shapes):
    built = method("folder", path=saved / "masks.zip")
    other = shapes.videos()[1]
    with pytest.raises(InputError, match=f"holds no masks of {other.id}/0.*on_missing=empty"):
        predicted(built, shapes, other)
    found = predicted(method("folder", path=saved / "masks.zip", on_missing="empty"), shapes, other)
    assert len(found) == len(other) and not any(p.masks.any() for p in found)


def test_a_run_of_another_split_is_refused(saved):
    with pytest.raises(InputError, match="was made on refshapes val"):
        method("folder", path=saved / "run").bind(build_refshapes(DatasetRequest("refshapes", "no_target")))


def test_other_content_is_another_configuration(saved, tmp_path):
    import shutil
    import zipfile

    shutil.copy(saved / "masks.zip", tmp_path / "masks.zip")
    same = method("folder", path=tmp_path / "masks.zip").info.config
    assert same == method("folder", path=saved / "masks.zip").info.config
    with zipfile.ZipFile(tmp_path / "masks.zip", "a") as file:
        file.writestr("extra.png", b"x")
    assert method("folder", path=tmp_path / "masks.zip").info.config != same


def test_a_path_is_a_source_and_its_options_reach_it(saved):
    source = method("refine_tiny", source=saved / "masks.zip", source__layout="ytvos").source
    assert source.info.name == "folder" and source.info.config["layout"] == "ytvos"
