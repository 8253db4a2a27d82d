"""A faster forward of segment_anything's image encoder: its modules and weights, and what it computes.

An image that is not square leaves part of the encoder's square empty. Up to the first block of global attention,
windows that lie in the empty part alone hold the same for every image of that size, so they are computed once
(``padding="exact"``). ``padding="frozen"`` keeps all of the empty part from an image without content: its keys and
values in every block, and its cells of the maps that come out. That is another function, since the empty part does
see the image through global attention; whether it is near enough is for the accuracy gate of ``bench speed``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from refseg.methods.sam.compat import ImageEncoderViT
from refseg.methods.sam.fast_block import Adapters, Around, Form, run_block


@dataclass(frozen=True)
class EncoderOptions:
    """Options of ``--set`` of methods with SAM's image encoder.

    Attributes:
        encoder: Our forward of it, or segment_anything's own, to compare with; equal but for rounding.
        padding: What is done about the empty part of the square; see :mod:`refseg.methods.sam.fast_encoder`.
        compile: Compile the blocks by torch.compile; the first frames then take minutes.
    """

    encoder: Literal["fast", "official"] = "fast"
    padding: Literal["exact", "frozen"] = "exact"
    compile: bool = False

    def encoder_facts(self) -> dict[str, str | bool]:
        """Return them by name, as part of a method's configuration."""
        return {"encoder": self.encoder, "padding": self.padding, "compile": self.compile}


REFERENCE_OPTIONS = {"encoder": "official", "padding": "exact", "compile": "false"}
"""The options under which the encoder is segment_anything's own: what faster ones are compared with."""


@dataclass
class _Frozen:
    """What an image without content gives.

    Attributes:
        start: (1, H, W, C) what enters the first global block.
        around: Per block, keys and values of the empty part.
        maps: Per block, its output (1, H, W, C), where it is needed.
    """

    start: Tensor
    around: list[Around] = field(default_factory=list)
    maps: dict[int, Tensor] = field(default_factory=dict)


