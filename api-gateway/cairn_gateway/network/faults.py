"""Refusals by Neutron's names: clients see `{"NeutronError": {"type": "PortNotFound", …}}`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from cairn_database import AddressesExhausted, AddressInUse, DatabaseError, MacInUse, NetworkNotFound
from cairn_database.networking import errors
from cairn_gateway.http.faults import BadRequest, Conflict, Fault, Forbidden, NotFound
from cairn_runtime.kubernetes import Invalid

PHRASES = frozenset(status.phrase for status in HTTPStatus)


class _Named(Fault):
    """With a type of Neutron's in place of the status in words."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def title(self) -> str:
        return self.kind


class Missing(_Named, NotFound):
    """404"""


class Bad(_Named, BadRequest):
    """400"""


class Clash(_Named, Conflict):
    """409"""


class Denied(_Named, Forbidden):
    """403"""


def network_style(_status: int, title: str, message: str) -> Any:
    """Neutron's error body; a plain status becomes `HTTPNotFound` and the like."""
    kind = title
    if title in PHRASES:
        kind = "HTTP" + "".join(word.capitalize() for word in title.replace("-", " ").split())
    return {"NeutronError": {"type": kind, "message": message, "detail": ""}}


def missing(resource: str, key: str) -> Missing:
    """`missing("Port", id)`: there is none, or none that the caller may see."""
    words = {"SecurityGroup": "Security group", "SecurityGroupRule": "Security group rule"}
    verb = "does not exist" if resource.startswith("Security") else "could not be found"
    return Missing(f"{resource}NotFound", f"{words.get(resource, resource)} {key} {verb}.")


REFUSALS: dict[type[DatabaseError], tuple[type[_Named], str]] = {
    AddressesExhausted: (Clash, "IpAddressGenerationFailure"),
    AddressInUse: (Clash, "IpAddressAlreadyAllocated"),
    MacInUse: (Clash, "MacAddressInUse"),
    NetworkNotFound: (Missing, "NetworkNotFound"),
    errors.PortNotFound: (Missing, "PortNotFound"),
    errors.PortInUse: (Clash, "PortInUse"),
    errors.SecurityGroupNotFound: (Missing, "SecurityGroupNotFound"),
    errors.SecurityGroupInUse: (Clash, "SecurityGroupInUse"),
    errors.RuleExists: (Clash, "SecurityGroupRuleExists"),
    errors.FloatingIpNotFound: (Missing, "FloatingIPNotFound"),
    errors.FloatingIpInUse: (Clash, "FloatingIPPortAlreadyAssociated"),
    errors.NetworkInUse: (Clash, "NetworkInUse"),
    errors.SubnetInUse: (Clash, "SubnetInUse"),
    errors.NetworkQuotaExceeded: (Clash, "OverQuota"),
}


@contextmanager
def translated() -> Iterator[None]:
    """What the database or the API server refuses, in Neutron's words."""
    try:
        yield
    except tuple(REFUSALS) as error:
        fault, kind = REFUSALS[type(error)]
        raise fault(kind, str(error)) from error
    except Invalid as error:
        raise Bad("InvalidInput", f"Invalid input for operation: {error}.") from error
