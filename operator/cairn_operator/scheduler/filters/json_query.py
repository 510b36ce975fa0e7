"""JsonFilter: the hint `query`, a small language over a host's figures.

    ["and", [">=", "$free_ram_mb", 1024], ["in", "$host", "node-1", "node-2"]]

Operators and variables are Nova's. `$a.b` steps into capabilities (`$cpu_info.arch`), `$metrics.NAME` reads a
metric. A variable that a host does not have is left out of the comparison, and a comparison with fewer than
two terms left is false (both as Nova has it). Unlike in Nova, a `not` inside another operator means what it
says (there it is always true), and what cannot be understood is refused with a message.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cairn_operator.scheduler.attributes import Column, capability_column, column
from cairn_operator.scheduler.filters.base import Filter
from cairn_operator.scheduler.hosts import HostTable
from cairn_operator.scheduler.interning import BoolArray
from cairn_operator.scheduler.request import InvalidRequest, PlacementRequest

DEEPEST = 32
"""Levels of brackets; a person needs three."""


class JsonFilter(Filter):
    """Hosts for which the hint `query` is true."""

    name = "JsonFilter"

    def applies(self, request: PlacementRequest) -> bool:
        return bool(request.query)

    def mask(self, hosts: HostTable, request: PlacementRequest) -> BoolArray:
        return _truth(_evaluate(hosts, request.query, DEEPEST))

    def reason(self, hosts: HostTable, request: PlacementRequest, removed: BoolArray) -> str:
        return "the hint query is not true of them"


@dataclass(frozen=True)
class _Term:
    """A value per host, and where there is one."""

    values: Column
    present: BoolArray


def _evaluate(hosts: HostTable, query: list[Any], depth: int) -> _Term:
    if not query:
        return _constant(hosts, True)
    if not depth:
        raise InvalidRequest(f"The scheduler hint 'query' has more than {DEEPEST} levels.")
    word, *rest = query
    command = COMMANDS.get(word) if isinstance(word, str) else None
    if command is None:
        raise InvalidRequest(
            f"The scheduler hint 'query' has the operator {word!r}; known are {', '.join(COMMANDS)}."
        )
    terms = [_term(hosts, part, depth - 1) for part in rest if part is not None]
    try:
        answer = command(np.zeros(hosts.capacity, np.bool_), terms)
    except TypeError as error:
        raise InvalidRequest(f"The scheduler hint 'query' cannot be worked out: {error}.") from error
    return _Term(answer, np.ones(hosts.capacity, np.bool_))


def _term(hosts: HostTable, part: Any, depth: int) -> _Term:
    if isinstance(part, list):
        return _evaluate(hosts, part, depth)
    if isinstance(part, dict):
        raise InvalidRequest("The scheduler hint 'query' may hold lists, strings and numbers only.")
    if isinstance(part, str) and part.startswith("$"):
        return _variable(hosts, part[1:])
    if part == "":
        return _Term(np.full(hosts.capacity, None), np.zeros(hosts.capacity, np.bool_))
    return _constant(hosts, part)


def _constant(hosts: HostTable, value: Any) -> _Term:
    kind = None if isinstance(value, bool | int | float) else object
    return _Term(np.full(hosts.capacity, value, dtype=kind), np.ones(hosts.capacity, np.bool_))


def _variable(hosts: HostTable, path: str) -> _Term:
    head, _dot, rest = path.partition(".")
    if head == "metrics":
        figures = hosts.metrics.get(rest)
        values: Column | None = np.full(hosts.capacity, np.nan) if figures is None else figures
    elif head == "hypervisor_version":
        values = np.where(hosts.hypervisor_version == 0, np.nan, hosts.hypervisor_version)
    else:
        values = column(hosts, path)
    if values is None:
        name = rest if head in ("stats", "capabilities") else path
        values = capability_column(hosts, name.replace(".", ":"))
    if values.dtype == object:
        return _Term(values, values != np.full(len(values), None))
    return _Term(values, ~np.isnan(values))


def _truth(term: _Term) -> BoolArray:
    return term.values.astype(np.bool_) & term.present


def _apply(compare: Callable[[Any, Any], Any], left: _Term, right: _Term) -> BoolArray:
    """`compare` where both are present; False elsewhere."""
    both = left.present & right.present
    first, second = left.values[both], right.values[both]
    if (first.dtype == object) != (second.dtype == object):
        first, second = first.astype(object), second.astype(object)
    answer = np.zeros(len(both), np.bool_)
    answer[both] = compare(first, second)
    return answer


def _all_later(compare: Callable[[Any, Any], Any]) -> Callable[[BoolArray, list[_Term]], BoolArray]:
    """The first term of each host compared with every later one."""

    def command(nothing: BoolArray, terms: list[_Term]) -> BoolArray:
        answer, seen = nothing.copy(), nothing.copy()
        for index, first in enumerate(terms):
            begins = first.present & ~seen
            seen |= first.present
            holds, compared = begins.copy(), nothing.copy()
            for later in terms[index + 1 :]:
                holds &= _apply(compare, first, later) | ~later.present
                compared |= later.present
            answer |= holds & compared
        return answer

    return command


def _in(nothing: BoolArray, terms: list[_Term]) -> BoolArray:
    answer, seen = nothing.copy(), nothing.copy()
    for index, first in enumerate(terms):
        begins = first.present & ~seen
        seen |= first.present
        for later in terms[index + 1 :]:
            answer |= begins & _apply(operator.eq, first, later)
    return answer


def _not(nothing: BoolArray, terms: list[_Term]) -> BoolArray:
    answer = nothing.copy()
    for term in terms:
        answer |= term.present & ~_truth(term)
    return answer


def _or(nothing: BoolArray, terms: list[_Term]) -> BoolArray:
    answer = nothing.copy()
    for term in terms:
        answer |= _truth(term)
    return answer


def _and(nothing: BoolArray, terms: list[_Term]) -> BoolArray:
    answer = ~nothing
    for term in terms:
        answer &= _truth(term) | ~term.present
    return answer


COMMANDS: dict[str, Callable[[BoolArray, list[_Term]], BoolArray]] = {
    "=": _all_later(operator.eq),
    "<": _all_later(operator.lt),
    ">": _all_later(operator.gt),
    "in": _in,
    "<=": _all_later(operator.le),
    ">=": _all_later(operator.ge),
    "not": _not,
    "or": _or,
    "and": _and,
}
