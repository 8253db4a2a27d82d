"""Folders and zips of masks as other programs write and read them."""
