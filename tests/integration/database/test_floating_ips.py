"""Floating addresses: each taken once, one for each fixed address, and free again when they are let go."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from cairn_crds.network import NetworkSpec
from cairn_database import AddressesExhausted, Database, addresses, catalog
from cairn_database.addresses import InterfaceWant
from cairn_database.networking import floating, limits, networks
from cairn_database.networking.errors import (
    FloatingIpInUse,
    FloatingIpNotFound,
    NetworkInUse,
    NetworkQuotaExceeded,
    PortNotFound,
)
from cairn_database.networking.floating import FloatingIpRecord, Lead, NewFloatingIp
from cairn_database.networking.interfaces import interfaces_of
from integration.database.support import assert_consistent, assert_nothing_left, claimed, delete, make_cloud


async def _take(db: Database, **more: Any) -> FloatingIpRecord:
    base = {"id": str(uuid.uuid4()), "port_id": str(uuid.uuid4()), "project": "blue", "network": "public"}
    return await floating.create(db, NewFloatingIp(**(base | more)))


async def _cloud(db: Database, cidr: str = "192.0.2.0/28") -> None:
    await make_cloud(db)
    await catalog.networks.upsert(db, "public", NetworkSpec(cidr=cidr, external=True))


async def test_taken_led_let_go_and_free_again(db: Database) -> None:
    await _cloud(db)
    record = await claimed(db)
    record = await addresses.allocate_interfaces(db, record.id, record.version, [InterfaceWant("lan")])
    [interface] = (await interfaces_of(db, [record.id]))[record.id]
    first = await _take(db, lead=Lead(interface.port_id))
    assert (first.address, first.fixed_address) == ("192.0.2.2", "10.0.0.2")
    [interface] = (await interfaces_of(db, [record.id]))[record.id]
    assert interface.floating == ("192.0.2.2",)
    second = await _take(db)
    with pytest.raises(FloatingIpInUse):
        await floating.associate(db, second.id, Lead(interface.port_id))
    with pytest.raises(PortNotFound):
        await floating.associate(db, second.id, Lead(interface.port_id, "10.0.0.77"))
    await assert_consistent(db)
    await delete(db, record)
    [loose] = await floating.find(db, floating.floating_ips.c.id == first.id)
    assert (loose.fixed_port_id, loose.fixed_address) == (None, None)
    [public] = await networks.find(db, name="public")
    with pytest.raises(NetworkInUse):
        await networks.begin_removal(db, public, keep_draft=False)
    for item in (first, second):
        await floating.delete(db, item.id)
    with pytest.raises(FloatingIpNotFound):
        await floating.delete(db, first.id)
    await assert_nothing_left(db)
    await networks.begin_removal(db, public, keep_draft=True)
    [draft] = await networks.find(db, network_id=public.id)
    assert (draft.name, draft.external) == (None, True)


async def test_a_quota_and_a_pool_hold_against_all_at_once(databases: list[Database]) -> None:
    db = databases[0]
    await _cloud(db, "192.0.2.0/29")
    await limits.set_limits(db, "blue", {"floatingip": 3})
    results = await asyncio.gather(*(_take(databases[n % 4]) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(result, FloatingIpRecord) for result in results) == 3
    assert sum(isinstance(result, NetworkQuotaExceeded) for result in results) == 5
    await limits.set_limits(db, "blue", {"floatingip": -1})
    results = await asyncio.gather(*(_take(databases[n % 4]) for n in range(4)), return_exceptions=True)
    assert sum(isinstance(result, FloatingIpRecord) for result in results) == 2
    assert sum(isinstance(result, AddressesExhausted) for result in results) == 2
    await assert_consistent(db)
