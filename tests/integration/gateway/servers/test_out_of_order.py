"""Actions out of order, twice, at once, by strangers, on what is deleted: refused, and nothing is changed.

Which action a state allows is `legality`'s to say; here every action is asked for in every state.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_crds.flavor import FlavorSpec
from cairn_database import DatabaseError, TaskState, VmState, catalog, legality, removal
from integration.gateway.servers.conftest import IMAGE, Room
from integration.gateway.servers.worlds import ACTION, add_host, placed, put, row

LIVE = {"host": None, "block_migration": "auto"}
BACKUP = {"name": "b", "backup_type": "daily", "rotation": 1}
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    # by the table's name of the action: who may, and the body
    "start": ("member", {"os-start": None}),
    "stop": ("member", {"os-stop": None}),
    "reboot": ("member", {"reboot": {"type": "SOFT"}}),
    "reboot_hard": ("member", {"reboot": {"type": "HARD"}}),
    "pause": ("member", {"pause": None}),
    "unpause": ("member", {"unpause": None}),
    "suspend": ("member", {"suspend": None}),
    "resume": ("member", {"resume": None}),
    "restore": ("member", {"restore": None}),
    "resize": ("member", {"resize": {"flavorRef": "large"}}),
    "confirm_resize": ("member", {"confirmResize": None}),
    "revert_resize": ("member", {"revertResize": None}),
    "migrate": ("admin", {"migrate": None}),
    "live_migrate": ("admin", {"os-migrateLive": LIVE}),
    "rebuild": ("member", {"rebuild": {"imageRef": IMAGE}}),
    "rescue": ("member", {"rescue": None}),
    "unrescue": ("member", {"unrescue": None}),
    "shelve": ("member", {"shelve": None}),
    "shelve_offload": ("admin", {"shelveOffload": None}),
    "unshelve": ("member", {"unshelve": None}),
    "snapshot": ("member", {"createImage": {"name": "i"}}),
    "backup": ("admin", {"createBackup": BACKUP}),
    "set_admin_password": ("member", {"changePassword": {"adminPass": "x"}}),
    "trigger_crash_dump": ("member", {"trigger_crash_dump": None}),
}
STATES = [state for state in VmState if state is not VmState.DELETED]
CLEAN: dict[str, Any] = {"operation": None, "move": None, "awaiting_host": False}


async def prepared(room: Room) -> str:
    """A server, and what the actions need."""
    await add_host(room, "h1")
    await add_host(room, "h2")
    large = FlavorSpec(vcpus=2, memory_mib=256, disk_gib=2)
    await catalog.flavors.upsert(room.gateway.services.db, "large", large)
    return await placed(room)


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("action", sorted(BODIES))
async def test_an_action_is_taken_in_the_states_that_allow_it_and_in_no_other(
    room: Room, action: str, locked: bool
) -> None:
    server_id = await prepared(room)
    who, body = BODIES[action]
    client = getattr(room, who)
    if locked:
        assert (await room.act(server_id, lock=None)).status_code == 202
    for state in STATES:
        for task in (None, TaskState.POWERING_OFF, TaskState.DELETING):
            host = None if state is VmState.SHELVED_OFFLOADED else "h1"
            before = await put(room, server_id, state, host=host, task_state=task, **CLEAN)
            answer = await client.post(ACTION.format(server_id), json=body)
            try:
                legality.check(action, before, overrides_lock=who == "admin")
            except DatabaseError:
                assert answer.status_code == 409, (state, task, answer.text)
                assert await row(room, server_id) == before
            else:
                assert answer.status_code in (200, 202, 204), (state, task, answer.text)
                after = await row(room, server_id)
                assert after.version > before.version
                assert after.task_state is not None or action == "trigger_crash_dump"


async def test_strangers_readers_and_the_dead_get_nothing_done(room: Room) -> None:
    server_id = await prepared(room)
    before = await row(room, server_id)
    for action, (_who, body) in BODIES.items():
        path = ACTION.format(server_id)
        assert (await room.stranger.post(path, json=body)).status_code == 404, action
        assert (await room.reader.post(path, json=body)).status_code == 403, action
        assert await row(room, server_id) == before
    db = room.gateway.services.db
    await removal.begin_delete(db, server_id)
    await removal.finish_delete(db, server_id)
    for action, (who, body) in BODIES.items():
        answer = await getattr(room, who).post(ACTION.format(server_id), json=body)
        assert answer.status_code == 404, action


STARTING = {
    "os-stop": VmState.ACTIVE,
    "resize": VmState.ACTIVE,
    "rebuild": VmState.ACTIVE,
    "rescue": VmState.ACTIVE,
    "unrescue": VmState.RESCUED,
    "shelve": VmState.ACTIVE,
    "unshelve": VmState.SHELVED,
    "createImage": VmState.ACTIVE,
    "confirmResize": VmState.RESIZED,
}


@pytest.mark.parametrize("key", STARTING)
async def test_of_two_at_once_one_is_taken(room: Room, key: str) -> None:
    server_id = await prepared(room)
    body = next(body for _who, body in BODIES.values() if key in body)
    await put(room, server_id, STARTING[key], host="h1")
    path = ACTION.format(server_id)
    answers = await asyncio.gather(*(room.member.post(path, json=body) for _ in range(5)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] in (200, 202, 204)
    assert codes[1:] == [409] * 4


async def test_confirm_and_revert_at_once_do_one_of_both(room: Room) -> None:
    server_id = await prepared(room)
    await put(room, server_id, VmState.RESIZED, host="h1")
    path = ACTION.format(server_id)
    answers = await asyncio.gather(
        *(room.member.post(path, json={key: None}) for key in ("confirmResize", "revertResize") * 3)
    )
    assert [answer.status_code for answer in answers].count(409) == 5
    task = (await row(room, server_id)).task_state
    assert task in (TaskState.RESIZE_CONFIRMING, TaskState.RESIZE_REVERTING)
