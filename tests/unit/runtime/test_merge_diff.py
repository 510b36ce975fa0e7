"""The merge patch that leads from one body to another (RFC 7386)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_runtime.kubernetes import merge_diff


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, as it is written there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {}, {"a": None}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3]}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": [1]}),
    ],
)
def test_only_what_differs_is_in_it(before: Any, after: Any, patch: Any) -> None:
    assert merge_diff(before, after) == patch


leaves = st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)
bodies = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)),
    max_size=4,
)


@given(bodies, bodies)
def test_merged_into_the_one_it_makes_the_other(before: Any, after: Any) -> None:
    assert merge(before, merge_diff(before, after)) == after


@given(bodies)
def test_nothing_leads_to_the_same(body: Any) -> None:
    assert merge_diff(body, body) == {}
