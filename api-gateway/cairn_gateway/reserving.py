"""Making a resource whose name, id and quota have to be SQL's before it is there.

Reserved first (one transaction decides between everybody who wants the same), made then; what could not be
made is given up. Whatever is left over when the process ends in between, the conductor's mirrors settle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cairn_crds import Resource
from cairn_gateway.cluster import Cluster
from cairn_gateway.http.faults import BadRequest, Conflict
from cairn_gateway.naming import with_suffix
from cairn_runtime.kubernetes import AlreadyExists, Invalid, KubernetesError

TRIES = 5


async def reserve_and_create(
    cluster: Cluster,
    base: str,
    *,
    reserve: Callable[[str], Awaitable[bool]],
    resource: Callable[[str], Resource],
    release: Callable[[str], Awaitable[None]],
) -> Any:
    """The new resource, under the name `base` or one made from it.

    `reserve` answers whether that name was free, and raises what else stands against it; `resource` makes the
    object of that name; `release` gives the reservation up. Raises BadRequest for what its schema refuses,
    ApiServerUnavailable.
    """
    for attempt in range(TRIES):
        name = base if attempt == 0 else with_suffix(base)
        if not await reserve(name):
            continue
        wanted = resource(name)
        try:
            body = await cluster.create(wanted)
        except AlreadyExists:
            await release(name)
            continue
        except Invalid as error:
            await release(name)
            raise BadRequest(f"It cannot be so: {error}") from error
        except KubernetesError:
            await release(name)
            raise
        return type(wanted).from_api(body)
    raise Conflict(f"No name like {base} is free for its resource. Try again.")
