"""How this API's routes are written down, and what its handlers share."""

from __future__ import annotations

from datetime import datetime
from functools import wraps
from typing import Any, Final

import structlog
from pydantic import BaseModel

from cairn_database import ProjectTaken, StillInUse
from cairn_database.identity.errors import (
    IdentityNotFound,
    IdentityRefused,
    IdentityTaken,
    NotAuthentic,
)
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import Conflict, Forbidden, NotFound
from cairn_gateway.http.routes import Enforce, Handler, Route
from cairn_gateway.identity.builtin import BuiltInIdentity, challenge
from cairn_gateway.identity.catalog import PREFIX, V3

log = structlog.get_logger()
NO_CONTENT: Final = 204


def route(
    method: str,
    path: str,
    handler: Handler,
    rule: str | None,
    *,
    status: int = 200,
    body: type[BaseModel] | None = None,
) -> Route:
    """A route below /v3. Its handler asks the policy itself; what the database refuses becomes the fault that
    Keystone answers with."""
    return Route(
        method,
        V3 + path,
        _with_faults(handler),
        None if rule is None else f"identity:{rule}",
        status=status,
        body=body,
        enforce=Enforce.HANDLER,
        tags=("identity",),
    )


def readable(path: str, handler: Handler, rule: str | None) -> tuple[Route, Route]:
    """GET, and HEAD as the same without its body."""
    return route("GET", path, handler, rule), route("HEAD", path, handler, rule)


def _with_faults(handler: Handler) -> Handler:
    @wraps(handler)
    async def handle(call: Call) -> Answer:
        try:
            return await handler(call)
        except IdentityNotFound as error:
            raise NotFound(str(error)) from error
        except (IdentityTaken, ProjectTaken, StillInUse) as error:
            raise Conflict(str(error)) from error
        except IdentityRefused as error:
            raise Forbidden(str(error)) from error
        except NotAuthentic as error:
            log.info("identity.refused", reason=str(error), remote=call.remote)
            raise challenge(call) from error

    return handle


def builtin(call: Call) -> BuiltInIdentity:
    """The back end, which is the built-in one wherever these routes are served."""
    identity = call.services.identity
    if not isinstance(identity, BuiltInIdentity):
        raise NotFound("Another service is this cloud's identity.")
    return identity


def url(call: Call, *parts: str) -> str:
    """`http://host/identity/v3/users/…`."""
    return "/".join((f"{call.base_url}{PREFIX}{V3}", *parts))


def collection(
    call: Call, name: str, items: list[dict[str, Any]], path: str | None = None, **more: Any
) -> Answer:
    """A list as Keystone writes it."""
    query = f"?{call.query_string}" if call.query_string else ""
    links = {"self": url(call, path or name) + query, "previous": None, "next": None}
    return Answer({name: items, "links": links, **more})


def filters(call: Call, *names: str) -> dict[str, str]:
    """Those fields of the query string that are there. A literal `None` is no filter, as in Nova."""
    found = call.query_dict()
    return {name: found[name] for name in names if found.get(name) not in (None, "None")}


def flag(call: Call, name: str) -> bool:
    """Whether the query string says so (`?effective`, `?effective=true`); `0`, `false` say no."""
    value = call.query_dict().get(name)
    return value is not None and value.lower() not in ("0", "false", "no", "off", "none")


def truth(value: str | None) -> bool | None:
    """A filter on a flag: `enabled=true`."""
    return None if value is None else value.lower() not in ("0", "false", "no", "off")


def moment(value: datetime) -> str:
    """`2026-01-31T12:00:00.000000Z`."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def enforce(call: Call, rule: str | None = None, **target: str | None) -> None:
    """Ask the policy. `user_id` and the like are written with their dots as two underscores:
    `target__user__id`."""
    named = {name.replace("__", "."): value for name, value in target.items()}
    call.enforce(named, f"identity:{rule}" if rule else None)
