"""The little language of extra spec values: `>= 5`, `s== 2.1.0`, `<in> gcc`, `<or> fpu <or> gpu`.

As Nova documents it for ComputeCapabilitiesFilter and AggregateInstanceExtraSpecsFilter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

NUMBER_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
}
"""`=` means "at least": Nova's oldest operator, from when it was about vCPUs."""

STRING_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s>": operator.gt,
    "s<=": operator.le,
    "s<": operator.lt,
    "<in>": operator.contains,
}


def match(value: str, demand: str) -> bool:
    """Whether what a host has meets what a flavor demands.

    A demand that opens with no operator is compared as it stands. Where an operator for numbers meets what is
    none, on either side, the answer is no (Nova fails the request there).
    """
    words = demand.split()
    if not words:
        return value == demand
    word, *rest = words
    if word == "<or>":
        return value in rest[::2]
    if word == "<all-in>":
        return bool(rest) and all(part in value for part in rest)
    if word in STRING_OPERATORS:
        return bool(rest) and STRING_OPERATORS[word](value, rest[0])
    if word in NUMBER_OPERATORS:
        return bool(rest) and _compare_numbers(NUMBER_OPERATORS[word], value, rest[0])
    return value == demand


def _compare_numbers(compare: Callable[[float, float], bool], value: str, demand: str) -> bool:
    try:
        return compare(float(value), float(demand))
    except ValueError:
        return False
