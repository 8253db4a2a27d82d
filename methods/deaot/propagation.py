"""What GPM and LSTT have in common: layers that read the memory of earlier frames and make memory of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from refseg.methods.deaot.layers import Size


@dataclass(frozen=True)
class Memory:
    """What one layer remembers of one or several frames, newest first.

    Attributes:
        key: (B, M, K).
        value: (B, M, V).
    """

    key: Tensor
    value: Tensor

    def before(self, older: Memory, kept: int) -> Memory:
        """Return this memory followed by the newest ``kept`` tokens of an older one."""
        return Memory(
            torch.cat([self.key, older.key[:, :kept]], 1), torch.cat([self.value, older.value[:, :kept]], 1)
        )


LayerMemories = tuple[Memory, ...]
"""One memory per layer."""


class PropagationLayer(nn.Module, ABC):
    """One layer, in three steps, so that a frame can be remembered once its masks are known."""

    @abstractmethod
    def prepare(self, x: Tensor, y: Tensor | None, size: Size) -> Any:
        """Return what the other steps need of a frame.

        Args:
            x: (B, N, C) tokens; GPM's visual branch.
            y: (B, N, C) GPM's identity branch; None before its first layer, and in LSTT.
            size: (h, w) with N = h·w.
        """

    @abstractmethod
    def remember(self, current: Any, identity: Tensor) -> Memory:
        """Return the memory of a prepared frame whose identity embedding is (B, N, C)."""

    @abstractmethod
    def propagate(
        self, current: Any, long: Memory, short: Memory, size: Size
    ) -> tuple[Tensor, Tensor | None]:
        """Return x and y after reading the long-term and the short-term memory."""


@dataclass(frozen=True)
class Propagated:
    """A frame after all layers.

    Attributes:
        tokens: (B, N, D), what the decoder gets.
        current: What the layers prepared, one by one; :meth:`PropagationStack.remember` reads it.
        memories: The memory of a reference frame, else None.
    """

    tokens: Tensor
    current: tuple[Any, ...]
    memories: LayerMemories | None


class PropagationStack(nn.Module, ABC):
    """A stack of layers; ``layers`` and ``decoder_norms`` are named as in the official checkpoints."""

    layers: nn.ModuleList

    @abstractmethod
    def decoder_tokens(self, x: Tensor, outputs: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor:
        """Return (B, N, D) for the decoder from the tokens before the first layer and each layer's x and y."""

    def reference(self, x: Tensor, identity: Tensor, size: Size) -> Propagated:
        """Run a frame whose masks are known: it reads its own memory, long-term and short-term.

        Args:
            x: (B, N, C) projected tokens of the frame.
            identity: (B, N, C) identity embedding of its masks.
            size: (h, w).
        """
        return self._run(x, size, identity, None, None)

    def forward(self, x: Tensor, long: LayerMemories, short: LayerMemories, size: Size) -> Propagated:
        """Run a frame whose masks are sought, from the memory of earlier ones."""
        return self._run(x, size, None, long, short)

    def remember(self, propagated: Propagated, identity: Tensor) -> LayerMemories:
        """Return the memory of a frame whose masks have been found since it was run."""
        return tuple(
            layer.remember(current, identity)
            for layer, current in zip(self._layers(), propagated.current, strict=True)
        )

    def _run(
        self,
        x: Tensor,
        size: Size,
        identity: Tensor | None,
        long: LayerMemories | None,
        short: LayerMemories | None,
    ) -> Propagated:
        first, y = x, None
        outputs, prepared, memories = [], [], []
        for i, layer in enumerate(self._layers()):
            current = layer.prepare(x, y, size)
            if identity is None:
                assert long is not None and short is not None
                x, y = layer.propagate(current, long[i], short[i], size)
            else:
                own = layer.remember(current, identity)
                memories.append(own)
                x, y = layer.propagate(current, own, own, size)
            outputs.append((x, y))
            prepared.append(current)
        return Propagated(self.decoder_tokens(first, outputs), tuple(prepared), tuple(memories) or None)

    def _layers(self) -> list[PropagationLayer]:
        return list(self.layers)  # type: ignore[arg-type]
