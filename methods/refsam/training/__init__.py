"""Training RefSAM by the paper's recipe; nothing here takes part in predictions."""
