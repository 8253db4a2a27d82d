"""SAM 3's operations on masks, for which transformers would fetch a program from the hub.

Where its optional package ``kernels`` is missing, or a machine has no GPU for them, transformers leaves non-maximum
suppression, the filling of holes and the removal of specks out with a warning, and results would depend on the
machine. These take the kernels' place everywhere. What they compute is that of the official code's CPU path
(facebookresearch/sam3, ``sam3/perflib/nms.py`` and ``connected_components.py``).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor


class MaskOperations:
    """Has the two functions of the kernel ``kernels-community/cv-utils`` that transformers' SAM 3 calls."""

    @staticmethod
    def generic_nms(
        ious: Tensor, scores: Tensor, iou_threshold: float, *, use_iou_matrix: bool = True
    ) -> Tensor:
        """Return the indices of the detections that no better kept one overlaps, best first.

        Args:
            ious: (N, N) intersection over union.
            scores: (N,).
            iou_threshold: Overlap above which the worse detection goes.
            use_iou_matrix: True; the kernel takes boxes otherwise.
        """
        assert use_iou_matrix
        overlap = (ious > iou_threshold).cpu().numpy()
        kept: list[int] = []
        for i in scores.float().argsort(descending=True, stable=True).tolist():
            if not overlap[i, kept].any():
                kept.append(i)
        return torch.tensor(kept, dtype=torch.int64, device=scores.device)

    @staticmethod
    def cc_2d(masks: Tensor, *, get_counts: bool = True) -> tuple[Tensor, Tensor]:
        """Return each pixel's 8-connected component, 0 for the background, and how many pixels share its label.

        Args:
            masks: (N, 1, H, W) uint8.
            get_counts: True; the kernel can leave the counts out.
        """
        assert get_counts
        planes = [
            cv2.connectedComponents(np.ascontiguousarray(plane), connectivity=8)[1]
            for plane in masks[:, 0].cpu().numpy()
        ]
        labels = np.stack(planes) if planes else np.zeros(masks[:, 0].shape, np.int32)
        counts = np.stack([np.bincount(p.ravel())[p] for p in planes]) if planes else labels
        both = (torch.from_numpy(a.astype(np.int32))[:, None].to(masks.device) for a in (labels, counts))
        return next(both), next(both)


def install() -> None:
    """Put them in the kernels' place, where transformers looks before it tries to fetch those."""
    from transformers.models.sam3_video import modeling_sam3_video

    module: Any = modeling_sam3_video
    module.cv_utils_kernel = MaskOperations()
