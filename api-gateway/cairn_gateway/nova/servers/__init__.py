"""Servers: Nova's word for instances."""
