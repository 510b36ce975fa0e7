"""Giving instances addresses: each once, none that is not for them, and quickly in a full network."""

from __future__ import annotations

import asyncio
import re
from ipaddress import IPv4Address

import pytest
import sqlalchemy as sa

from cairn_crds.network import NetworkSpec
from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    ConcurrentUpdate,
    Database,
    InstanceRecord,
    InterfaceRecord,
    MacInUse,
    NetworkNotFound,
    StillInUse,
    TaskState,
    addresses,
    catalog,
    instances,
    tables,
)
from cairn_database.addresses import InterfaceWant
from integration.database.support import (
    assert_consistent,
    assert_nothing_left,
    claimed,
    delete,
    make_cloud,
    spawning,
)

LAN = [InterfaceWant("lan")]


async def _give(db: Database, record: InstanceRecord, *wants: InterfaceWant) -> InstanceRecord:
    return await addresses.allocate_interfaces(db, record.id, record.version, wants)


def _addresses(record: InstanceRecord) -> list[str]:
    return [item.address for item in record.interfaces]


async def test_an_instance_gets_its_interfaces_in_order(db: Database) -> None:
    await make_cloud(db)
    await catalog.networks.upsert(db, "dmz", NetworkSpec(cidr="192.0.2.0/28"))
    record = await claimed(db)
    done = await _give(
        db, record, InterfaceWant("dmz"), InterfaceWant("lan", "10.0.0.77", "02:00:00:00:00:01"), *LAN
    )
    assert done.task_state is TaskState.SPAWNING
    port_ids = [addresses.port_id_of(record.id, ordinal) for ordinal in range(3)]
    assert done.interfaces == (
        InterfaceRecord("dmz", "192.0.2.2", addresses.mac_of(record.id, 0), 0, port_ids[0]),
        InterfaceRecord("lan", "10.0.0.77", "02:00:00:00:00:01", 1, port_ids[1]),
        InterfaceRecord("lan", "10.0.0.2", addresses.mac_of(record.id, 2), 2, port_ids[2]),
    )
    assert re.fullmatch(r"fa:16:3e(:[0-9a-f]{2}){3}", done.interfaces[0].mac)
    assert await instances.get(db, record.id) == done
    await assert_consistent(db)


async def test_asking_again_gives_the_same(db: Database) -> None:
    await make_cloud(db)
    record = await claimed(db)
    done = await _give(db, record, *LAN)
    assert await _give(db, record, *LAN) == done
    with pytest.raises(ConcurrentUpdate):
        await _give(db, record, *LAN, *LAN)
    await assert_consistent(db)


async def test_an_instance_may_have_no_interface(db: Database) -> None:
    await make_cloud(db)
    assert (await _give(db, await claimed(db))).interfaces == ()


async def test_a_network_gives_out_every_address_once_then_says_so(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db, cidr="10.0.0.0/28")
    records = [await claimed(db, f"host-{n % 2}", name=f"web-{n}") for n in range(16)]
    results = await asyncio.gather(
        *(_give(databases[n % 4], record, *LAN) for n, record in enumerate(records)),
        return_exceptions=True,
    )
    given = [
        address for result in results if isinstance(result, InstanceRecord) for address in _addresses(result)
    ]
    assert sorted(given, key=IPv4Address) == [f"10.0.0.{n}" for n in range(2, 15)]
    assert sum(isinstance(result, AddressesExhausted) for result in results) == 3
    await assert_consistent(db)
    refused = next(
        record
        for record, result in zip(records, results, strict=True)
        if isinstance(result, AddressesExhausted)
    )
    assert await instances.get(db, refused.id) == refused
    holder = next(result for result in results if isinstance(result, InstanceRecord))
    freed = _addresses(holder)
    await delete(db, holder)
    assert _addresses(await _give(db, refused, *LAN)) == freed
    await assert_consistent(db)


async def test_an_address_just_given_back_is_the_last_to_be_given_again(db: Database) -> None:
    await make_cloud(db)
    first = await spawning(db, name="first")
    assert _addresses(first) == ["10.0.0.2"]
    await delete(db, first)
    assert _addresses(await spawning(db, name="second")) == ["10.0.0.3"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.9", "already in use"),
        ("10.0.0.1", "is the gateway"),
        ("10.0.0.0", "not an address for instances"),
        ("10.0.0.255", "not an address for instances"),
        ("10.0.1.9", "not an address for instances"),
    ],
)
async def test_a_certain_address_is_refused_with_the_reason(db: Database, address: str, reason: str) -> None:
    await make_cloud(db)
    await _give(db, await claimed(db, name="holder"), InterfaceWant("lan", "10.0.0.9"))
    record = await claimed(db)
    with pytest.raises(AddressInUse, match=reason):
        await _give(db, record, *LAN, InterfaceWant("lan", address))
    assert await instances.get(db, record.id) == record
    await assert_consistent(db)


