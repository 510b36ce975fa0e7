"""Volumes in SQL: which there are, and which instances have them."""
