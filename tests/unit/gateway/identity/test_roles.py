"""Which role implies which."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cairn_database.identity.roles import FIRST_ROLES, with_implied


def test_the_first_roles_are_keystones_ladder() -> None:
    pairs = [(prior, implied) for prior, implied in FIRST_ROLES.items() if implied]
    ladder = ["admin", "manager", "member", "reader"]
    assert pairs == list(pairwise(ladder))
    for rank, role in enumerate(ladder):
        assert with_implied([role], pairs) == set(ladder[rank:])
    assert with_implied(["service"], pairs) == {"service"}
    assert with_implied([], pairs) == set()


names = st.sampled_from("abcdef")


@given(st.lists(names), st.lists(st.tuples(names, names)))
def test_it_ends_and_is_closed_whatever_the_pairs(start: list[str], pairs: list[tuple[str, str]]) -> None:
    found = with_implied(start, pairs)
    assert set(start) <= found
    assert all(implied in found for prior, implied in pairs if prior in found)
    assert with_implied(found, pairs) == found
