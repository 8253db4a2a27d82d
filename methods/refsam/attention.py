"""Dense attention and hierarchical dense attention (paper III-E)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseAttention(nn.Module):
    """Every pixel attends to the sentence and its words (equations 4 to 6).

    A = softmax over the bank of (f · bankᵀ) / sqrt(C), S = A · bank, output = Conv1x1(concat(S, f)).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * dim, dim, kernel_size=1)

    def forward(
        self,
        visual: Tensor,
        bank: Tensor,
        bank_mask: Tensor,
        frame_index: Tensor,
        added: Tensor | None = None,
    ) -> Tensor:
        """Fuse N expressions with the frames they are about.

        The convolution of the concatenation is taken apart: its text half acts on the bank before the
        attention spreads it over the pixels, its visual half acts once per frame.

        Args:
            visual: (B, C, h, w), one map per frame.
            bank: (N, L, C), sentence and words of each expression.
            bank_mask: (N, L) bool, False at padding; no row is all padding.
            frame_index: (N,) the frame of each expression.
            added: (N, C, h, w), what each expression sees besides its frame, or None.

        Returns:
            (N, C, h, w).
        """
        c, h, w = visual.shape[1:]
        of_text, of_visual = self.conv.weight.flatten(1).chunk(2, dim=1)
        pixels = visual.flatten(2)  # (B, C, hw)
        seen = pixels.index_select(0, frame_index)
        if added is not None:
            seen = seen + added.flatten(2)
        scores = bank @ seen / math.sqrt(c)  # (N, L, hw)
        attention = scores.masked_fill(~bank_mask[:, :, None], -math.inf).softmax(dim=1)
        text = (bank @ of_text.T).transpose(1, 2) @ attention  # (N, C, hw)
        fused = text + (of_visual @ pixels).index_select(0, frame_index)
        if added is not None:
            fused = fused + of_visual @ added.flatten(2)
        assert self.conv.bias is not None
        return (fused + self.conv.bias[:, None]).view(len(bank), c, h, w)


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
    ) -> Tensor:
        """Return the dense embeddings (N, C, h, w); arguments as in :meth:`DenseAttention.forward`.

        What is ``added`` is seen beside the first map, the image embedding.
        """
        besides = [added, *[None] * (len(maps) - 1)]
        fused = [
            attend(m, bank, bank_mask, frame_index, beside)
            for attend, m, beside in zip(self.attentions, maps, besides, strict=True)
        ]
        return torch.stack(fused).sum(0) if len(fused) > 1 else fused[0]
