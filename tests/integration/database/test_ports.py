"""Ports: addresses held before there is an instance, taken over by one, and kept when it goes."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from cairn_crds.network import NetworkSpec
from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    Database,
    InstanceRecord,
    MacInUse,
    NetworkNotFound,
    StillInUse,
    addresses,
    catalog,
    failures,
)
from cairn_database.addresses import InterfaceWant
from cairn_database.networking import groups, limits, ports
from cairn_database.networking.errors import (
    NetworkQuotaExceeded,
    PortInUse,
    PortNotFound,
    SecurityGroupNotFound,
)
from cairn_database.networking.interfaces import interfaces_of
from cairn_database.networking.ports import NewPort, PortChange, PortRecord
from integration.database.support import (
    assert_consistent,
    assert_nothing_left,
    claimed,
    delete,
    make_cloud,
    place_on,
    spawning,
)


async def _port(db: Database, **values: Any) -> PortRecord:
    base: dict[str, Any] = {"id": str(uuid.uuid4()), "network": "lan", "project": "blue"}
    [made] = await ports.create(db, [NewPort(**(base | values))])
    return made


async def _boot(db: Database, *wants: InterfaceWant, name: str = "web") -> InstanceRecord:
    record = await claimed(db, name=name)
    return await addresses.allocate_interfaces(db, record.id, record.version, wants)


async def test_an_interface_is_a_port(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    [interface] = (await interfaces_of(db, [record.id, "another"]))[record.id]
    port = await ports.get(db, interface.port_id)
    assert port is not None
    assert (port.instance_id, port.ordinal, port.transient) == (record.id, 0, True)
    assert port.device_owner == "compute:nova"
    assert (port.project, port.addresses) == ("blue", ("10.0.0.2",))
    assert interface.addresses == ("10.0.0.2",)
    assert interface.mac == port.mac == record.interfaces[0].mac
    assert record.interfaces[0].port_id == port.id
    assert [group.name for group in interface.security_groups] == ["default"]
    await delete(db, record)
    assert await ports.get(db, interface.port_id) is None
    assert await interfaces_of(db, [record.id]) == {}
    await assert_nothing_left(db)


async def test_a_port_of_ones_own_is_used_and_outlives_the_instance(db: Database) -> None:
    await make_cloud(db)
    port = await _port(db, addresses=["10.0.0.77"], mac="02:00:00:00:00:77", name="mine")
    record = await _boot(db, InterfaceWant("lan"), InterfaceWant("lan", port=port.id))
    assert [item.address for item in record.interfaces] == ["10.0.0.2", "10.0.0.77"]
    assert record.interfaces[1].mac == "02:00:00:00:00:77"
    assert record.interfaces[1].port_id == port.id
    with pytest.raises(PortInUse):
        await ports.delete(db, port.id)
    await assert_consistent(db)
    await delete(db, record)
    kept = await ports.get(db, port.id)
    assert kept is not None
    assert (kept.instance_id, kept.ordinal, kept.device_owner) == (None, None, "")
    assert kept.addresses == ("10.0.0.77",)
    await assert_consistent(db)
    await ports.delete(db, port.id)
    await assert_nothing_left(db)


async def test_a_failed_build_gives_the_port_back_for_the_next(db: Database) -> None:
    await make_cloud(db)
    port = await _port(db)
    record = await _boot(db, InterfaceWant("lan", port=port.id), InterfaceWant("lan"))
    first = record.interfaces
    record = await failures.reschedule(
        db, record.id, record.version, exclude_host="host-0", message="it broke"
    )
    await assert_consistent(db)
    record = await place_on(db, record, "host-1")
    wants = [InterfaceWant("lan", port=port.id), InterfaceWant("lan")]
    record = await addresses.allocate_interfaces(db, record.id, record.version, wants)
    assert record.interfaces[0] == first[0]
    assert (record.interfaces[1].mac, record.interfaces[1].port_id) == (first[1].mac, first[1].port_id)
    await assert_consistent(db)


async def test_of_those_who_want_a_port_one_gets_it(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    port = await _port(db)
    records = [await claimed(db, name=f"web-{n}") for n in range(4)]
    results = await asyncio.gather(
        *(
            addresses.allocate_interfaces(
                databases[n], record.id, record.version, [InterfaceWant("lan", port=port.id)]
            )
            for n, record in enumerate(records)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, InstanceRecord) for result in results) == 1
    assert sum(isinstance(result, PortInUse) for result in results) == 3
    await assert_consistent(db)


@pytest.mark.parametrize("change", [{"project": "green"}, {"network": "other"}])
async def test_a_port_elsewhere_is_not_found(db: Database, change: dict[str, str]) -> None:
    await make_cloud(db)
    await catalog.networks.upsert(db, "other", NetworkSpec(cidr="10.5.0.0/24"))
    port = await _port(db, **change)
    with pytest.raises(PortNotFound):
        await _boot(db, InterfaceWant("lan", port=port.id))


async def test_ports_made_at_once_get_every_address_once(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db, cidr="10.0.0.0/28")
    results = await asyncio.gather(*(_port(databases[n % 4]) for n in range(16)), return_exceptions=True)
    made = [result for result in results if isinstance(result, PortRecord)]
    assert sorted(int(port.addresses[0].split(".")[3]) for port in made) == list(range(2, 15))
    assert sum(isinstance(result, AddressesExhausted) for result in results) == 3
    assert len({port.mac for port in made}) == 13
    await assert_consistent(db)
    for port in made:
        await ports.delete(db, port.id)
    await assert_nothing_left(db)


async def test_a_quota_of_ports_holds_against_all_at_once(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    await limits.set_limits(db, "blue", {"port": 5})

    async def make(n: int) -> list[PortRecord]:
        new = NewPort(id=str(uuid.uuid4()), network="lan", project="blue")
        return await ports.create(databases[n % 4], [new])

    results = await asyncio.gather(*(make(n) for n in range(12)), return_exceptions=True)
    assert sum(isinstance(result, list) for result in results) == 5
    assert sum(isinstance(result, NetworkQuotaExceeded) for result in results) == 7
    assert (await limits.report(db, "blue"))["port"] == (5, 5)


async def test_addresses_of_a_port_change_while_it_is_nobodys(db: Database) -> None:
    await make_cloud(db)
    port = await _port(db, addresses=["10.0.0.9"])
    more = await ports.update(db, port.id, PortChange(addresses=["10.0.0.9", None], name="two"))
    assert (more.name, more.addresses) == ("two", ("10.0.0.2", "10.0.0.9"))
    less = await ports.update(db, port.id, PortChange(addresses=["10.0.0.2"]))
    assert less.addresses == ("10.0.0.2",)
    assert less.revision == 3
    other = await _port(db, addresses=["10.0.0.9"])
    with pytest.raises(AddressInUse):
        await ports.update(db, other.id, PortChange(addresses=["10.0.0.2"]))
    with pytest.raises(MacInUse):
        await ports.update(db, other.id, PortChange(mac=port.mac))
    await _boot(db, InterfaceWant("lan", port=port.id))
    with pytest.raises(PortInUse):
        await ports.update(db, port.id, PortChange(addresses=["10.0.0.50"]))
    await assert_consistent(db)


async def test_a_network_with_a_port_cannot_be_removed(db: Database) -> None:
    await make_cloud(db)
    port = await _port(db)
    with pytest.raises(StillInUse):
        await catalog.networks.remove(db, "lan")
    await ports.delete(db, port.id)
    await catalog.networks.remove(db, "lan")
    with pytest.raises(NetworkNotFound):
        await _port(db)


async def test_boots_at_once_make_one_default_group(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    records = [await claimed(db, name=f"web-{n}") for n in range(4)]
    await asyncio.gather(
        *(
            addresses.allocate_interfaces(databases[n], record.id, record.version, [InterfaceWant("lan")])
            for n, record in enumerate(records)
        )
    )
    [group] = await groups.find(db)
    assert (group.name, group.id) == ("default", groups.default_id("blue"))
    found = await interfaces_of(db, [record.id for record in records])
    assert {item.security_groups[0].id for items in found.values() for item in items} == {group.id}
    assert len(await groups.list_rules(db)) == 4


async def test_an_unknown_group_is_not_found(db: Database) -> None:
    await make_cloud(db)
    request = {"spec": {"securityGroups": ["default", "web"]}, "networks": []}
    record = await claimed(db, request=request)
    with pytest.raises(SecurityGroupNotFound, match="web"):
        await addresses.allocate_interfaces(db, record.id, record.version, [InterfaceWant("lan")])
    await assert_consistent(db)
