"""Methods under test, one folder each, and the SAM parts that they share."""
