"""Counts parameters: what is learnable, and the total, by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from refseg.bench import registry
from refseg.bench.types import MethodRequest

if TYPE_CHECKING:
    from torch import nn


def count_method(name: str, options: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Count a registered method's parameters.

    It is built on the ``meta`` device: a factory that sees it builds its networks without weights and without
    memory.

    Returns:
        ``{"method", "learnable", "total", "modules": {name: {"learnable", "total"}}}``.
    """
    method = registry.build_method(MethodRequest(name, dict(options or {}), device="meta"))
    return {"method": name, **count_modules(method.modules())}


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
