"""The form in which a route of Nova's is written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cairn_gateway.nova.microversions import MAX, MIN, Microversion
from cairn_gateway.policy.base import AUTHENTICATED

NOVA: Final = "os_compute_api:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that Nova answers to in a range of microversions."""

    method: str
    path: str
    """Below `/v2.1`; the names in braces are Cairn's own."""
    rule: str | None
    """Nova's policy rule, the first one where it asks several; None where no token is needed."""
    status: int
    """Of the answer when it is done; of the refusal where it is `removed`."""
    since: Microversion
    until: Microversion
    action: str | None = None
    """The key of the body that selects it."""
    removed: bool = False
    """Nova still has the route, to say that there is nothing any more."""

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What it is, whatever the version and the names of parameters."""
        return self.method, anonymous(self.path), self.action


@dataclass(frozen=True, slots=True)
class Call:
    """What a path answers to one method, before it is an Entry."""

    method: str
    rule: str | None
    status: int
    since: Microversion
    gone: Microversion | None
    action: str | None
    removed: bool


def anonymous(path: str) -> str:
    """A path without the names of its parameters: `/servers/{}/action`."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def at(path: str, *calls: Call) -> tuple[Entry, ...]:
    """A path and what it answers to."""
    return tuple(
        Entry(
            call.method,
            path,
            call.rule,
            call.status,
            call.since,
            MAX if call.gone is None else Microversion(call.gone.major, call.gone.minor - 1),
            call.action,
            call.removed,
        )
        for call in calls
    )


def get(
    rule: str | None, status: int = 200, since: Microversion = MIN, gone: Microversion | None = None
) -> Call:
    """A GET; `gone` is the first version without it."""
    return Call("GET", full(rule), status, since, gone, None, False)


def post(rule: str, status: int = 200, since: Microversion = MIN, gone: Microversion | None = None) -> Call:
    """A POST."""
    return Call("POST", full(rule), status, since, gone, None, False)


def put(rule: str, status: int = 200, since: Microversion = MIN, gone: Microversion | None = None) -> Call:
    """A PUT."""
    return Call("PUT", full(rule), status, since, gone, None, False)


def delete(rule: str, status: int = 204, since: Microversion = MIN, gone: Microversion | None = None) -> Call:
    """A DELETE."""
    return Call("DELETE", full(rule), status, since, gone, None, False)


def act(
    key: str,
    rule: str,
    *,
    status: int = 202,
    since: Microversion = MIN,
    gone: Microversion | None = None,
    removed: bool = False,
) -> Call:
    """An action: a POST with `key` as the only one of its body."""
    return Call("POST", full(rule), status, since, gone, key, removed)


def removed(*methods: str, status: int = 410) -> tuple[Call, ...]:
    """Methods that are there only to be refused."""
    return tuple(Call(method, AUTHENTICATED, status, MIN, None, None, True) for method in methods)


def full(rule: str | None) -> str | None:
    """A rule's name as policy tables have it; most begin with `os_compute_api:`, which is left out here."""
    return rule if rule is None or rule.startswith(("compute:", "cairn:")) else NOVA + rule
