"""Grounding DINO through transformers: the detector of the composed baselines."""