async def test_a_certain_address_is_had_by_one_of_those_who_ask(databases: list[Database]) -> None:
    await make_cloud(databases[0])
    records = [await claimed(databases[0], name=f"web-{n}") for n in range(4)]
    results = await asyncio.gather(
        *(
            _give(db, record, InterfaceWant("lan", "10.0.0.50"))
            for db, record in zip(databases, records, strict=True)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, AddressInUse) for result in results) == 3
    await assert_consistent(databases[0])


async def test_a_mac_of_ones_own_must_be_free(db: Database) -> None:
    await make_cloud(db)
    mac = "02:00:00:00:00:01"
    await _give(db, await claimed(db, name="one"), InterfaceWant("lan", None, mac))
    with pytest.raises(MacInUse, match=mac):
        await _give(db, await claimed(db, name="two"), InterfaceWant("lan", None, mac))


async def test_a_mac_that_happens_to_be_taken_is_replaced_by_the_next(db: Database) -> None:
    await make_cloud(db)
    record = await claimed(db, name="one")
    taken = InterfaceWant("lan", None, addresses.mac_of(record.id, 0))
    await _give(db, await claimed(db, name="two"), taken)
    assert (await _give(db, record, *LAN)).interfaces[0].mac == addresses.mac_of(record.id, 0, 1)


async def test_an_unknown_network_is_not_found(db: Database) -> None:
    await make_cloud(db)
    record = await claimed(db)
    with pytest.raises(NetworkNotFound, match="nowhere"):
        await _give(db, record, *LAN, InterfaceWant("nowhere"))
    assert await instances.get(db, record.id) == record
    await delete(db, record)
    await assert_nothing_left(db)


async def test_pools_are_what_is_given_out(db: Database) -> None:
    await make_cloud(db)
    spec = {
        "cidr": "10.9.0.0/24",
        "gateway": "10.9.0.21",
        "pools": [
            {"start": "10.9.0.20", "end": "10.9.0.22"},
            {"start": "10.9.0.22", "end": "10.9.0.23"},
            {"start": "10.9.0.254", "end": "10.9.0.255"},
        ],
    }
    await catalog.networks.upsert(db, "pools", NetworkSpec.model_validate(spec))
    record = await _give(db, await claimed(db), *[InterfaceWant("pools")] * 4)
    assert _addresses(record) == ["10.9.0.20", "10.9.0.22", "10.9.0.23", "10.9.0.254"]
    with pytest.raises(AddressesExhausted):
        await _give(db, await claimed(db, name="more"), InterfaceWant("pools"))
    wider = NetworkSpec.model_validate(spec | {"pools": [{"start": "10.9.0.20", "end": "10.9.0.24"}]})
    assert await catalog.networks.upsert(db, "pools", wider)
    assert not await catalog.networks.upsert(db, "pools", wider)
    last = await _give(db, await claimed(db, name="last"), InterfaceWant("pools"))
    assert _addresses(last) == ["10.9.0.24"]
    outside = await _give(db, await claimed(db, name="out"), InterfaceWant("pools", "10.9.0.100"))
    await assert_consistent(db)
    for held in (record, last, outside):
        await delete(db, held)
    for held in await instances.list_live(db):
        await delete(db, held)
    await assert_nothing_left(db)  # .254 and .100 are outside the pools now, and not given out again


async def test_a_network_in_use_cannot_be_removed(db: Database) -> None:
    await make_cloud(db)
    record = await spawning(db)
    with pytest.raises(StillInUse, match=r"Network lan is still used by 1 instance"):
        await catalog.networks.remove(db, "lan")
    assert await catalog.networks.get(db, "lan") is not None
    await delete(db, record)
    await catalog.networks.remove(db, "lan")
    assert await catalog.networks.get(db, "lan") is None
    with pytest.raises(NetworkNotFound):
        await _give(db, await claimed(db), *LAN)


async def test_the_last_address_of_a_large_network_costs_what_the_first_does(db: Database) -> None:
    """A /16 with every address but one in use: the statements touch a few rows, not 65,000."""
    await make_cloud(db, cidr="10.1.0.0/16")

    def fill(conn: sa.Connection) -> None:
        first = int(IPv4Address("10.1.0.2"))
        conn.execute(
            sa.insert(tables.addresses),
            [
                {
                    "network": "lan",
                    "address": str(IPv4Address(first + n)),
                    "port_id": "filler",
                }
                for n in range(65532)
            ],
        )
        conn.execute(sa.update(tables.free_addresses).values(first=first + 65532))

    await db.run(fill)
    record = await spawning(db)
    assert _addresses(record) == ["10.1.255.254"]
    with pytest.raises(AddressesExhausted):
        await spawning(db, name="next")
    assert (
        await db.read(lambda conn: conn.scalar(sa.select(sa.func.count()).select_from(tables.free_addresses)))
        == 0
    )
