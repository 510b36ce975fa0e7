"""Every rule of every API, in the order of the reference page. A new table is added here."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from cairn_gateway.policy import base, identity, image, network
from cairn_gateway.policy.compute import actions, cloud, parts, projects, proxies, servers
from cairn_gateway.policy.rules import Rule

TABLES: Final = MappingProxyType(
    {
        "Who counts as what": base.RULES,
        "Compute: servers": servers.RULES,
        "Compute: actions on a server": actions.RULES,
        "Compute: parts of a server": parts.RULES,
        "Compute: projects and users": projects.RULES,
        "Compute: the cloud": cloud.RULES,
        "Compute: proxies": proxies.RULES,
        "Identity": identity.RULES,
        "Images": image.RULES,
        "Networks": network.RULES,
    }
)
"""By the heading that people read."""


def all_rules() -> tuple[Rule, ...]:
    """The whole table. Raises ValueError where two rules have one name."""
    rules = tuple(rule for table in TABLES.values() for rule in table)
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"policy rules are written down twice: {', '.join(twice)}")
    return rules
