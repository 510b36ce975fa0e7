"""What SQL, and with it the Compute API, knows of hosts and aggregates follows from their resources."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds import HostAggregate
from cairn_database import aggregates, nodes
from cairn_database.aggregates import AggregateRecord
from cairn_database.nodes import ComputeNodeRecord
from integration.cloud.cairn import Cairn


def known(cairn: Cairn, name: str) -> ComputeNodeRecord:
    record = cairn.sql(nodes.get_compute_node(cairn.db, name))
    assert record is not None
    return record


def aggregate(cairn: Cairn, name: str) -> AggregateRecord | None:
    return cairn.sql(aggregates.get(cairn.db, name))


def test_a_host_is_known_by_the_id_of_its_resource_and_as_up(cairn: Cairn) -> None:
    record = known(cairn, "quick")
    assert record.id == cairn.node("quick")["metadata"]["uid"]
    assert record.alive
    assert record.inventory.boot_time is not None
    assert len({known(cairn, name).number for name in ("quick", "frail", "lab")}) == 3


@pytest.mark.slow
def test_a_silent_host_is_down_and_up_again_under_the_same_id(cairn: Cairn) -> None:
    before = known(cairn, "frail")
    with cairn.settings("conductor", conductor__node_down_seconds=6, conductor__sweep_seconds=1):
        cairn.kill("agent-frail")
        cairn.wait("frail to be down", lambda: not known(cairn, "frail").alive)
        cairn.start("agent-frail")
        cairn.wait("frail to be up", lambda: known(cairn, "frail").alive)
    cairn.start("conductor")
    after = known(cairn, "frail")
    assert (after.id, after.number) == (before.id, before.number)
    assert after.updated_at > before.updated_at


def test_an_aggregate_made_with_kubectl_gets_a_number(cairn: Cairn) -> None:
    def make(name: str, **spec: Any) -> None:
        body = {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": "HostAggregate"}
        cairn.plane.apply({**body, "metadata": {"name": name}, "spec": spec})

    def status(name: str) -> Any:
        return cairn.api.get(HostAggregate, name).get("status", {})

    make("numbered", displayName="Numbered by Cairn")
    number = cairn.wait("the aggregate to have a number", lambda: status("numbered").get("id"))
    record = aggregate(cairn, "numbered")
    assert record is not None
    assert (record.id, record.display_name) == (number, "Numbered by Cairn")
    make("greedy", id=number)
    cairn.wait(
        "the id to be refused",
        lambda: [c["reason"] for c in status("greedy").get("conditions", [])] == ["IdTaken"],
    )
    assert aggregate(cairn, "greedy") is None
    for name in ("numbered", "greedy"):
        cairn.api.delete(HostAggregate, name)
    cairn.wait("the aggregate to be gone", lambda: aggregate(cairn, "numbered") is None)
