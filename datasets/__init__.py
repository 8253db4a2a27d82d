"""Datasets, one file or folder each."""
