"""The image procedure against the official PerSAM, and where that would stop."""

import numpy as np
import pytest
import torch

from refseg.methods.boxes import tight_box
from refseg.methods.persam.image import PerSamImage, attention_guidance
from refseg.methods.persam.target import at_full_size, similarity, target_cells
from refseg.methods.sam.promptable import SamPromptable
from refseg.methods.stages import Answer

LOGITS, SCORES = {"atol": 1e-4, "rtol": 0}, {"atol": 1e-5, "rtol": 0}
"""Rounding: the official decoder moves this much where the embedding changes by 1e-6."""


@pytest.mark.big
def test_frame_0_of_libby_as_its_own_reference(sam, few, libby, libby_mask, stored_mask):
    """From pixels to the mask: image transform, encoder, features, points, guidance, three passes."""
    features = sam.encode(libby(0))
    close(features.embedding[0, ::8, ::4, ::4], few["embedding_every_8_4_4"], atol=1e-4, rtol=0)
    persam = PerSamImage(sam)
    reference = persam.reference(features, libby_mask)
    assert (target_cells(libby_mask, features, 255).numpy() == few["cells"]).all()
    close(reference.target.embedding, few["target_embedding"], atol=1e-4, rtol=0)
    close(similarity(reference.target, features), few["sim_low"], atol=1e-5, rtol=0)
    passes = persam.segment(features, reference)
    assert passes.points.tolist() == few["point_coords"].tolist()
    assert passes.labels.tolist() == few["point_labels"].tolist()
    for i, answer in enumerate(passes.answers, 1):
        close(answer.low_res_logits[0, :, ::8, ::8], few[f"pass{i}_logits_every_8"], atol=2e-3, rtol=0)
        close(answer.scores[0], few[f"pass{i}_scores"], atol=1e-4, rtol=0)
    assert [int(a.scores.argmax()) for a in passes.answers[1:]] == [few["pass2_best"], few["pass3_best"]]
    assert tight_box(found(passes.answers[1].best())).tolist() == few["box"].tolist()
    different = found(passes.result) != stored_mask(few["final_mask_bits"])
    assert different.mean() < 1e-4


@pytest.mark.parametrize("frame", [0, 10])
def test_every_step_from_the_official_embedding(sam_decoder, golden, stored, libby_mask, stored_mask, frame):
    persam, features, expected = PerSamImage(sam_decoder), stored(frame), golden(f"image_frame{frame}")
    reference = persam.reference(stored(0), libby_mask)
    close(reference.target.direction, golden("image_reference")["target_feat"], atol=1e-6, rtol=0)
    full = at_full_size(similarity(reference.target, features), features.geometry)
    stats = torch.stack([full.min(), full.max(), full.mean(), full.std()])
    close(stats, expected["sim_full_min_max_mean_std"], atol=1e-5, rtol=0)
    close(attention_guidance(full, (64, 64)), expected["attn_sim"], atol=1e-5, rtol=0)
    passes = persam.segment(features, reference)
    assert passes.points.tolist() == expected["point_coords"].tolist()
    for i, answer in enumerate(passes.answers, 1):
        close(answer.low_res_logits[0], expected[f"pass{i}_logits"], **LOGITS)
        close(answer.scores[0], expected[f"pass{i}_scores"], **SCORES)
    assert tight_box(found(passes.answers[1].best())).tolist() == expected["box"].tolist()
    assert (found(passes.result) != stored_mask(expected["final_mask_bits"])).sum() <= 4


def test_an_empty_second_pass_ends_the_image_and_not_the_program(tiny_sam, libby, libby_mask):
    class Blind(SamPromptable):
        def prompt(self, features, prompts, *, multimask):
            answer = super().prompt(features, prompts, multimask=multimask)
            return Answer(-answer.logits.abs() - 1, answer.scores, answer.low_res_logits)

    blind = Blind(tiny_sam)
    features = blind.encode(libby(0))
    for finetune in (False, True):
        persam = PerSamImage(blind, finetune=finetune, steps=2)
        passes = persam.segment(features, persam.reference(features, libby_mask))
        assert len(passes.answers) == 2 and not found(passes.result).any()


def test_persam_f_prompts_with_the_weighted_mask(tiny_sam, libby, libby_mask):
    seen = []

    class Seeing(SamPromptable):
        def prompt(self, features, prompts, *, multimask):
            answer = super().prompt(features, prompts, multimask=multimask)
            # The tiny SAM finds nothing in some photographs: half of every mask is on, so that no pass is left out.
            middle = answer.logits.flatten(2).median(2).values[:, :, None, None]
            answer = Answer(answer.logits - middle, answer.scores, answer.low_res_logits)
            seen.append((prompts, answer, multimask))
            return answer

    persam = PerSamImage(Seeing(tiny_sam), finetune=True, steps=20)
    features = persam._sam.encode(libby(0))
    reference = persam.reference(features, libby_mask)
    assert reference.weights.sum() == pytest.approx(1, abs=1e-6)
    passes = persam.segment(features, reference)
    (_, _, _), (one, first, _), (two, _, _), (three, _, _) = seen
    assert [m for _, _, m in seen] == [True] * 4 and passes.labels.tolist() == [1]
    assert one.boxes is None and one.masks is None and three.masks.shape == two.masks.shape
    expected = torch.einsum("bmhw,m->bhw", first.low_res_logits, reference.weights)
    torch.testing.assert_close(two.masks[:, 0], expected, atol=1e-4, rtol=1e-4)
    on = np.argwhere((torch.einsum("bmhw,m->bhw", first.logits, reference.weights)[0] > 0).numpy())
    assert two.boxes[0].tolist() == [*on.min(0)[::-1], *on.max(0)[::-1]]


def close(mine, official, **tolerance):
    torch.testing.assert_close(mine, torch.as_tensor(official), check_dtype=False, **tolerance)


def found(answer):
    return (answer.logits[0, 0] > 0).numpy()
