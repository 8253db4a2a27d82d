"""Scoring protocols: each turns predictions and truth into the numbers of one table."""
