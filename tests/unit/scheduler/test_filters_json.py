"""JsonFilter: Nova's language, on hosts a (roomy, quiet), b (busy) and c (without metrics)."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_operator.scheduler.request import InvalidRequest, read_query
from unit.scheduler.support import Host, passing, request, table

HOSTS = (
    Host("a", used=(2, 1024, 10), metrics={"cpu.percent": 0.1}, capabilities={"rack": "r1"}),
    Host("b", used=(30, 12288, 900), metrics={"cpu.percent": 0.9}, instances=7, hypervisor_version="7.0"),
    Host("c", used=(8, 8192, 100), architecture="aarch64", hypervisor_version=""),
)
ALL = {"a", "b", "c"}


def hosts_for(query: Any) -> set[str]:
    return passing("JsonFilter", table(*HOSTS), request(query=query))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (None, ALL),
        ([], ALL),
        ([">=", "$free_ram_mb", 8192], {"a", "c"}),
        ([">", "$free_ram_mb", 8192], {"a"}),
        (["<", "$free_disk_mb", 200 * 1024], {"b"}),
        (["<=", "$vcpus_used", 8], {"a", "c"}),
        (["=", "$vcpus_used", 2, 2], {"a"}),
        (["<", 1, "$vcpus_used", 20], ALL),
        (["=", "$hypervisor_hostname", "b"], {"b"}),
        (["in", "$host", "a", "c"], {"a", "c"}),
        (["in", 7, "$num_instances"], {"b"}),
        (["=", "$cpu_info.arch", "aarch64"], {"c"}),
        (["=", "$rack", "r1"], {"a"}),
        (["=", "$stats.rack", "r1"], {"a"}),
        ([">=", "$hypervisor_version", 8000000], {"a"}),
        (["<", "$metrics.cpu.percent", 0.5], {"a"}),
        (["=", "$total_usable_ram_mb", 16384], ALL),
        (["=", "$nothing", 1], set()),
        (["=", "$vcpus_used"], set()),
        (["=", "$vcpus_used", "2"], set()),
        (["=", "$vcpus_used", None, 2], {"a"}),
        (["and", [">=", "$free_ram_mb", 1], ["in", "$host", "a", "b"]], {"a", "b"}),
        (["or", ["=", "$host", "a"], ["=", "$host", "b"]], {"a", "b"}),
        (["not", ["=", "$host", "a"]], {"b", "c"}),
        (["not", ["=", "$host", "a"], ["=", "$host", "b"]], ALL),
        (["and", ["not", ["=", "$host", "a"]], ["not", ["=", "$host", "b"]]], {"c"}),
        (["and"], ALL),
        (["or"], set()),
        (["and", 1, []], ALL),
        (["or", 0, ""], set()),
        (["or", "$nothing", "$num_instances"], {"b"}),
    ],
)
def test_query(query: Any, expected: set[str]) -> None:
    assert hosts_for(query) == expected


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (["xor", 1, 2], "operator 'xor'; known are ="),
        ([["="], 1], "operator"),
        ([5], "operator 5"),
        ([">", "$host", 5], "cannot be worked out"),
        (["=", {"a": 1}, 1], "may hold lists, strings and numbers only"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        hosts_for(query)


def test_a_query_without_end_is_refused() -> None:
    query: list[Any] = ["not", 1]
    for _level in range(100):
        query = ["not", query]
    with pytest.raises(InvalidRequest, match="more than 32 levels"):
        hosts_for(query)


@pytest.mark.parametrize("text", ["[", '"word"', "{}x", '{"a": 1}', "[" * 4096])
def test_a_hint_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="scheduler hint 'query'"):
        read_query(text)


def test_a_hint_is_read() -> None:
    assert read_query('[">=", "$free_ram_mb", 1024]') == [">=", "$free_ram_mb", 1024]
    assert read_query("") is read_query(None) is read_query("[]") is None
