"""Measures and the loop that applies a protocol to predictions."""
