import numpy as np
import pytest
import torch

from refseg.methods.sam.fast_encoder import EncoderOptions
from refseg.methods.sam.promptable import SamPromptable
from refseg.methods.sam.transforms import fit, resize_image
from refseg.methods.stages import Prompts

POINTS, LABELS = np.array([[400, 210], [31, 7]]), np.array([1, 0])
BOX = np.array([250, 130, 611, 402])
PROMPTS = {
    "point": {"points": POINTS[:1], "labels": LABELS[:1]},
    "points": {"points": POINTS, "labels": LABELS},
    "box": {"box": BOX},
    "points and box": {"points": POINTS, "labels": LABELS, "box": BOX},
    "mask": {"mask": True},
    "all": {"points": POINTS, "labels": LABELS, "box": BOX, "mask": True},
}


@pytest.fixture(scope="module")
def ours(tiny_sam, frame):
    promptable = SamPromptable(tiny_sam)
    return promptable, promptable.encode(frame)


@pytest.fixture(scope="module")
def theirs(ours, tiny_sam, frame, official):
    """SamPredictor with our features, so that prompts and masks are compared bit for bit."""
    predictor = official[0].SamPredictor(tiny_sam)
    predictor.set_image(frame)
    predictor.features = ours[1].embedding
    return predictor


@pytest.fixture(scope="module")
def low(ours):
    promptable, features = ours
    return promptable.prompt(features, Prompts(boxes=BOX[None]), multimask=False).low_res_logits


@pytest.mark.parametrize("size", [(480, 854), (854, 480), (333, 500), (112, 128), (1080, 1920)])
def test_resizing_is_that_of_resize_longest_side(official, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    transform = official[1].ResizeLongestSide(1024)
    assert (resize_image(image, fit(size, 1024).resized) == transform.apply_image(image)).all()


def test_features_are_those_of_sam_predictor(ours, tiny_sam, frame, official):
    predictor = official[0].SamPredictor(tiny_sam)
    predictor.set_image(frame)
    expected = predictor.get_image_embedding()
    assert float((ours[1].embedding - expected).abs().max() / expected.abs().max()) < 1e-5
    exact = SamPromptable(tiny_sam, options=EncoderOptions(encoder="official"))
    assert torch.equal(exact.encode(frame).embedding, expected)


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("kind", PROMPTS)
def test_masks_are_those_of_sam_predictor(ours, theirs, low, kind, multimask):
    given = PROMPTS[kind]
    promptable, features = ours
    points, labels, box = (given.get(k) for k in ("points", "labels", "box"))
    expected = theirs.predict(
        points,
        labels,
        box,
        low[0].numpy() if "mask" in given else None,
        multimask_output=multimask,
        return_logits=True,
    )
    prompts = Prompts(
        *(None if a is None else a[None] for a in (points, labels, box)),
        masks=low if "mask" in given else None,
    )
    answer = promptable.prompt(features, prompts, multimask=multimask)
    for mine, official in zip((answer.logits, answer.scores, answer.low_res_logits), expected, strict=True):
        assert np.array_equal(mine[0].numpy(), official)


def test_prompts_of_one_image_share_a_call(ours):
    promptable, features = ours
    boxes = np.array([BOX, [0, 0, 100, 90], [600, 300, 853, 479]])
    together = promptable.prompt(features, Prompts(boxes=boxes), multimask=True)
    assert together.logits.shape == (3, 3, 480, 854)
    for i in range(3):
        alone = promptable.prompt(features, Prompts(boxes=boxes[i : i + 1]), multimask=True)
        torch.testing.assert_close(together.logits[i], alone.logits[0], atol=1e-4, rtol=1e-4)


def test_best_is_the_mask_of_the_highest_score(ours):
    promptable, features = ours
    prompts = Prompts(boxes=np.array([BOX, [0, 0, 100, 90]]))
    answer = promptable.prompt(features, prompts, multimask=True)
    best = answer.best()
    assert best.logits.shape == (2, 1, 480, 854)
    assert best.low_res_logits.shape == (2, 1, *answer.low_res_logits.shape[2:])
    for i in range(2):
        k = int(answer.scores[i].argmax())
        assert torch.equal(best.logits[i, 0], answer.logits[i, k])
        assert best.scores[i, 0] == answer.scores[i].max()


def test_half_precision_is_for_the_encoder_alone(frame):
    from refseg.methods.sam.build import SAM_CONFIGS, build_sam

    torch.manual_seed(0)
    half = SamPromptable(build_sam(SAM_CONFIGS["tiny"]), dtype=torch.bfloat16)
    answer = half.prompt(half.encode(frame), Prompts(boxes=BOX[None]), multimask=False)
    assert answer.logits.dtype == torch.float32 and torch.isfinite(answer.logits).all()
