"""The table of hosts: three sources, liveness by the local clock, rows that come and go."""

from __future__ import annotations

import numpy as np

from cairn_crds import Condition, ConditionStatus
from cairn_operator.scheduler.aggregates import Aggregate
from cairn_operator.scheduler.hosts import HostTable, HostUsage
from unit.scheduler.support import BEAT_SECONDS, Host, node, table

LATER = "2026-01-01T00:00:10Z"


def up(hosts: HostTable, now: float) -> set[str]:
    hosts.refresh_liveness(now)
    return {name for name, row in hosts.rows.items() if hosts.up[row]}


def test_a_host_is_up_while_its_heartbeat_changes() -> None:
    hosts = HostTable(service_down_time=60.0)
    hosts.set_node(node(Host("a")), now=100.0, wall_clock=BEAT_SECONDS)
    assert up(hosts, 159.9) == {"a"}
    assert up(hosts, 160.0) == set()
    hosts.set_node(node(Host("a"), LATER), now=170.0, wall_clock=BEAT_SECONDS)
    assert up(hosts, 229.9) == {"a"}


def test_an_event_without_a_new_heartbeat_is_no_sign_of_life() -> None:
    hosts = HostTable(service_down_time=60.0)
    hosts.set_node(node(Host("a")), now=100.0, wall_clock=BEAT_SECONDS)
    hosts.set_node(node(Host("a", disabled=True)), now=150.0, wall_clock=BEAT_SECONDS)
    assert up(hosts, 161.0) == set()


def test_a_wrong_clock_on_the_host_does_no_harm() -> None:
    """Only that the stamp changed counts; were it a year off, the first one seen would just not count yet."""
    for beat in ("2020-01-01T00:00:00Z", "2036-01-01T00:00:00Z"):
        hosts = HostTable(service_down_time=60.0)
        hosts.set_node(node(Host("a"), beat), now=0.0, wall_clock=BEAT_SECONDS)
        hosts.set_node(node(Host("a"), beat.replace("00Z", "10Z")), now=10.0, wall_clock=BEAT_SECONDS)
        assert up(hosts, 69.0) == {"a"}
        assert up(hosts, 70.0) == set()


def test_a_host_that_was_dead_when_the_scheduler_started_is_not_taken_for_alive() -> None:
    hosts = HostTable(service_down_time=60.0)
    hosts.set_node(node(Host("dead")), now=0.0, wall_clock=BEAT_SECONDS + 3600)
    silent = node(Host("silent"))
    down = Condition(type="Up", status=ConditionStatus.FALSE, reason="NoHeartbeat", message="")
    status = silent.status.model_copy(update={"conditions": [down]})
    hosts.set_node(silent.model_copy(update={"status": status}), now=0.0, wall_clock=BEAT_SECONDS)
    assert up(hosts, 1.0) == set()


def test_a_wrong_clock_on_the_schedulers_side_does_no_harm() -> None:
    for seconds in (-300, 300):
        hosts = HostTable(service_down_time=60.0)
        hosts.set_node(node(Host("a")), now=0.0, wall_clock=BEAT_SECONDS + seconds)
        assert up(hosts, 59.0) == {"a"}
        assert up(hosts, 60.0) == set()


def test_forced_down_wins_over_a_heartbeat() -> None:
    hosts = table(Host("a", forced_down=True), Host("b"))
    assert up(hosts, 1.0) == {"b"}


def test_what_kept_answers_depend_on_changes_the_version_and_usage_does_not() -> None:
    hosts = table(Host("a"), Host("b"))
    before = hosts.version
    hosts.set_usage(HostUsage("a", (1, 1, 1), (1, 1, 1), 1, 1))
    hosts.set_node(node(Host("a"), LATER), now=2.0, wall_clock=BEAT_SECONDS)
    hosts.take("a", (1, 1, 1))
    hosts.refresh_liveness(3.0)
    assert hosts.version == before
    hosts.set_node(node(Host("a", traits=("NEW",)), LATER), now=2.0, wall_clock=BEAT_SECONDS)
    assert hosts.version > before


def test_a_removed_host_leaves_nothing_to_the_next_one_in_its_row() -> None:
    aggregate = Aggregate("zone", frozenset({"a"}), {"x": "1"})
    hosts = table(
        Host(
            "a", used=(1, 2, 3), instances=4, io_ops=5, build_failures=6, metrics={"cpu": 1.0}, traits=("T",)
        ),
        aggregates=(aggregate,),
    )
    row = hosts.rows["a"]
    hosts.remove_node("a")
    assert len(hosts) == 0
    assert not hosts.valid[row]
    hosts.set_usage(HostUsage("b", (8, 8, 8), (0, 0, 0)))
    assert hosts.rows["b"] == row
    assert list(hosts.used[:, row]) == [0, 0, 0]
    assert (hosts.instances[row], hosts.io_ops[row], hosts.build_failures[row]) == (0, 0, 0)
    assert np.isnan(hosts.metrics["cpu"][row])
    assert not hosts.by_profile(lambda profile: "T" in profile.traits)[row]
    assert not hosts.by_membership(lambda membership: bool(membership.values))[row]
    assert up(hosts, 1.0) == set()


def test_a_host_let_go_by_sql_goes_unless_its_resource_is_there() -> None:
    hosts = table(Host("resource"))
    hosts.set_usage(HostUsage("row", (1, 1, 1), (0, 0, 0)))
    hosts.remove_usage("row")
    hosts.remove_usage("resource")
    hosts.remove_usage("never")
    assert set(hosts.rows) == {"resource"}
    assert hosts.withdrawn[hosts.rows["resource"]]
    hosts.set_usage(HostUsage("resource", (1, 1, 1), (0, 0, 0)))
    assert not hosts.withdrawn[hosts.rows["resource"]]


def test_the_table_grows_and_keeps_what_it_has() -> None:
    hosts = table(*(Host(f"h{index}", used=(index, 0, 0), metrics={"m": index}) for index in range(300)))
    assert len(hosts) == 300
    for name, row in hosts.rows.items():
        assert hosts.names[row] == name
        assert hosts.used[0, row] == hosts.metrics["m"][row] == int(name[1:])


def test_hosts_of_a_kind_share_a_profile_and_old_ones_are_forgotten() -> None:
    hosts = table(*(Host(f"h{index}", traits=("T",)) for index in range(50)))
    kinds = len(hosts.profiles)
    for index in range(50):
        for generation in range(3):
            changed = Host(f"h{index}", traits=(f"T{generation}",))
            hosts.set_node(node(changed), now=1.0, wall_clock=BEAT_SECONDS)
    assert len(hosts.profiles) == kinds


def test_aggregate_numbers_are_a_column_only_where_an_aggregate_has_one() -> None:
    hosts = table(Host("a"), Host("b"), aggregates=(Aggregate("x", frozenset({"a"}), {"k": "2"}),))
    assert hosts.aggregate_number("other", 7.0) == 7.0
    column = hosts.aggregate_number("k", 7.0)
    assert isinstance(column, np.ndarray)
    assert (column[hosts.rows["a"]], column[hosts.rows["b"]]) == (2.0, 7.0)


def test_io_operations_replace_what_was_there() -> None:
    hosts = table(Host("a", io_ops=3), Host("b"))
    hosts.set_io_ops([("b", 2), ("gone", 9)])
    assert [hosts.io_ops[hosts.rows[name]] for name in "ab"] == [0, 2]
