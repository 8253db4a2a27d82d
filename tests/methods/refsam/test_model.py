from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from refseg.bench.errors import InputError
from refseg.methods.refsam.config import CONFIGS
from refseg.methods.refsam.model import ImageFeatures, TextFeatures, build_refsam
from refseg.methods.refsam.text import build_tiny_text
from refseg.methods.refsam.tracking import Track
from refseg.methods.refsam.weights import learnable_parameters
from refseg.methods.sam.decode import DecoderOutput

TEXTS = ["the red circle", "a big blue square moving on the left", "red"]
FRAMES = torch.tensor([1, 0, 1])
COMMON = {"mask_decoder": 4_058_340, "cross_modal_mlp": 656_128, "hda": 525_312, "itm": 526_080}


@pytest.mark.parametrize(
    ("size", "reductions", "adapters", "total"),
    [
        ("b", 590_592, 3_550_464, 9_906_916),
        ("l", 787_200, 12_613_632, 19_166_692),
        ("h", 983_808, 26_265_600, 33_015_268),
    ],
)
def test_learnable_counts_are_table_ix(size, reductions, adapters, total):
    with torch.device("meta"):
        model = build_refsam(CONFIGS[f"refsam_vit_{size}"])
    counts = {k: sum(p.numel() for p in v) for k, v in learnable_parameters(model).items()}
    assert counts == {**COMMON, "reductions": reductions, "adapters": adapters}
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(counts.values()) == total


@torch.no_grad()
def test_with_everything_off_it_is_sam(build, images):
    model = build(text=False, dense="none", use_adapter=False, itm_token="none", mask_memory=False)
    sam = model.sam
    embedding = sam.image_encoder(images[:1])
    sparse, dense = sam.prompt_encoder(
        points=(torch.tensor([[[30.0, 40.0], [70.0, 20.0]]]), torch.tensor([[1, 0]])), boxes=None, masks=None
    )
    prompt = TextFeatures(sparse, torch.ones(1, sparse.shape[1], dtype=torch.bool), torch.zeros(1, 128))
    output = model.decode(model.encode_image(images[:1]), prompt, torch.tensor([0]))
    logits, iou = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
    torch.testing.assert_close(output.low_res_logits, logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.iou, iou, atol=1e-5, rtol=1e-4)
    assert model.next_track(output) is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dense": "da", "itm_token": "all_masks"},
        {"dense": "none"},
        {"mask_memory": False},
        {"itm_token": "none"},
    ],
)
@torch.no_grad()
def test_expressions_do_not_feel_each_other(build, images, options):
    model = build(**options)
    image, text = model.encode_image(images), model.encode_text(TEXTS)
    first = model.decode(image, text, FRAMES)
    second = model.decode(image, text, FRAMES, model.next_track(first))
    for i, sentence in enumerate(TEXTS):
        frame = model.encode_image(images[FRAMES[i]][None])
        words, zero = model.encode_text([sentence]), torch.tensor([0])
        alone = model.decode(frame, words, zero)
        alone = model.decode(frame, words, zero, model.next_track(alone))
        torch.testing.assert_close(second.low_res_logits[i], alone.low_res_logits[0], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(second.iou[i], alone.iou[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("options", [{}, {"freeze_text": True}, {"use_adapter": False, "itm_token": "iou"}])
def test_every_learnable_tensor_gets_a_gradient_and_no_other(build, images, options):
    model = build(**options).train()
    image, text = model.encode_image(images), model.encode_text(TEXTS)
    output = model.decode(image, text, FRAMES)
    output = model.decode(image, text, FRAMES, model.next_track(output))
    (output.low_res_logits.square().mean() + output.iou.square().mean()).backward()
    learnable = {id(p) for ps in learnable_parameters(model).values() for p in ps}
    for name, p in model.named_parameters():
        if id(p) in learnable:
            assert p.requires_grad and p.grad is not None and p.grad.any(), name
        else:
            assert not p.requires_grad and p.grad is None, name
    assert ("text" in learnable_parameters(model)) == (not model.config.freeze_text)


@torch.no_grad()
def test_raw_outputs_can_be_kept(build, images):
    model = build()
    image, raw = model.project_image(model.encode_frames(images)), model.text(TEXTS)
    whole = model.decode(model.encode_image(images), model.encode_text(TEXTS), FRAMES)
    parts = model.decode(image, model.project_text(raw), FRAMES)
    assert torch.equal(whole.low_res_logits, parts.low_res_logits)
    rows = model.project_text(raw).rows(torch.tensor([2, 2]))
    assert torch.equal(rows.sentence, model.project_text(raw).sentence[[2, 2]])


@torch.no_grad()
def test_normalisation_reaches_what_it_names(build, images):
    on = build(normalize=True, normalize_embedding=True)
    text, image = on.encode_text(TEXTS), on.encode_image(images)
    for x, dim in [
        (text.words, -1),
        (text.sentence, -1),
        (image.embedding, 1),
        *((m, 1) for m in image.maps),
    ]:
        torch.testing.assert_close(x.norm(dim=dim), torch.ones_like(x.norm(dim=dim)))
    off = build(normalize=False)
    assert torch.equal(off.encode_image(images).maps[0], off.encode_frames(images).embedding)
    raw = off.text(TEXTS)
    assert torch.equal(off.project_text(raw).words, off.cross_modal_mlp(raw.hidden))


def test_sparse_prompt_can_be_left_out(build, images):
    model = build(sparse=False, dense="none")
    image, text = model.encode_image(images), model.encode_text(TEXTS)
    output = model.decode(image, text, FRAMES)
    torch.testing.assert_close(output.low_res_logits[0], output.low_res_logits[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mask_selection": "best_iou"}, [0, 2]),
        ({"mask_selection": "best_iou", "mask_candidates": "multimask"}, [3, 2]),
        ({"mask_selection": "first"}, [0, 0]),
    ],
)
def test_selected_mask(build, images, options, expected):
    model = build(text=False, **options)
    logits = torch.arange(4.0).view(1, 4, 1, 1).expand(2, 4, 8, 8)
    iou = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.1, 0.2, 0.8, 0.3]])
    low, score = model.select(DecoderOutput(logits, iou, torch.zeros(2, 5, 128)))
    assert low[:, 0, 0].tolist() == expected
    assert torch.equal(score, iou[torch.arange(2), torch.tensor(expected)])


