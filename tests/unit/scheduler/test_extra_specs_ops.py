"""The operators of extra specs, as Nova documents them."""

from __future__ import annotations

import pytest

from cairn_operator.scheduler.filters.extra_specs_ops import match


@pytest.mark.parametrize(
    ("value", "demand", "meets"),
    [
        # = is "at least", the others on numbers are what they say
        ("2", "= 1", True),
        ("1", "= 1", True),
        ("0.9", "= 1", False),
        ("3", "== 3.0", True),
        ("3", "== 2", False),
        ("3", "!= 2", True),
        ("3", "!= 3", False),
        ("5", ">= 5", True),
        ("4.9", ">= 5", False),
        ("10", ">= 9", True),
        ("5", "<= 5", True),
        ("6", "<= 5", False),
        # strings
        ("2.1.0", "s== 2.1.0", True),
        ("2.1", "s== 2.1.0", False),
        ("a", "s!= b", True),
        ("a", "s!= a", False),
        ("b", "s> a", True),
        ("a", "s> a", False),
        ("a", "s>= a", True),
        ("a", "s< b", True),
        ("b", "s<= a", False),
        ("a", "s<= a", True),
        # parts and choices
        ("the gcc compiler", "<in> gcc", True),
        ("the gcc compiler", "<in> clang", False),
        ("aes mmx sse", "<all-in> aes mmx", True),
        ("aes sse", "<all-in> aes mmx", False),
        ("gpu", "<or> fpu <or> gpu", True),
        ("gpu", "<or> gpu", True),
        ("tpu", "<or> fpu <or> gpu", False),
        # no operator: as it stands
        ("QEMU", "QEMU", True),
        ("QEMU", "qemu", False),
        ("a b", "a b", True),
        ("", "", True),
        # an operator with nothing after it, and numbers that are none, meet nothing
        ("5", ">=", False),
        ("a", "s==", False),
        ("a", "<in>", False),
        ("a", "<all-in>", False),
        ("a", "<or>", False),
        ("many", ">= 5", False),
        ("5", ">= many", False),
    ],
)
def test_demand_is_met(value: str, demand: str, meets: bool) -> None:
    assert match(value, demand) is meets
