"""What is heavy on a host is done a few at a time, and nothing else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest_asyncio

from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.reconciler import GuestReconciler
from cairn_agent.settings import AgentSettings
from cairn_crds import Guest
from cairn_crds.guest import GuestPhase
from cairn_runtime.store import Store
from unit.agent.conftest import NAMESPACE, NODE, FakeApi, Transfers

IDS = [f"0f5a3c1e-1111-4222-8333-0000000000{number}" for number in range(10, 22)]


class Api:
    """An API server with several Guests."""

    def __init__(self, guests: Store[Guest]) -> None:
        self.of = {id_: FakeApi(guests, id_) for id_ in IDS}

    async def get(self, kind: type[Guest], name: str, namespace: str) -> Any:
        return await self.of[name].get(kind, name, namespace)

    async def patch(self, kind: type[Guest], name: str, *args: Any) -> Any:
        return await self.of[name].patch(kind, name, *args)

    async def delete(self, kind: type[Guest], name: str, namespace: str, uid: str) -> None:
        await self.of[name].delete(kind, name, namespace, uid)


class Host:
    """An agent at work: its queue runs."""

    def __init__(self, settings: AgentSettings) -> None:
        self.driver = FakeDriver()
        self.guests = Store(Guest)
        self.api = Api(self.guests)
        self.transfers = Transfers()
        self.reconciler = GuestReconciler(
            settings, cast(Any, self.api), self.driver, self.guests, self.transfers
        )

    def apply(self, number: int, **spec: Any) -> None:
        self.api.of[IDS[number]].apply(**spec)
        self.look(number)

    def status(self, number: int) -> dict[str, Any]:
        return self.api.of[IDS[number]].status

    def look(self, number: int) -> None:
        self.reconciler.queue.add((NAMESPACE, IDS[number]))

    @property
    def waiting(self) -> int:
        """How many Guests wait for their turn."""
        return self.reconciler.limits.waiting

    def let_go_of(self, number: int) -> None:
        """The host is told to remove that machine, under an epoch to come."""
        self.reconciler._fences[NODE].add(IDS[number], 99)

    def runs(self, number: int) -> bool:
        return self.status(number).get("powerState") == "Running"

    @property
    def spawning(self) -> set[int]:
        """The numbers of those that are being made."""
        return {
            number
            for number, id_ in enumerate(IDS)
            if (guest := self.guests.get(NAMESPACE, id_)) and guest.status.phase is GuestPhase.SPAWNING
        }

    async def run(self, *numbers: int) -> None:
        for number in numbers:
            self.apply(number)
        await until(lambda: all(self.runs(number) for number in numbers))

    def migrate(self, number: int, **how: Any) -> None:
        destination = {"host": "h2", "address": "/nowhere", **how}
        operation = {"id": f"{number}" + IDS[0][1:], "kind": "LiveMigrate", "destination": destination}
        self.apply(number, operation=operation)

    def operation(self, number: int) -> str | None:
        """How far its operation is."""
        return cast("str | None", self.status(number).get("operation", {}).get("phase"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - of whatever the test looks at
            await asyncio.sleep(0.001)


@pytest_asyncio.fixture
async def host(settings: AgentSettings) -> Any:
    limits = {"builds_at_once": 2, "snapshots_at_once": 1, "live_migrations_at_once": 1}
    made = Host(settings.model_copy(update=limits))
    await made.driver.open(lambda _event: None)
    await made.reconciler.queue.start()
    yield made
    await made.reconciler.queue.stop(grace=1.0)


async def test_machines_are_made_a_few_at_a_time(host: Host) -> None:
    host.driver.faults.blocks("spawn.image")
    for number in range(4):
        host.apply(number)
    await until(lambda: host.waiting == 2 and host.spawning)
    assert host.spawning == {0, 1}
    host.driver.faults.heals("spawn.image")
    await until(lambda: all(host.runs(number) for number in range(4)))


async def test_one_that_is_deleted_before_its_turn_is_gone_at_once(host: Host) -> None:
    host.driver.faults.blocks("spawn.image")
    for number in range(4):
        host.apply(number)
    await until(lambda: host.waiting == 2)
    host.apply(2, absent=True)
    await until(lambda: host.api.of[IDS[2]].deletes)
    host.api.of[IDS[2]].finish_delete()
    host.look(2)
    host.driver.faults.heals("spawn.image")
    await until(lambda: host.runs(3))


async def test_one_that_is_refused_when_it_is_its_turn_gives_it_to_the_next(host: Host) -> None:
    host.driver.faults.blocks("spawn.image")
    for number in range(5):
        host.apply(number)
    await until(lambda: host.waiting == 3)
    for number in (2, 3):
        host.let_go_of(number)
    host.driver.faults.heals("spawn.image")
    await until(lambda: host.runs(4))
    assert [host.status(number)["fault"]["reason"] for number in (2, 3)] == ["Late"] * 2


async def test_a_power_change_waits_for_nobodys_copy(host: Host) -> None:
    await host.run(0, 1)
    host.driver.wire.hold(IDS[0])  # type: ignore[attr-defined]
    host.migrate(0)
    await until(lambda: host.operation(0) == "Running")
    host.apply(1, powerState="Stopped")
    await until(lambda: host.status(1)["powerState"] == "Shutdown")


async def test_a_boot_waits_for_no_guest_that_does_not_shut_down(host: Host) -> None:
    many = range(11)
    await host.run(*many)
    host.driver.faults.blocks("power_off")
    for number in many:
        host.apply(number, powerState="Stopped")
    await host.run(11)
    host.driver.faults.heals("power_off")
    await until(lambda: all(host.status(number)["powerState"] == "Shutdown" for number in many))


async def test_one_machine_leaves_after_the_other(host: Host) -> None:
    await host.run(0, 1)
    for number in (0, 1):
        host.driver.wire.hold(IDS[number])  # type: ignore[attr-defined]
        host.migrate(number)
    await until(lambda: host.operation(0) == "Running")
    await until(lambda: host.waiting == 1)
    assert host.operation(1) is None
    host.driver.wire.force(IDS[0])  # it fails: nobody listens at the other end
    await until(lambda: host.operation(0) == "Failed")
    await until(lambda: host.operation(1) == "Running")
    host.driver.wire.force(IDS[1])


async def test_one_that_is_aborted_before_its_turn_runs_on_here(host: Host) -> None:
    await host.run(0, 1)
    host.driver.wire.hold(IDS[0])  # type: ignore[attr-defined]
    host.migrate(0)
    host.migrate(1)
    await until(lambda: host.operation(0) == "Running" and host.waiting == 1)
    host.migrate(1, abort=True)
    await until(lambda: host.operation(1) == "Failed")
    assert host.status(1)["operation"]["reason"] == "Aborted"
    assert host.runs(1)
    assert host.operation(0) == "Running"
    host.driver.wire.force(IDS[0])


async def test_images_are_made_one_after_the_other(host: Host) -> None:
    await host.run(0, 1)
    host.transfers.gate = asyncio.Event()
    for number in (0, 1):
        upload = {"url": f"http://store/{number}"}
        host.apply(number, operation={"id": f"{number}" + IDS[0][1:], "kind": "Snapshot", "upload": upload})
    await until(lambda: list(host.driver.scratch.glob("*.image")) and host.waiting == 1)
    assert len(list(host.driver.scratch.glob("*.image"))) == 1
    host.transfers.gate.set()
    await until(lambda: host.operation(0) == host.operation(1) == "Done")
