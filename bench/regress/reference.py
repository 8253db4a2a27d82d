"""Two fixed pieces of work that stages are timed beside: what a stage costs is said in units of them.

They use none of this package, so that nothing that is changed here makes them quicker or slower, and they are of the
kind of the stages: a small transformer for methods, bits and runs of masks for what is done around them. Change them
and every baseline is void, so :data:`NAME` is part of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

NAME = "reference-1"
"""Raise the number whenever the work changes."""

_TOKENS, _WIDTH, _HEADS, _BLOCKS = 256, 128, 4, 6
_FRAMES, _HEIGHT, _WIDTH_OF_MASKS = 24, 112, 128


def network_reference() -> Callable[[], None]:
    """Return work of a method's kind: a patch embedding, blocks of attention and MLP, masks upsampled; one frame."""
    kernel = _numbers(_WIDTH, 3, 8, 8)
    blocks = [
        (_numbers(3 * _WIDTH, _WIDTH), _numbers(_WIDTH, _WIDTH), _numbers(4 * _WIDTH, _WIDTH))
        for _ in range(_BLOCKS)
    ]
    image = _numbers(1, 3, 128, 128)

    def work() -> None:
        with torch.inference_mode():
            x = functional.conv2d(image, kernel, stride=8).flatten(2).mT  # (1, tokens, width)
            for qkv, out, up in blocks:
                x = x + _attention(functional.layer_norm(x, (_WIDTH,)), qkv, out)
                hidden = functional.gelu(functional.linear(functional.layer_norm(x, (_WIDTH,)), up))
                x = x + functional.linear(hidden, up.mT.contiguous())
            maps = x.mT.reshape(1, _WIDTH, 16, 16)
            masks = functional.interpolate(maps[:, :8], size=(112, 128), mode="bilinear").sigmoid() > 0.5
            masks.numpy().astype(np.float16)

    return work


def array_reference() -> Callable[[], None]:
    """Return work of scoring's and storing's kind: masks compared, their boundaries, run lengths, JSON."""
    t, y, x = np.ogrid[:_FRAMES, :_HEIGHT, :_WIDTH_OF_MASKS]
    masks = (y - 40 - t) ** 2 + (x - 50 - t) ** 2 < 900

    def work() -> None:
        late = masks[np.maximum(np.arange(_FRAMES) - 1, 0)]
        np.count_nonzero(masks & late, axis=(1, 2))
        edges = masks[:, :-1, :-1] ^ masks[:, 1:, 1:]
        for mask in masks:
            runs = np.flatnonzero(np.diff(mask.ravel(order="F").view(np.int8)))
            json.dumps(np.diff(runs).tolist())
        np.unpackbits(np.packbits(edges))

    return work


def _attention(x: Tensor, qkv: Tensor, out: Tensor) -> Tensor:
    q, k, v = functional.linear(x, qkv).reshape(1, -1, 3, _HEADS, _WIDTH // _HEADS).permute(2, 0, 3, 1, 4)
    mixed = (q @ k.mT / (_WIDTH // _HEADS) ** 0.5).softmax(-1) @ v  # (1, heads, tokens, width of a head)
    return functional.linear(mixed.transpose(1, 2).reshape(x.shape), out)


def _numbers(*shape: int) -> Tensor:
    """Return the same small numbers on every computer."""
    count = int(np.prod(shape))
    return torch.from_numpy(np.sin(np.arange(count)).astype(np.float32) * 0.05).reshape(shape)
