"""The row of an image that is to be made of a server, whichever back end its data goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cairn_database import Database, InstanceRecord
from cairn_database.images import snapshots
from cairn_gateway.http.call import Call
from cairn_gateway.image.fields import check_only_properties


async def reserve_row(
    db: Database,
    hosts_url: str,
    call: Call,
    instance: InstanceRecord,
    *,
    name: str,
    properties: Mapping[str, str],
    backup: dict[str, Any] | None,
) -> tuple[str, str]:
    """See `services.Images.reserve`. Raises BadRequest, Forbidden, BodyTooLarge for properties that no image
    can have."""
    check_only_properties(properties)
    own = {"user_id": call.caller.user_id} if call.caller.user_id else {}
    return await snapshots.reserve(
        db, hosts_url, name=name, instance=instance, properties={**own, **properties}, backup=backup
    )
