"""Query strings of calls that refuse what they do not know, from some microversion on."""

from __future__ import annotations

from collections.abc import Iterable

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.nova.microversions import UNKNOWN_QUERIES_REFUSED, Microversion


def query_of(
    call: Call, known: Iterable[str] = (), *, since: Microversion = UNKNOWN_QUERIES_REFUSED
) -> dict[str, str]:
    """The query's fields. Raises BadRequest for one that is not `known`, from version `since` on; before it,
    such a field is left out."""
    names = frozenset(known)
    fields = call.query_dict()
    unknown = fields.keys() - names
    if unknown and call.version >= since:
        shown = ", ".join(f"'{name}'" for name in sorted(unknown))
        verb = "was" if len(unknown) == 1 else "were"
        raise BadRequest(f"Additional properties are not allowed ({shown} {verb} unexpected)")
    return {name: value for name, value in fields.items() if name in names}


def one_of(name: str, value: str, choices: Iterable[str]) -> str:
    """`value`, if it is one of `choices`. Raises BadRequest."""
    allowed = tuple(choices)
    if value not in allowed:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {value}. "
            f"'{value}' is not one of {list(allowed)}"
        )
    return value


def refuse_query(call: Call) -> None:
    """The call takes no query string at all. Raises BadRequest, from the version that says so on."""
    query_of(call)