def test_mlp_layers_and_width(build):
    shapes = [
        tuple(m.weight.shape) for m in build(text=False, mlp_layers=3, mlp_hidden_dim=64).cross_modal_mlp[::2]
    ]
    assert shapes == [(64, 128), (64, 64), (64, 64), (128, 64)]
    assert len(build(text=False, mlp_layers=0).cross_modal_mlp) == 1


def test_frozen_text_encoder_stays_in_evaluation_mode(build):
    assert not build(freeze_text=True).train().text_encoder.training
    assert build().train().text_encoder.training


@torch.no_grad()
def test_half_precision(build, images):
    model = build().to(torch.bfloat16)
    output = model.decode(model.encode_image(images.bfloat16()), model.encode_text(TEXTS), FRAMES)
    assert output.low_res_logits.dtype == torch.bfloat16
    assert output.low_res_logits.isfinite().all()


def test_wrong_or_missing_text_encoder_is_an_input_error(build):
    with pytest.raises(InputError, match="no text encoder"):
        build(text=False).encode_text(["red"])
    config = replace(CONFIGS["refsam_tiny"], text="t5-small")
    with pytest.raises(InputError, match="width is 128, but t5-small has 512"):
        build_refsam(config, build_tiny_text(["red"]))


def test_positional_encoding_is_sams(build):
    model = build(text=False)
    expected = model.sam.prompt_encoder.get_dense_pe()
    assert torch.equal(model._position(torch.zeros(1)), expected)
    assert F.mse_loss(model._position(torch.zeros(1).bfloat16()).float(), expected) < 1e-4


@torch.no_grad()
def test_mask_memory_is_of_the_mask_that_was_the_output(build, images):
    """Its probabilities are the output's, and another mask changes the next frame's decoder and dense attention."""
    model = build()
    image, text = model.encode_image(images), model.encode_text(TEXTS)
    output = model.decode(image, text, FRAMES)
    track = model.next_track(output)
    assert torch.equal(track.masks, model.select(output)[0].sigmoid())
    other = Track(track.tokens, track.masks.flip(-1))
    next_, changed = (model.decode(image, text, FRAMES, t) for t in (track, other))
    assert not torch.allclose(next_.low_res_logits, changed.low_res_logits, atol=1e-4)
    seen = model.remembered(image, FRAMES, track)
    assert seen.shape == (3, 128, 16, 16)
    dense = model.dense_prompts(image, text, FRAMES, seen)
    # What memory adds is seen as if it were the first map's own.
    maps = (image.maps[0][FRAMES] + seen, *(m[FRAMES] for m in image.maps[1:]))
    own = model.dense_prompts(ImageFeatures(image.embedding[FRAMES], maps), text, torch.arange(3))
    torch.testing.assert_close(dense, own, atol=1e-4, rtol=1e-4)


def test_without_anything_carried_there_is_no_track(build, images):
    model = build(itm_token="none", mask_memory=False)
    output = model.decode(model.encode_image(images), model.encode_text(TEXTS), FRAMES)
    assert model.next_track(output) is None
    with torch.device("meta"):
        assert build_refsam(CONFIGS["refsam_vit_b"]).memory is None
