"""Placement against a real database."""
