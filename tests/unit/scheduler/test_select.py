"""The decision as a whole: filters in order, the best first, chance where it is asked for, explanations."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from cairn_operator.scheduler.filters import FILTERS, UnknownFilter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.select import Selection, Selector, explain
from cairn_operator.scheduler.settings import DEFAULT_FILTERS, SchedulerSettings
from unit.scheduler.support import Host, request, table


def select(hosts: HostTable, wanted: Any = None, **settings: Any) -> Selection:
    settings.setdefault("shuffle_best_same_weighed_hosts", False)
    return Selector(SchedulerSettings(**settings), random.Random(7)).select(hosts, wanted or request())


def names(selection: Selection) -> list[str]:
    return [candidate.host for candidate in selection.candidates]


def test_the_host_with_most_room_comes_first() -> None:
    hosts = table(Host("a", used=(8, 8192, 0)), Host("b"), Host("c", used=(4, 4096, 0)))
    assert names(select(hosts)) == ["b", "c", "a"]


def test_no_more_candidates_than_would_be_tried() -> None:
    hosts = table(*(Host(f"h{index}", used=(index, 0, 0)) for index in range(20)))
    assert names(select(hosts, max_attempts=2)) == ["h0", "h1"]
    assert names(select(hosts, max_attempts=12)) == [f"h{index}" for index in range(12)]


def test_equals_come_in_the_order_of_the_table() -> None:
    hosts = table(*(Host(f"h{index}") for index in range(5)))
    assert names(select(hosts)) == ["h0", "h1", "h2"]


def test_equals_are_shuffled_and_only_they() -> None:
    hosts = table(*(Host(f"h{index}") for index in range(5)), Host("full", used=(60, 0, 0)))
    firsts = set()
    for seed in range(40):
        settings = SchedulerSettings(shuffle_best_same_weighed_hosts=True, max_attempts=6)
        order = names(Selector(settings, random.Random(seed)).select(hosts, request()))
        firsts.add(order[0])
        assert order[-1] == "full"
        assert len(set(order)) == 6
    assert firsts == {f"h{index}" for index in range(5)}


def test_a_subset_of_the_best_is_chosen_from_at_random() -> None:
    hosts = table(*(Host(f"h{index}", used=(index, 0, 0)) for index in range(6)))
    firsts = {
        names(
            Selector(
                SchedulerSettings(host_subset_size=3, shuffle_best_same_weighed_hosts=False),
                random.Random(seed),
            ).select(hosts, request())
        )[0]
        for seed in range(40)
    }
    assert firsts == {"h0", "h1", "h2"}


def test_the_same_seed_and_input_give_the_same_hosts() -> None:
    def run(seed: int) -> list[str]:
        hosts = table(*(Host(f"h{index}") for index in range(30)))
        selector = Selector(SchedulerSettings(seed=seed, host_subset_size=4))
        chosen = []
        for _ in range(60):
            host = selector.select(hosts, request()).candidates[0].host
            hosts.take(host, request().amounts)
            chosen.append(host)
        return chosen

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_what_is_kept_of_an_earlier_decision_is_dropped_when_hosts_change() -> None:
    hosts = table(Host("a"), Host("b"))
    selector = Selector(SchedulerSettings(shuffle_best_same_weighed_hosts=False))
    assert names(selector.select(hosts, request())) == ["a", "b"]
    hosts.forced_down[hosts.rows["a"]] = True
    hosts.refresh_liveness(2.0)
    assert names(selector.select(hosts, request())) == ["b"]
    hosts.remove_node("b")
    assert names(selector.select(hosts, request())) == []


def test_requests_of_different_kinds_are_kept_apart() -> None:
    hosts = table(Host("avx", traits=("AVX",)), Host("plain"))
    selector = Selector(SchedulerSettings(shuffle_best_same_weighed_hosts=False))
    for _ in range(2):
        assert names(selector.select(hosts, request())) == ["avx", "plain"]
        assert names(selector.select(hosts, request(extra_specs={"trait:AVX": "required"}))) == ["avx"]
        assert names(selector.select(hosts, request(extra_specs={"trait:AVX": "forbidden"}))) == ["plain"]


def test_no_host_is_explained_filter_by_filter() -> None:
    hosts = table(Host("a", disabled=True), Host("b", used=(0, 14336, 0)), Host("c", used=(64, 0, 0)))
    selection = select(hosts, request(memory_mib=8192))
    assert [(step.filter, step.removed, step.left) for step in selection.removed] == [
        ("ComputeFilter", 1, 2),
        ("CoreFilter", 1, 1),
        ("RamFilter", 1, 0),
    ]
    assert explain(selection) == (
        "3 hosts: ComputeFilter removed 1 (1 disabled), CoreFilter removed 1 (need 1 vCPUs, the roomiest has "
        "0 left), RamFilter removed 1 (need 8192 MiB, the roomiest has 2048 left)."
    )


def test_no_hosts_at_all_is_explained() -> None:
    assert explain(select(table())) == "There are no hosts: create a ComputeNode and start its agent."


def test_a_single_host_that_is_down_is_explained() -> None:
    assert explain(select(table(Host("a", alive=False)))) == "1 host: ComputeFilter removed 1 (1 down)."


def test_filters_are_told_of_in_the_order_of_the_settings() -> None:
    hosts = table(Host("a", disabled=True, limits=(0, 0, 0)), Host("b", limits=(0, 0, 0)))
    selection = select(hosts, enabled_filters=("RamFilter", "ComputeFilter"))
    assert [step.filter for step in selection.removed] == ["RamFilter"]


def test_where_there_are_candidates_nothing_is_worked_out_for_an_explanation() -> None:
    selection = select(table(Host("a"), Host("b", disabled=True)))
    assert selection.removed == ()
    assert "a would do" in explain(selection)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_says_why_it_removes(name: str) -> None:
    filter_ = FILTERS[name](SchedulerSettings())
    hosts = table(Host("a"))
    reason = filter_.reason(hosts, request(), hosts.valid)
    assert reason
    assert not reason.endswith(".")


def test_an_unknown_filter_is_refused_at_start_with_the_known_ones() -> None:
    with pytest.raises(UnknownFilter, match=r"names RamFliter, .* Known filters: .*RamFilter"):
        Selector(SchedulerSettings(enabled_filters=("RamFliter",)))


def test_the_defaults_are_known_filters() -> None:
    assert set(DEFAULT_FILTERS) <= set(FILTERS)
    assert SchedulerSettings().enabled_filters == DEFAULT_FILTERS


def test_a_setting_that_is_misspelt_is_refused() -> None:
    with pytest.raises(ValidationError, match="ram_weight_multipier"):
        SchedulerSettings.model_validate({"ram_weight_multipier": 2})
