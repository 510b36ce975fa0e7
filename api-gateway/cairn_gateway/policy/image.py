"""Who may do what with the Image API: Glance's rule names."""

from __future__ import annotations

from cairn_gateway.policy.rules import reader

RULES = (reader("get_images", "See the images that one has access to", "GET /v2/images"),)
