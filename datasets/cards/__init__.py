"""Dataset cards, one file each; apart from the loaders, so that a word changed here makes no prediction another."""
