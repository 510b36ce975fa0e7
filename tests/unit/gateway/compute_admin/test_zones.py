"""What availability zones allow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database.aggregates import AggregateRecord
from cairn_gateway.nova.aggregates_zones import (
    problem_of_adding,
    problem_of_changing,
    problem_of_removing,
)

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def aggregate(name: str, zone: str | None = None, *hosts: str, **metadata: Any) -> AggregateRecord:
    spec = HostAggregateSpec(hosts=list(hosts), availability_zone=zone, metadata=metadata)
    return AggregateRecord(name, 1, "uuid", spec, NOW, NOW)


EAST, WEST, PLAIN = aggregate("e", "east", "a"), aggregate("w", "west"), aggregate("p", None, "a", "b")


def test_an_aggregate_without_a_zone_takes_any_host() -> None:
    assert problem_of_adding(PLAIN, [EAST, WEST], "a", 5) is None
    assert problem_of_removing(PLAIN, [EAST, WEST], "a", 5) is None


def test_a_host_is_in_one_zone() -> None:
    assert "east" in str(problem_of_adding(WEST, [EAST, PLAIN], "a", 0))
    assert problem_of_adding(WEST, [EAST, PLAIN], "b", 0) is None
    assert problem_of_adding(aggregate("e2", "east"), [EAST], "a", 5) is None


def test_no_instance_changes_its_zone_with_its_host() -> None:
    assert "from none to west" in str(problem_of_adding(WEST, [PLAIN], "b", 2))
    assert "from east to none" in str(problem_of_removing(EAST, [PLAIN], "a", 2))
    assert problem_of_removing(EAST, [PLAIN], "a", 0) is None
    assert problem_of_removing(EAST, [aggregate("e2", "east", "a")], "a", 2) is None


def test_an_aggregate_changes_its_zone_while_its_hosts_are_free() -> None:
    assert problem_of_changing(EAST, [PLAIN], "north", 0) is None
    assert problem_of_changing(EAST, [PLAIN], "east", 3) is None
    assert "3 instance(s)" in str(problem_of_changing(EAST, [PLAIN], "north", 3))
    assert "east" in str(problem_of_changing(PLAIN, [EAST], "west", 0))
    for empty in (None, ""):
        assert problem_of_changing(EAST, [PLAIN], empty, 0)


def test_a_zone_in_the_metadata_counts() -> None:
    by_hand = aggregate("h", None, "b", availability_zone="north")
    assert by_hand.zone == "north"
    assert "north" in str(problem_of_adding(WEST, [by_hand], "b", 0))
