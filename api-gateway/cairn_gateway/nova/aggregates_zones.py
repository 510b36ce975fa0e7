"""What availability zones allow: a host is in one at most, and no instance changes its zone by a side door.

Source of behaviour: Nova API, os-aggregates (400 and 409 of add_host, remove_host, update, set_metadata).
"""

from __future__ import annotations

from collections.abc import Sequence

from cairn_database.aggregates import AggregateRecord, zones

MOVE = "Move them to other hosts first, or shelve and unshelve them."


def problem_of_changing(
    record: AggregateRecord, others: Sequence[AggregateRecord], zone: str | None, instances: int
) -> str | None:
    """Why the aggregate cannot become `zone`; None where it can. `instances` run on its hosts."""
    if not zone:
        return f"an availability zone of aggregate {record.display_name} must not be empty."
    conflict = _other_zones(others, record.spec.hosts, zone)
    if conflict:
        return conflict
    if zone != record.zone and instances:
        return f"its hosts have {instances} instance(s), whose zone would change to {zone}. {MOVE}"
    return None


def problem_of_adding(
    record: AggregateRecord, others: Sequence[AggregateRecord], host: str, instances: int
) -> str | None:
    """Why the host cannot come into the aggregate."""
    if record.zone is None:
        return None
    conflict = _other_zones(others, [host], record.zone)
    if conflict:
        return conflict
    before = zones(other.spec for other in others).get(host)
    if instances and before != record.zone and host not in record.spec.hosts:
        return _moves(host, before, record.zone, instances)
    return None


def problem_of_removing(
    record: AggregateRecord, others: Sequence[AggregateRecord], host: str, instances: int
) -> str | None:
    """Why the host cannot leave the aggregate."""
    after = zones(other.spec for other in others).get(host)
    if record.zone is None or not instances or after == record.zone:
        return None
    return _moves(host, record.zone, after, instances)


def _other_zones(others: Sequence[AggregateRecord], hosts: Sequence[str], zone: str) -> str | None:
    wanted = set(hosts)
    found = {
        other.zone
        for other in others
        if other.zone and other.zone != zone and not wanted.isdisjoint(other.spec.hosts)
    }
    if not found:
        return None
    return f"one or more hosts are in availability zone {', '.join(sorted(found))} already."


def _moves(host: str, before: str | None, after: str | None, instances: int) -> str:
    return (
        f"host {host} has {instances} instance(s), whose availability zone would change "
        f"from {before or 'none'} to {after or 'none'}. {MOVE}"
    )
