"""How fast a method is, by the protocol of ``docs/speed.md``."""
