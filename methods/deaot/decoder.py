"""FPN decoder: from propagated tokens and encoder maps to logits of the ids (``networks/decoders/fpn.py``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from refseg.methods.deaot.layers import ConvGroupNorm


class FpnDecoder(nn.Module):
    """Joins three encoder maps on the way from stride 16 to stride 4.

    The names are those of the official checkpoints; with a smaller ``stride`` in the configuration all scales
    shrink alike.
    """

    def __init__(
        self, *, in_dim: int, dim: int, out_dim: int, map_dims: Sequence[int], align_corners: bool
    ) -> None:
        """Create it.

        Args:
            in_dim: Width of the propagated tokens.
            dim: Its own width at stride 16; half of it above.
            out_dim: Ids and background.
            map_dims: Channels of the encoder's maps at strides 4, 8 and 16.
            align_corners: How maps are enlarged.
        """
        super().__init__()
        self.align_corners = align_corners
        self.conv_in = ConvGroupNorm(in_dim, dim, 1)
        self.conv_16x = ConvGroupNorm(dim, dim, 3)
        self.conv_8x = ConvGroupNorm(dim, dim // 2, 3)
        self.conv_4x = ConvGroupNorm(dim // 2, dim // 2, 3)
        self.adapter_16x = nn.Conv2d(map_dims[2], dim, 1)
        self.adapter_8x = nn.Conv2d(map_dims[1], dim, 1)
        self.adapter_4x = nn.Conv2d(map_dims[0], dim // 2, 1)
        self.conv_out = nn.Conv2d(dim // 2, out_dim, 1)

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return logits (B, out_dim, H/4, W/4).

        Args:
            x: (B, in_dim, h, w) propagated tokens.
            maps: The encoder's maps at strides 4, 8 and 16.
        """
        quarter, eighth, sixteenth = maps
        x = F.relu(self.conv_in(x))
        x = F.relu(self.conv_16x(self.adapter_16x(sixteenth) + x))
        x = F.relu(self.conv_8x(self.adapter_8x(eighth) + self._enlarge(x, eighth)))
        x = F.relu(self.conv_4x(self.adapter_4x(quarter) + self._enlarge(x, quarter)))
        return self.conv_out(x)  # type: ignore[no-any-return]

    def _enlarge(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=self.align_corners)
