"""What a request can be refused with. Each API writes them in its own style (see `ErrorStyle`).

Fault
├── BadRequest 400            ├── Conflict 409               ├── TooManyRequests 429
├── Unauthorized 401          ├── Gone 410                   ├── HeadersTooLarge 431
├── Forbidden 403             ├── PreconditionFailed 412     ├── NotImplementedYet 501
│   └── OverQuota 403, 413    ├── BodyTooLarge 413           ├── NotSupported 501
├── NotFound 404              ├── UnsupportedMediaType 415   └── ServiceUnavailable 503
├── MethodNotAllowed 405      ├── UnprocessableEntity 422
├── NotAcceptable 406         └── RequestTimeout 408
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class Fault(Exception):
    """A refusal. `message` says what is wrong and what to do; it is shown to the caller."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase


class BadRequest(Fault):
    """What was sent makes no sense; the message says which part."""

    status = 400


class Unauthorized(Fault):
    """No token, or none that is good."""

    status = 401

    def __init__(self, message: str = "The request you have made requires authentication.") -> None:
        super().__init__(message)


class Forbidden(Fault):
    """The policy does not allow it."""

    status = 403


class OverQuota(Forbidden):
    """A quota does not allow it (Nova API: 403 with the text of OverQuota)."""


class NotFound(Fault):
    """It is not there, or not for this caller to see."""

    status = 404


class MethodNotAllowed(Fault):
    """It is there and has other methods."""

    status = 405

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(
            f"This resource does not have that method; it has {', '.join(allowed)}.",
            headers={"Allow": ", ".join(allowed)},
        )


class NotAcceptable(Fault):
    """A version of the API that this cloud does not speak."""

    status = 406


class RequestTimeout(Fault):
    """The client has not sent the rest; the connection ends with the answer."""

    status = 408

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Connection": "close"})


class Conflict(Fault):
    """Its state, or somebody else's change, stands in the way."""

    status = 409


class Gone(Fault):
    """The API once had it."""

    status = 410


class PreconditionFailed(Fault):
    """It is not in the version that the caller means."""

    status = 412


class BodyTooLarge(Fault):
    """More than is accepted in a body."""

    status = 413


class UnsupportedMediaType(Fault):
    """A body of another kind than the API reads."""

    status = 415


class UnprocessableEntity(Fault):
    """Understood, and yet it cannot be."""

    status = 422


class TooManyRequests(Fault):
    """Too often; Retry-After says when again."""

    status = 429


class HeadersTooLarge(Fault):
    """More than is accepted in headers."""

    status = 431


class NotImplementedYet(Fault):
    """Cairn cannot do it yet; the coverage page lists every route that answers so."""

    status = 501


class NotSupported(Fault):
    """Cairn can do it, and the hypervisor that it is asked of cannot."""

    status = 501


class ServiceUnavailable(Fault):
    """Something that Cairn stands on does not answer; trying again later can help."""

    status = 503

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


ErrorStyle = Callable[[int, str, str], Any]
"""(status, title, message) to the JSON body in which an API tells of a fault."""

NOVA_KEYS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}


def nova_style(status: int, _title: str, message: str) -> Any:
    """`{"badRequest": {"code": 400, "message": …}}` (Nova: api/openstack/wsgi.py Fault)."""
    return {NOVA_KEYS.get(status, "computeFault"): {"code": status, "message": message}}


def keystone_style(status: int, title: str, message: str) -> Any:
    """`{"error": {"code": 401, "title": "Unauthorized", "message": …}}`."""
    return {"error": {"code": status, "title": title, "message": message}}


def glance_style(status: int, title: str, message: str) -> Any:
    """`{"code": "404 Not Found", "title": "Not Found", "message": …}`, as webob writes it for Glance."""
    return {"code": f"{status} {title}", "title": title, "message": message}


def neutron_style(status: int, title: str, message: str) -> Any:
    """`{"NeutronError": {"type": …, "message": …, "detail": ""}}`."""
    kind = "".join(word.capitalize() for word in title.replace("-", " ").split())
    return {"NeutronError": {"type": f"HTTP{kind}", "message": message, "detail": ""}}
