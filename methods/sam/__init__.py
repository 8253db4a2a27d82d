"""SAM: the parts that methods share, and the tiny SAM's training."""
