"""RefSAM: Adapting Segment Anything to referring video object segmentation (`paper` section III)."""
