"""AOT and DeAOT from their parts: encoder, identity bank, propagation, decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from refseg.methods.deaot.decoder import FpnDecoder
from refseg.methods.deaot.layers import Size, to_map, to_tokens
from refseg.methods.deaot.propagation import Propagated, PropagationStack


@dataclass(frozen=True)
class FrameFeatures:
    """B encoded frames.

    Attributes:
        maps: The encoder's maps at strides 4, 8 and 16, for the decoder.
        tokens: (B, N, C) projected tokens in row-major order, for the propagation.
        size: (h, w) with N = h·w.
    """

    maps: tuple[Tensor, ...]
    tokens: Tensor
    size: Size


class DeAot(nn.Module):
    """A network without state; :class:`refseg.methods.deaot.engine.Engine` keeps the memory of a video."""

    def __init__(
        self,
        *,
        encoder: nn.Module,
        encoder_projector: nn.Conv2d,
        propagation: PropagationStack,
        decoder: FpnDecoder,
        patch_wise_id_bank: nn.Conv2d,
        id_norm: nn.LayerNorm | None,
    ) -> None:
        """Create it; :func:`refseg.methods.deaot.build.build_deaot` makes the parts.

        Args:
            encoder: Returns maps at strides 4, 8 and 16, and the one to be projected.
            encoder_projector: To the propagation's width.
            propagation: GPM or LSTT.
            decoder: From its tokens to logits.
            patch_wise_id_bank: From masks of all ids, background first, to the identity embedding.
            id_norm: Norm of the identity embedding; DeAOT's.
        """
        super().__init__()
        self.encoder = encoder
        self.encoder_projector = encoder_projector
        self.LSTT = propagation
        self.decoder = decoder
        self.patch_wise_id_bank = patch_wise_id_bank
        self.id_norm = nn.Identity() if id_norm is None else id_norm

    @property
    def ids(self) -> int:
        """How many objects it tells apart at once."""
        return self.patch_wise_id_bank.in_channels - 1

    @property
    def stride(self) -> int:
        """Pixels of the frame from one token to the next."""
        return self.patch_wise_id_bank.stride[0]

    @property
    def align_corners(self) -> bool:
        """Whether the corner pixels of frame and maps lie on each other."""
        return self.decoder.align_corners

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.patch_wise_id_bank.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What its parameters are."""
        return self.patch_wise_id_bank.weight.dtype

    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode (B, 3, H, W) normalised frames."""
        *maps, last = self.encoder(frames.to(self.dtype))
        projected = self.encoder_projector(last)
        return FrameFeatures(tuple(maps), to_tokens(projected), (projected.shape[2], projected.shape[3]))

    def embed_identity(self, masks: Tensor) -> Tensor:
        """Return (B, N, C) from (B, 1 + ids, H, W) masks or probabilities of background and ids."""
        return self.id_norm(to_tokens(self.patch_wise_id_bank(masks.to(self.dtype))))  # type: ignore[no-any-return]

    def decode(self, features: FrameFeatures, propagated: Propagated) -> Tensor:
        """Return logits (B, 1 + ids, H/4, W/4) of background and all ids, in float32 at least."""
        logits: Tensor = self.decoder(to_map(propagated.tokens, features.size), features.maps)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))
