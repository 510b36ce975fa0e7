"""Interfaces of instances that have been made: asked for, settled, taken back, whatever comes between."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from cairn_database import AddressesExhausted, Database, VmState, history, instances, removal
from cairn_database.asking import Asked
from cairn_database.legality import ActionRefused
from cairn_database.networking import plugging, ports
from cairn_database.networking.errors import PortInUse, PortNotFound
from cairn_database.networking.plugging import Plug
from cairn_database.networking.ports import NewPort
from cairn_database.records import InstanceRecord
from cairn_database.rows import compare_and_set, load, now
from integration.database.support import active, assert_consistent, assert_nothing_left, make_cloud

ASKED = Asked(request_id="req-plug")


def lan(**request: Any) -> Plug:
    return Plug({"network": "lan", **request}, {"name": "lan", "cidr": "10.0.0.0/24"})


async def settle(db: Database, record: InstanceRecord, failed: str | None = None) -> InstanceRecord:
    """The host has answered for everything that is being changed."""
    changing = [one.port_id for one in record.interfaces if one.change]
    return await plugging.settle(
        db,
        record.id,
        record.version,
        done=[] if failed else changing,
        failed=dict.fromkeys(changing, failed) if failed else {},
    )


async def actions(db: Database, record: InstanceRecord) -> list[tuple[str, str | None]]:
    return [(one.action, one.result) for one in await history.list_actions(db, record.id)]


async def test_an_interface_is_attached_and_detached(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await plugging.attach(db, record.id, ASKED, lan(tag="nic"))
    first, second = record.interfaces
    assert (first.change, second.change, second.tag) == (None, "attaching", "nic")
    assert first.mac != second.mac
    assert record.task_state is None
    assert record.spec["networks"] == [{"network": "lan"}, {"network": "lan", "tag": "nic"}]
    await assert_consistent(db)
    record = await settle(db, record)
    assert [one.change for one in record.interfaces] == [None, None]
    assert (await actions(db, record))[0] == ("attach_interface", "Success")

    record = await plugging.detach(db, record.id, ASKED, first.port_id or "")
    assert [one.change for one in record.interfaces] == ["detaching", None]
    assert record.spec["networks"] == [{"network": "lan", "tag": "nic"}]
    assert await ports.get(db, first.port_id or "") is not None  # its address is nobody else's yet
    again = await plugging.detach(db, record.id, ASKED, first.port_id or "")
    assert len(await actions(db, again)) == len(await actions(db, record))
    record = await settle(db, again)
    assert [one.port_id for one in record.interfaces] == [second.port_id]
    assert await ports.get(db, first.port_id or "") is None
    assert (await actions(db, record))[0] == ("detach_interface", "Success")
    await assert_consistent(db)


async def test_what_the_host_cannot_do_goes_back(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await plugging.attach(db, record.id, ASKED, lan())
    record = await settle(db, record, "no room on the bus")
    assert [one.change for one in record.interfaces] == [None, "detaching"]
    assert record.spec["networks"] == [{"network": "lan"}]
    assert (await actions(db, record))[0] == ("attach_interface", "Error")
    record = await settle(db, record)
    assert len(record.interfaces) == 1
    record = await plugging.detach(db, record.id, ASKED, record.interfaces[0].port_id or "")
    record = await settle(db, record, "the guest does not let go")
    [kept] = record.interfaces
    assert (kept.change, kept.action_id) == (None, None)
    assert record.spec["networks"] == [{"network": "lan", "address": kept.address, "mac": kept.mac}]
    assert (await actions(db, record))[0] == ("detach_interface", "Error")
    await assert_consistent(db)


async def test_ports_made_beforehand_come_and_stay(db: Database) -> None:
    await make_cloud(db)
    record, other = await active(db), await active(db, name="other")
    mine, foreign = str(uuid.uuid4()), str(uuid.uuid4())
    await ports.create(
        db,
        [
            NewPort(id=mine, network="lan", project="blue"),
            NewPort(id=foreign, network="lan", project=None),
        ],
    )
    record = await settle(db, await plugging.attach(db, record.id, ASKED, lan(port=mine)))
    with pytest.raises(PortInUse):
        await plugging.attach(db, other.id, ASKED, lan(port=mine))
    with pytest.raises(PortNotFound):
        await plugging.attach(db, other.id, ASKED, lan(port=foreign))
    with pytest.raises(PortNotFound):
        await plugging.detach(db, other.id, ASKED, mine)
    record = await settle(db, await plugging.detach(db, record.id, ASKED, mine))
    kept = await ports.get(db, mine)
    assert kept is not None
    assert (kept.instance_id, len(kept.addresses)) == (None, 1)
    await assert_consistent(db)


async def test_only_one_of_many_gets_the_last_address(db: Database) -> None:
    await make_cloud(db, cidr="10.0.0.0/29")  # five for instances
    records = [await active(db, name=f"vm-{index}") for index in range(4)]
    answers = await asyncio.gather(
        *(plugging.attach(db, record.id, ASKED, lan()) for record in records), return_exceptions=True
    )
    got = [answer for answer in answers if isinstance(answer, InstanceRecord)]
    assert len(got) == 1
    assert sum(isinstance(answer, AddressesExhausted) for answer in answers) == 3
    await assert_consistent(db)


async def test_an_edit_keeps_what_it_names(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await settle(db, await plugging.attach(db, record.id, ASKED, lan(address="10.0.0.77")))
    old, named = record.interfaces
    wanted = [lan(address="10.0.0.77"), lan(address="10.0.0.78")]
    record = await plugging.rewire(db, record.id, ASKED, wanted)
    assert [(one.address, one.change) for one in record.interfaces] == [
        (named.address, None),
        ("10.0.0.78", "attaching"),
        (old.address, "detaching"),
    ]
    assert record.spec["networks"] == [plug.request for plug in wanted]
    record = await settle(db, record)
    assert [one.address for one in record.interfaces] == ["10.0.0.77", "10.0.0.78"]
    assert len(record.request["networks"]) == 2
    await assert_consistent(db)


async def test_states_that_do_not_allow_it(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await db.run(
        lambda conn: compare_and_set(conn, load(conn, record.id), moment=now(), vm_state=VmState.SUSPENDED)
    )
    with pytest.raises(ActionRefused):
        await plugging.attach(db, record.id, ASKED, lan())
    with pytest.raises(ActionRefused):
        await plugging.detach(db, record.id, ASKED, record.interfaces[0].port_id or "")


async def test_an_instance_that_goes_leaves_nothing_of_its_changes(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    record = await plugging.attach(db, record.id, ASKED, lan())
    record = await plugging.detach(db, record.id, ASKED, record.interfaces[0].port_id or "")
    await removal.begin_delete(db, record.id)
    ended = dict(await actions(db, record))
    assert (ended["attach_interface"], ended["detach_interface"]) == ("Error", "Error")
    await removal.finish_delete(db, record.id)
    await assert_nothing_left(db)


async def test_fixed_addresses_are_added_and_removed(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    port_id = record.interfaces[0].port_id or ""
    await plugging.add_address(db, record.id, ASKED, "lan")
    port = await ports.get(db, port_id)
    assert port is not None
    [added] = set(port.addresses) - {record.interfaces[0].address}
    await assert_consistent(db)
    await plugging.remove_address(db, record.id, ASKED, added)
    for address in (added, record.interfaces[0].address):
        with pytest.raises(PortNotFound):
            await plugging.remove_address(db, record.id, ASKED, address)
    assert (await instances.get(db, record.id)).version == record.version + 2
    await assert_consistent(db)