class FastEncoder:
    """segment_anything's image encoder, run faster; without gradients.

    Args:
        encoder: The network. Its weights must not change once it has run.
        adapters: Block number as text -> RefSAM's adapters.
        taps: Blocks whose outputs are returned as well.
        options: How it is run; ``encoder`` has no part in it.
        form: How relative positions enter global attention; None: folded on GPUs, whose fused kernels would read
            a bias of gigabytes, and as a bias elsewhere.
    """

    def __init__(
        self,
        encoder: ImageEncoderViT,
        adapters: Mapping[str, Adapters] | None = None,
        taps: Sequence[int] = (),
        options: EncoderOptions | None = None,
        form: Form | None = None,
    ) -> None:
        self._encoder, self._adapters, self._taps = encoder, dict(adapters or {}), tuple(taps)
        self._options, self._form = options or EncoderOptions(), form
        self._run = torch.compile(run_block, dynamic=False) if self._options.compile else run_block
        windows = [int(block.window_size) for block in encoder.blocks]
        self._window, self._depth = windows[0], len(windows)
        # The blocks before this one work inside windows, all of one size.
        self._first_global = windows.index(0) if 0 in windows else 0
        self._frozen: dict[tuple[object, ...], _Frozen] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, content: tuple[int, int] | None = None) -> tuple[Tensor, list[Tensor]]:
        """Encode images.

        Args:
            images: (B, 3, S, S) normalised, zero outside of their content.
            content: (h, w) pixels from the top left that hold all that the images have; None: everything.

        Returns:
            The embedding (B, C', h, w) after the neck, and the tapped outputs (B, C, h, w) before it.
        """
        x = patches(self._encoder, images)
        grid = (x.shape[1], x.shape[2])
        side = self._encoder.img_size // grid[0]
        cells = grid if content is None else (-(-content[0] // side), -(-content[1] // side))
        if self._options.padding == "frozen" and cells != grid:
            x, maps = self._content_only(x, images, cells)
        else:
            x, maps = self._whole(x, images, cells)
        return neck(self._encoder, x), [m.permute(0, 3, 1, 2) for m in maps]

    def _whole(self, x: Tensor, images: Tensor, cells: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Run all blocks, those before the first global one on windows with content only."""
        grid = (x.shape[1], x.shape[2])
        windows = self._window or 1
        h, w = (min(g, -(-c // windows) * windows) for g, c in zip(grid, cells, strict=True))
        first = self._first_global
        skips = (h, w) != grid and first > 0 and all(i >= first for i in self._taps)
        maps = []
        if skips:
            start = self._without_content(images, cells).start
            x = x[:, :h, :w]
        for i in range(self._depth):
            if skips and i == first:
                x = _completed(start, x)
            x = self._block(i, x, grid)
            if i in self._taps:
                maps.append(x)
        return x, maps

    def _content_only(self, x: Tensor, images: Tensor, cells: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Run all blocks on the cells with content; the others keep what they have without any."""
        grid = (x.shape[1], x.shape[2])
        frozen = self._without_content(images, cells)
        x = x[:, : cells[0], : cells[1]]
        maps = []
        for i in range(self._depth):
            x = self._block(i, x, grid, frozen.around[i])
            if i in self._taps:
                maps.append(_completed(frozen.maps[i], x))
        return _completed(frozen.maps[self._depth - 1], x), maps

    def _without_content(self, images: Tensor, cells: tuple[int, int]) -> _Frozen:
        """Return what an image without content gives; computed once for each size of content."""
        key = (cells, images.device, images.dtype)
        if key not in self._frozen:
            self._frozen[key] = self._computed(torch.zeros_like(images[:1]), cells)
        return self._frozen[key]

    def _computed(self, blank: Tensor, cells: tuple[int, int]) -> _Frozen:
        start = x = patches(self._encoder, blank)
        grid = (x.shape[1], x.shape[2])
        all_of_it = self._options.padding == "frozen"
        frozen = _Frozen(start)
        for i in range(self._depth if all_of_it else self._first_global):
            if i == self._first_global:
                frozen.start = x
            x, qkv = run_block(self._encoder.blocks[i], x, grid=grid, adapters=self._adapters.get(str(i)))
            size = int(self._encoder.blocks[i].window_size)
            reach = [min(g, -(-c // size) * size) if size else g for g, c in zip(grid, cells, strict=True)]
            if all_of_it:
                frozen.around.append(Around.of(qkv, cells, (reach[0], reach[1])))
            if i in self._taps or i == self._depth - 1:
                frozen.maps[i] = x
        if not all_of_it:
            frozen.start = x
        return frozen

    def _block(self, i: int, x: Tensor, grid: tuple[int, int], around: Around | None = None) -> Tensor:
        form = self._form or ("folded" if x.device.type == "cuda" else "bias")
        adapters = self._adapters.get(str(i))
        block = self._encoder.blocks[i]
        out, _ = self._run(block, x, grid=grid, adapters=adapters, around=around, form=form)
        return out


def _completed(whole: Tensor, part: Tensor) -> Tensor:
    """Return (B, H, W, C): the parts (B, h, w, C), and beside them the (1, H, W, C) of the whole."""
    out = whole.expand(len(part), -1, -1, -1).clone()
    out[:, : part.shape[1], : part.shape[2]] = part
    return out


def patches(encoder: ImageEncoderViT, images: Tensor) -> Tensor:
    """Return what enters the first block, (B, h, w, C), for (B, 3, S, S) images."""
    x: Tensor = encoder.patch_embed(images)
    return x if encoder.pos_embed is None else x + encoder.pos_embed


def neck(encoder: ImageEncoderViT, x: Tensor) -> Tensor:
    """Return the embedding (B, C', h, w) of the last block's (B, h, w, C), channels last in memory."""
    reduce, first, mix, second = encoder.neck
    x = F.linear(x, reduce.weight.flatten(1))
    x = F.layer_norm(x, (x.shape[-1],), first.weight, first.bias, first.eps)
    x = mix(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return F.layer_norm(x, (x.shape[-1],), second.weight, second.bias, second.eps).permute(0, 3, 1, 2)
