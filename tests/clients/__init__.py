"""Unmodified OpenStack clients against a whole Cairn."""
