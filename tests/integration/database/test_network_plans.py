"""What is asked of networks and ports on every boot and every list of servers finds its rows by an index."""

from __future__ import annotations

import uuid

from cairn_database import Database, addresses, removal
from cairn_database.addresses import InterfaceWant
from cairn_database.asking import Asked
from cairn_database.networking import floating, groups, networks, of_instance, ports
from cairn_database.networking.floating import Lead, NewFloatingIp
from cairn_database.networking.interfaces import interfaces_of
from cairn_database.networking.ports import NewPort
from cairn_database.networking.tables import floating_ips, security_groups
from cairn_database.networking.tables import ports as port_table
from integration.database.conftest import sqlite_only
from integration.database.support import claimed, make_cloud
from integration.database.test_query_plans import _complaints, _plans, _statements


async def _everything_hot(db: Database) -> None:
    new = NewPort(id=str(uuid.uuid4()), network="lan", project="blue", addresses=["10.0.0.9"])
    [port] = await ports.create(db, [new])
    record = await claimed(db)
    wants = [InterfaceWant("lan"), InterfaceWant("lan", port=port.id)]
    record = await addresses.allocate_interfaces(db, record.id, record.version, wants)
    made = await floating.create(
        db,
        NewFloatingIp(
            id=str(uuid.uuid4()),
            port_id=str(uuid.uuid4()),
            project="blue",
            network="lan",
            lead=Lead(port.id),
        ),
    )
    await interfaces_of(db, [record.id])
    await floating.find(db, floating_ips.c.project == "blue", floating_ips.c.address == made.address)
    await floating.associate(db, made.id, None)
    await ports.find(db, ports.of_device(record.id))
    await ports.find(db, port_table.c.id == port.id)
    await groups.resolve(db, "blue", "blue", ["default"])
    await groups.find(db, security_groups.c.project == "blue")
    asked = Asked(request_id="req-1")
    await of_instance.set_groups(db, record.id, None, asked)
    await of_instance.remove_group(db, record.id, groups.default_id("blue"), "default")
    await of_instance.add_group(db, record.id, groups.default_id("blue"), "default")
    await networks.find(db, name="lan")
    await removal.begin_delete(db, record.id)
    await removal.finish_delete(db, record.id)
    await floating.delete(db, made.id)
    await ports.delete(db, port.id)


@sqlite_only
async def test_hot_statements_use_an_index(db: Database) -> None:
    await make_cloud(db)
    with _statements() as seen:
        await _everything_hot(db)
    plans = await _plans(db, seen)
    assert len(plans) > 40
    sorted_after = [text for text in _complaints(plans) if "TEMP B-TREE FOR ORDER BY" not in text]
    assert sorted_after == []
