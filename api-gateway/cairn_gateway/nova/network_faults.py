"""What the Network API's functions refuse, as the Compute API's proxies tell it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cairn_gateway.http.faults import BadRequest, Forbidden, NotFound
from cairn_gateway.network.faults import Clash, Missing

OVER_QUOTA = "OverQuota"
EXHAUSTED = "IpAddressGenerationFailure"


@contextmanager
def as_nova(exhausted: str = "") -> Iterator[None]:
    """Nova: over quota 403, what is there or in use already 400; without an address left, 404 `exhausted`."""
    try:
        yield
    except Missing as fault:
        raise NotFound(fault.message) from fault
    except Clash as fault:
        if fault.kind == OVER_QUOTA:
            raise Forbidden(fault.message) from fault
        if fault.kind == EXHAUSTED and exhausted:
            raise NotFound(exhausted) from fault
        raise BadRequest(fault.message) from fault
