"""DeAOT's gated propagation module: a visual and an identity branch that share their attention maps.

"Decoupling Features in Hierarchical Propagation for Video Object Segmentation" (2022), section 4; names and
details as in the official ``networks/layers/transformer.py`` and ``attention.py``. It needs no position embedding:
the official layers are given one and do not use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.attention import WindowRead, attend
from refseg.methods.deaot.layers import DepthwiseConv2d, DropPath, GroupNorm1d, Size, to_map, to_tokens
from refseg.methods.deaot.propagation import Memory, PropagationLayer, PropagationStack


class _Gated(nn.Module):
    """What follows an attention: the gate, a depthwise convolution, a projection to both branches."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__()
        self.dw_conv = DepthwiseConv2d(4 * dim, dropout=dropout)
        self.projection = nn.Linear(4 * dim, 2 * dim)

    def gated(self, read: Tensor, gate: Tensor, size: Size) -> Tensor:
        """Return (B, N, 2C) from what was read and the gate, (B, N, 4C) both."""
        return self.projection(self.dw_conv(read * gate, size))  # type: ignore[no-any-return]


class GatedPropagation(_Gated):
    """Reads all tokens of the long-term memory."""

    def forward(self, query: Tensor, memory: Memory, gate: Tensor, size: Size) -> Tensor:
        """Return (B, N, 2C): the visual half, then the identity half.

        Args:
            query: (B, N, C/2).
            memory: Keys of width C/2, values of width 4C.
            gate: (B, N, 4C).
            size: (h, w).
        """
        read = attend(query[:, None], memory.key[:, None], memory.value[:, None])[:, 0]
        return self.gated(read, gate, size)


class LocalGatedPropagation(_Gated):
    """Reads a window of the short-term memory around each token."""

    def __init__(self, dim: int, *, reach: int, dropout: float) -> None:
        super().__init__(dim, dropout=dropout)
        self.relative_emb_k = nn.Conv2d(dim // 2, (2 * reach + 1) ** 2, 1)
        self.window = WindowRead(reach=reach)

    def forward(self, query: Tensor, memory: Memory, gate: Tensor, size: Size) -> Tensor:
        """Return (B, N, 2C); arguments as in :class:`GatedPropagation`."""
        relative = to_tokens(self.relative_emb_k(to_map(query, size)))  # of the unscaled query
        read = self.window(
            query[:, None], memory.key[:, None], memory.value[:, None], relative[:, None], size
        )
        return self.gated(read[:, 0], gate, size)


class SelfGatedPropagation(_Gated):
    """Lets the tokens of a frame read each other; both branches together give one attention map."""

    def __init__(self, dim: int, *, dropout: float) -> None:
        super().__init__(dim, dropout=dropout)
        self.linear_QK = nn.Linear(2 * dim, dim // 2)
        self.linear_V1 = nn.Linear(dim, 2 * dim)
        self.linear_V2 = nn.Linear(dim, 2 * dim)
        self.linear_U1 = nn.Linear(dim, 2 * dim)
        self.linear_U2 = nn.Linear(dim, 2 * dim)

    def forward(self, x: Tensor, y: Tensor, size: Size) -> Tensor:
        """Return (B, N, 2C) from the normalised branches (B, N, C)."""
        query = self.linear_QK(torch.cat([x, y], -1))[:, None]
        value = F.silu(torch.cat([self.linear_V1(x), self.linear_V2(y)], -1))
        gate = F.silu(torch.cat([self.linear_U1(x), self.linear_U2(y)], -1))
        return self.gated(attend(query, query, value[:, None])[:, 0], gate, size)


@dataclass(frozen=True)
class GpmFrame:
    """A frame before it propagates in one layer.

    Attributes:
        x: (B, N, C) visual branch.
        y: (B, N, C) identity branch, None before the first layer.
        query: (B, N, C/2), also its key.
        value: (B, N, 2C) visual value.
        gate: (B, N, 4C).
        normed_y: (B, N, C), None before the first layer.
    """

    x: Tensor
    y: Tensor | None
    query: Tensor
    value: Tensor
    gate: Tensor
    normed_y: Tensor | None


class GatedPropagationModule(PropagationLayer):
    """One layer. A memory's values are the visual values (2C), then the identity values (2C)."""

    def __init__(self, dim: int, *, first: bool, reach: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.widths = (dim // 2, 2 * dim)
        self.norm1 = nn.LayerNorm(dim)
        self.linear_QV = nn.Linear(dim, sum(self.widths))
        self.linear_U = nn.Linear(dim, 2 * dim)
        self.linear_ID_V = nn.Linear(dim if first else 2 * dim, 2 * dim)
        if not first:
            self.id_norm1 = nn.LayerNorm(dim)
            self.linear_ID_U = nn.Linear(dim, 2 * dim)
        self.long_term_attn = GatedPropagation(dim, dropout=dropout)
        self.short_term_attn = LocalGatedPropagation(dim, reach=reach, dropout=dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.id_norm2 = nn.LayerNorm(dim)
        self.self_attn = SelfGatedPropagation(dim, dropout=dropout)
        self.drop_path = DropPath(drop_path)

    def prepare(self, x: Tensor, y: Tensor | None, size: Size) -> GpmFrame:
        """Project both branches; the first layer has no identity branch and leaves that half of the gate open."""
        normed = self.norm1(x)
        query, value = self.linear_QV(normed).split(self.widths, -1)
        gate, normed_y = F.silu(self.linear_U(normed)), None
        if y is None:
            other = torch.ones_like(gate)
        else:
            normed_y = self.id_norm1(y)
            other = F.silu(self.linear_ID_U(normed_y))
        return GpmFrame(x, y, query, F.silu(value), torch.cat([gate, other], -1), normed_y)

    def remember(self, current: GpmFrame, identity: Tensor) -> Memory:
        """Return the frame's keys and values; identity values come from its identity branch and its masks."""
        known = identity if current.normed_y is None else torch.cat([current.normed_y, identity], -1)
        identity_value = F.silu(self.linear_ID_V(known))
        return Memory(current.query, torch.cat([current.value, identity_value], -1))

    def propagate(self, current: GpmFrame, long: Memory, short: Memory, size: Size) -> tuple[Tensor, Tensor]:
        """Add what both memories say, then what the frame says to itself."""
        far = self.long_term_attn(current.query, long, current.gate, size)
        near = self.short_term_attn(current.query, short, current.gate, size)
        x_step, y_step = (far + near).chunk(2, -1)
        x = current.x + x_step
        y = y_step if current.y is None else current.y + y_step
        own = self.drop_path(self.self_attn(self.norm2(x), self.id_norm2(y), size))
        x_step, y_step = own.chunk(2, -1)
        return x + x_step, y + y_step


class DualBranchGpm(PropagationStack):
    """The layers; the decoder gets both branches of the last one, each normalised over all positions."""

    def __init__(self, dim: int, *, layers: int, reach: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GatedPropagationModule(dim, first=i == 0, reach=reach, dropout=dropout, drop_path=drop_path)
            for i in range(layers)
        )
        self.decoder_norms = nn.ModuleList([GroupNorm1d(2 * dim, groups=2)])

    def decoder_tokens(self, x: Tensor, outputs: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Return (B, N, 2C)."""
        visual, identity = outputs[-1]
        assert identity is not None
        return self.decoder_norms[0](torch.cat([visual, identity], -1))  # type: ignore[no-any-return]
