"""`/v2/images/{image_id}/members`: whom a shared image is shared with.

The owner shares and unshares; each member sees and answers its own membership only.
"""

from __future__ import annotations

from cairn_database.images import members as rows
from cairn_database.images.members import MemberRecord
from cairn_database.images.records import ImageRecord, Visibility
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, BodyTooLarge, Conflict, Forbidden, NotFound
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.image.fields import OWNER
from cairn_gateway.image.serving import load, store
from cairn_gateway.image.view import member_view


def _owns(call: Call, record: ImageRecord) -> bool:
    return store(call).is_admin(call) or (
        record.owner_id is not None and record.owner_id == call.caller.project_id
    )


async def _shared(call: Call) -> ImageRecord:
    record = await load(call)
    if record.visibility is not Visibility.SHARED:
        raise Forbidden("Only shared images have members.")
    return record


async def _members(call: Call, record: ImageRecord) -> list[MemberRecord]:
    """Those that the caller may know of."""
    found = await rows.members(store(call).db, record.id)
    if _owns(call, record):
        return found
    return [member for member in found if member.member_id == call.caller.project_id]


async def _member(call: Call, record: ImageRecord) -> MemberRecord:
    member_id = call.params["member_id"]
    for member in await _members(call, record):
        if member.member_id == member_id:
            return member
    raise NotFound(f"{member_id} not found in the member list of the image {record.id}.")


def _enforce(call: Call, record: ImageRecord) -> None:
    images = store(call)
    target = images.target(call, record)
    if not _owns(call, record):
        # For a member, what is decided about is its own membership.
        target = {**target, "project_id": call.caller.project_id}
    call.enforce(target)


async def create(call: Call) -> Answer:
    """Share an image with one more project."""
    record = await _shared(call)
    call.enforce(store(call).target(call, record))
    body = await call.json()
    member_id = body.get("member") if isinstance(body, dict) else None
    if not isinstance(member_id, str) or not member_id:
        raise BadRequest('Expected a member in the form: {"member": "project_id"}')
    if len(member_id) > 253 or not OWNER.fullmatch(member_id):
        raise BadRequest(f"{member_id[:255]!r} is no project's id.")
    try:
        member = await rows.add(store(call).db, record.id, member_id)
    except rows.MemberExists as error:
        raise Conflict(str(error)) from error
    except rows.TooManyMembers as error:
        raise BodyTooLarge(str(error)) from error
    await store(call).shared(record)
    return Answer(member_view(member))


async def list_members(call: Call) -> Answer:
    """The projects that an image is shared with."""
    record = await _shared(call)
    _enforce(call, record)
    found = await _members(call, record)
    return Answer({"members": [member_view(member) for member in found], "schema": "/v2/schemas/members"})


async def show(call: Call) -> Answer:
    """One of them."""
    record = await _shared(call)
    _enforce(call, record)
    return Answer(member_view(await _member(call, record)))


async def answer(call: Call) -> Answer:
    """Accept or reject an image that was shared with one's project."""
    record = await _shared(call)
    member = await _member(call, record)
    if member.member_id != call.caller.project_id and not store(call).is_admin(call):
        raise Forbidden("You are not permitted to modify 'status' on this image member.")
    _enforce(call, record)
    body = await call.json()
    status = body.get("status") if isinstance(body, dict) else None
    if status not in rows.STATUSES:
        raise BadRequest(f'Expected a status in the form: {{"status": "{"|".join(rows.STATUSES)}"}}')
    changed = await rows.answer(store(call).db, record.id, member.project, status)
    if changed is None:
        raise NotFound(f"{member.member_id} not found in the member list of the image {record.id}.")
    return Answer(member_view(changed))


async def delete(call: Call) -> Answer:
    """Share an image with one less project."""
    record = await _shared(call)
    call.enforce(store(call).target(call, record))
    member = await _member(call, record)
    await rows.drop(store(call).db, record.id, member.project)
    await store(call).shared(record)
    return Answer()


_MEMBERS = "/v2/images/{image_id}/members"
_MEMBER = _MEMBERS + "/{member_id}"
ROUTES = (
    Route("POST", _MEMBERS, create, "add_member", enforce=Enforce.HANDLER),
    Route("GET", _MEMBERS, list_members, "get_members", enforce=Enforce.HANDLER),
    Route("GET", _MEMBER, show, "get_member", enforce=Enforce.HANDLER),
    Route("PUT", _MEMBER, answer, "modify_member", enforce=Enforce.HANDLER),
    Route("DELETE", _MEMBER, delete, "delete_member", status=204, enforce=Enforce.HANDLER),
)
