"""Query strings: what a version no longer takes, and words that several resources share."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.nova.microversions import Microversion

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


def given(value: str | None) -> str | None:
    """A filter's value; clients send the word None for one that is not set."""
    return None if value in (None, "", "None") else value
