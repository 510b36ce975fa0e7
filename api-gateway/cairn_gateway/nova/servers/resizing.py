"""Resizing: to another flavor, and what becomes of it then.

Source: Nova API, the actions resize, confirmResize and revertResize of POST /servers/{server_id}/action.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from cairn_database import InstanceRecord, admission, flavors, moving
from cairn_database.admission import Refusal
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import RequestModel, Text255
from cairn_gateway.nova.servers.actions import action, asked_by, perform
from cairn_gateway.nova.servers.create_models import DiskConfig, reference

Json = dict[str, Any]


class ResizeWish(RequestModel):
    """The flavor, by its id; its address will do as well."""

    flavor_ref: Annotated[Text255, Field(alias="flavorRef", min_length=1), BeforeValidator(reference)]
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None


class Resize(RequestModel):
    """`{"resize": {"flavorRef": "2"}}`."""

    resize: ResizeWish


async def resize(call: Call) -> Answer:
    """Give it another flavor; the old one is kept until that is confirmed."""
    body: Resize = call.checked
    wish = body.resize

    async def act(record: InstanceRecord) -> InstanceRecord:
        flavor = await _flavor(call, wish.flavor_ref, record)
        details = None if wish.disk_config is None else {"diskConfig": wish.disk_config}
        return await moving.resize(
            call.services.db, record.id, asked_by(call), flavor=flavor, details=details
        )

    return await perform(call, act)


async def _flavor(call: Call, wanted: str, record: InstanceRecord) -> Json:
    """The flavor as rows hold it. Raises BadRequest for one that there is not, that is not for this project,
    or that the server does not fit into."""
    flavor = await flavors.by_id(call.services.db, wanted.rsplit("/", 1)[-1])
    missing = BadRequest(f"Flavor {wanted} could not be found.")
    if flavor is None:
        raise missing
    try:
        admission.check_flavor(flavor.name, flavor.spec, record.project)
    except Refusal as refusal:
        raise missing from refusal
    document = {
        **flavor.spec.to_api(),
        "id": flavor.id,
        "name": flavor.resource,
        "displayName": flavor.name,
    }
    try:
        admission.check_resize(record.flavor, document, record.image)
    except Refusal as refusal:
        raise BadRequest(refusal.message) from refusal
    return document


async def confirm(call: Call) -> Answer:
    """Keep the new flavor or host; what is kept of the old goes."""
    return await perform(
        call, lambda record: moving.confirm_resize(call.services.db, record.id, asked_by(call)), status=204
    )


async def revert(call: Call) -> Answer:
    """Go back to the old flavor or host."""
    return await perform(
        call, lambda record: moving.revert_resize(call.services.db, record.id, asked_by(call))
    )


RULE = "os_compute_api:servers:"
ROUTES = (
    action("resize", resize, f"{RULE}resize", Resize),
    action("confirmResize", confirm, f"{RULE}confirm_resize", status=204),
    action("revertResize", revert, f"{RULE}revert_resize"),
)
