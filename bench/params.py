"""Counts parameters: what is learnable, and the total, by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refseg.bench import registry
from refseg.bench.types import Method, MethodRequest

if TYPE_CHECKING:
    from torch import nn


def count_method(name: str, options: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Count a registered method's parameters.

    It is built on the ``meta`` device: a factory that sees it builds its networks without weights and without
    memory.

    Returns:
        ``{"method", "learnable", "total", "modules": {name: {"learnable", "total"}}, "active_per_frame",
        "text_encoder"}``; the last two as :func:`roles` has them.
    """
    method = registry.build_method(MethodRequest(name, dict(options or {}), device="meta"))
    return {"method": name, **count_modules(method.modules()), **roles(method)}


def roles(method: Method) -> dict[str, int]:
    """Count the parameters that a frame needs, and the text encoder's (0 where there is none).

    ``active_per_frame`` leaves out the modules that work once a video, which the method names in its optional
    attribute ``once_per_video``. The optional hook ``text_encoder()`` returns the network that reads sentences.
    """
    once = set(getattr(method, "once_per_video", ()))
    frame = {name: module for name, module in method.modules().items() if name not in once}
    find = getattr(method, "text_encoder", None)
    text = None if find is None else find()
    return {
        "active_per_frame": int(count_modules(frame)["total"]),
        "text_encoder": 0 if text is None else int(count_modules({"text": text})["total"]),
    }


def count_modules(modules: Mapping[str, nn.Module]) -> dict[str, Any]:
    """Count modules by name; a parameter that several share counts once in the sums.

    Learnable is what ``requires_grad``.
    """
    seen: set[int] = set()
    learnable = total = 0
    parts: dict[str, dict[str, int]] = {}
    for name, module in modules.items():
        parameters = list(module.parameters())
        parts[name] = {
            "learnable": sum(p.numel() for p in parameters if p.requires_grad),
            "total": sum(p.numel() for p in parameters),
        }
        for parameter in parameters:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                total += parameter.numel()
                learnable += parameter.numel() if parameter.requires_grad else 0
    return {"learnable": learnable, "total": total, "modules": parts}


def flattened(counts: Mapping[str, Any]) -> list[tuple[str, dict[str, int]]]:
    """Return table rows of a count: the modules, then the sum."""
    whole = {"learnable": int(counts["learnable"]), "total": int(counts["total"])}
    return [*counts["modules"].items(), ("all", whole)]
