"""Query strings: what a version no longer takes, and words that several resources share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import StringConstraints

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.nova.microversions import UNKNOWN_QUERIES_REFUSED, Microversion

HostName = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$")
]
"""A host's name, short or qualified."""


def refuse_unknown(call: Call, *known: str, since: Microversion) -> None:
    """From version `since` on, raise BadRequest for a field that is not `known`; before, it is ignored."""
    if call.version < since:
        return
    for name, _value in call.query():
        if name not in known:
            raise BadRequest(
                f"Invalid query parameters: Additional properties are not allowed ('{name}' was unexpected)"
            )


def query_of(
    call: Call, known: Iterable[str] = (), *, since: Microversion = UNKNOWN_QUERIES_REFUSED
) -> dict[str, str]:
    """The query's fields that are `known`. Others are refused from version `since` on (`refuse_unknown`)."""
    names = frozenset(known)
    refuse_unknown(call, *names, since=since)
    return {name: value for name, value in call.query() if name in names}


def refuse_query(call: Call) -> None:
    """The call takes no query string at all. Raises BadRequest, from the version that says so on."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """`value`, if it is one of `choices`. Raises BadRequest."""
    allowed = tuple(choices)
    if value not in allowed:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {value}. "
            f"'{value}' is not one of {list(allowed)}"
        )
    return value


def given(value: str | None) -> str | None:
    """A filter's value; clients send the word None for one that is not set."""
    return None if value in (None, "", "None") else value
