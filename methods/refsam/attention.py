"""Dense attention and hierarchical dense attention (paper III-E)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseAttention(nn.Module):
    """The convolution of dense attention on one map (equation 6)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * dim, dim, kernel_size=1)


def place_scores(
    maps: Sequence[Tensor], bank: Tensor, frame_index: Tensor, added: Tensor | None = None
) -> list[Tensor]:
    """Return (N, L, h·w) for each map: how much each place attends to each of the bank before the softmax (equation 4).

    Args:
        maps: (B, C, h, w) each, one map per frame.
        bank: (N, L, C), sentence and words of each expression.
        frame_index: (N,) the frame of each expression.
        added: (N, C, h, w), what each expression sees beside its frame's first map, or None.
    """
    scaled = bank / math.sqrt(bank.shape[-1])
    scores = [scaled @ m.flatten(2).index_select(0, frame_index) for m in maps]
    if added is not None:
        scores[0] = scores[0] + scaled @ added.flatten(2)
    return scores


class HierarchicalDenseAttention(nn.Module):
    """Dense attention on the image embedding and on the reduced intermediate maps, summed (Figure 3).

    Without reductions it is the plain dense attention (DA in Table III).
    """

    def __init__(self, dim: int, *, map_dims: Sequence[int], normalize: bool) -> None:
        """Create it.

        Args:
            dim: Width C of image embedding, words and output.
            map_dims: Widths of the intermediate maps in use; each gets its own 1x1 convolution to ``dim``.
            normalize: L2-normalise the maps over their channels.
        """
        super().__init__()
        self.normalize = normalize
        self.reductions = nn.ModuleList(nn.Conv2d(d, dim, kernel_size=1) for d in map_dims)
        self.attentions = nn.ModuleList(DenseAttention(dim) for _ in range(1 + len(map_dims)))

    def maps(self, embedding: Tensor, intermediates: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the (B, C, h, w) maps to attend from: the embedding and the reduced intermediate maps."""
        maps = [embedding]
        if self.reductions:
            maps += [reduce(m) for reduce, m in zip(self.reductions, intermediates, strict=True)]
        return tuple(F.normalize(m, dim=1) if self.normalize else m for m in maps)

    def forward(
        self,
        maps: Sequence[Tensor],
        bank: Tensor,
        bank_mask: Tensor,
        frame_index: Tensor,
        added: Tensor | None = None,
        scores: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Fuse N expressions with the frames they are about.

        For each map A = softmax over the bank of (f · bankᵀ) / sqrt(C), S = A · bank, and what is summed is
        Conv1x1(concat(S, f)) (equations 4 to 6). The convolutions are taken apart: their text halves act on the bank
        before attention spreads it over the pixels, for all maps in one product; their visual halves act once a frame.

        Args:
            maps: (B, C, h, w) each, one map per frame, as :meth:`maps` gives them.
            bank: (N, L, C), sentence and words of each expression.
            bank_mask: (N, L) bool, False at padding; no row is all padding.
            frame_index: (N,) the frame of each expression.
            added: (N, C, h, w), what each expression sees beside its frame's first map, or None.
            scores: :func:`place_scores` of these, where they are known already.

        Returns:
            (N, C, h, w).
        """
        if scores is None:
            scores = place_scores(maps, bank, frame_index, added)
        convolutions = [a.conv for a in self.attentions if isinstance(a, DenseAttention)]
        halves = [conv.weight.flatten(1).chunk(2, dim=1) for conv in convolutions]
        padding = ~bank_mask[:, :, None]
        shares = [s.masked_fill(padding, -math.inf).softmax(dim=1) for s in scores]
        words = [bank @ of_text.T for of_text, _ in halves]
        fused = torch.cat(words, dim=1).transpose(1, 2) @ torch.cat(shares, dim=1)  # (N, C, hw)
        once = torch.stack([conv.bias for conv in convolutions if conv.bias is not None]).sum(0)[:, None]
        for (_, of_visual), m in zip(halves, maps, strict=True):
            once = once + of_visual @ m.flatten(2)  # (B, C, hw)
        fused = fused + once.index_select(0, frame_index)
        if added is not None:
            fused = fused + halves[0][1] @ added.flatten(2)
        return fused.view(len(bank), -1, *maps[0].shape[2:])
