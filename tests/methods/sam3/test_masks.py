"""The operations that take the kernels' place, against plain definitions and scipy."""

import numpy as np
import torch
from scipy import ndimage
from transformers.models.sam3_video import modeling_sam3_video

from refseg.methods.sam3.masks import MaskOperations, install


def test_suppression_keeps_a_detection_unless_a_better_kept_one_overlaps_it():
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 9):
        ious = torch.from_numpy(rng.random((n, n)).astype(np.float32))
        ious = torch.maximum(ious, ious.T)
        scores = torch.from_numpy(rng.permutation(n).astype(np.float32))
        kept = MaskOperations.generic_nms(ious, scores, 0.7, use_iou_matrix=True).tolist()
        assert kept == sorted(kept, key=lambda i: -float(scores[i]))
        for i in range(n):
            better = [k for k in kept if scores[k] > scores[i]]
            assert (i in kept) == (not any(ious[i, k] > 0.7 for k in better))


def test_components_are_those_of_scipy():
    rng = np.random.default_rng(0)
    masks = torch.from_numpy((rng.random((3, 1, 21, 33)) < 0.35).astype(np.uint8))
    labels, counts = MaskOperations.cc_2d(masks, get_counts=True)
    assert labels.shape == counts.shape == masks.shape
    for mask, label, count in zip(masks[:, 0], labels[:, 0], counts[:, 0], strict=True):
        theirs, n = ndimage.label(mask.numpy(), np.ones((3, 3)))
        assert label.max() == n
        for i in range(1, n + 1):
            part = theirs == i
            assert len({*label.numpy()[part]}) == 1 and (count.numpy()[part] == part.sum()).all()
    assert [x.shape for x in MaskOperations.cc_2d(masks[:0])] == [(0, 1, 21, 33)] * 2


def test_transformers_fills_holes_and_drops_specks_with_them(monkeypatch):
    """Without kernels it would leave both, with a warning."""
    monkeypatch.setattr(modeling_sam3_video, "cv_utils_kernel", None)
    install()
    mask = torch.full((1, 1, 20, 20), -3.0)
    mask[..., 4:14, 4:14] = 3.0
    mask[..., 8, 8] = -3.0
    mask[..., 18, 18] = 3.0
    done = modeling_sam3_video.fill_holes_in_mask_scores(mask, max_area=4) > 0
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[4:14, 4:14] = True
    assert torch.equal(done[0, 0], expected)
    probs, pair = torch.tensor([0.6, 0.9, 0.1]), mask[0].expand(3, -1, -1)
    keep = modeling_sam3_video.nms_masks(probs, pair, prob_threshold=0.5, iou_threshold=0.5)
    assert keep.tolist() == [False, True, False]
