"""Who may do what with the Network API: Neutron's rule names."""

from __future__ import annotations

from cairn_gateway.policy.rules import member

RULES = (member("create_network", "Make a network", "POST /v2.0/networks"),)
