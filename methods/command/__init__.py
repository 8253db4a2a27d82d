"""A program of any environment or language as a method; see :mod:`refseg.methods.command.method`."""

from __future__ import annotations

from refseg.bench.types import Method, MethodRequest


def build(request: MethodRequest) -> Method:
    """Build the method that runs a program."""
    from refseg.methods.command.method import Command

    return Command(request)
