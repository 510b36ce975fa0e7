"""Console logs and diagnostics, their bounds, and how failures are told."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from cairn_agent.drivers.api import DriverError, Unsupported
from cairn_agent.endpoint import answers, routes
from cairn_crds.instance import PowerState
from cairn_runtime.agent_client import fingerprint
from cairn_runtime.agent_errors import (
    AgentFailed,
    AgentUnreachable,
    CannotDo,
    MachineNotFound,
    WrongPowerState,
)
from unit.endpoint.conftest import NODE, House

NOBODY = "00000000-0000-4000-8000-000000000000"


async def raw(house: House, path: str, method: str = "GET", **options: object) -> tuple[int, object]:
    """Status and body of any request with the node's token."""
    headers = {"Authorization": f"Bearer {house.peer.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(
            method,
            house.peer.url + path,
            ssl=fingerprint(house.peer.certificate),
            **options,  # type: ignore[arg-type]
        ) as response,
    ):
        return response.status, await response.json()


async def test_the_end_of_the_console_log(house: House) -> None:
    instance_id = await house.machine()
    log = await house.client.console_log(house.peer, instance_id, 10000)
    assert log.startswith(f"boot 1 of {instance_id}\r\n".encode())
    assert await house.client.console_log(house.peer, instance_id, 4) == log[-4:]
    assert await house.client.console_log(house.peer, instance_id, 0) == b""


@pytest.mark.parametrize("wanted", ["-1", "x", "", "1.5", "1e3", "0x10", "1048577", "9" * 30, "٣"])
async def test_a_console_log_of_no_sensible_length(house: House, wanted: str) -> None:
    instance_id = await house.machine()
    status, body = await raw(house, f"/v1/machines/{instance_id}/console", params={"bytes": wanted})
    assert (status, body["reason"]) == (400, "BadRequest")  # type: ignore[index]


async def test_diagnostics_come_through_whole(house: House) -> None:
    instance_id = await house.machine()
    found = await house.client.diagnostics(house.peer, instance_id)
    assert found == await house.driver.diagnostics(NODE, instance_id)
    assert found.state is PowerState.RUNNING
    assert len(found.cpus) == 2


async def test_a_machine_that_is_off_has_no_diagnostics(house: House) -> None:
    with pytest.raises(WrongPowerState):
        await house.client.diagnostics(house.peer, await house.machine(runs=False))


@pytest.mark.parametrize("instance_id", [NOBODY, "..", "a/b", "%2e%2e", NOBODY.replace("0", "O"), "x" * 3000])
async def test_no_such_machine(house: House, instance_id: str) -> None:
    with pytest.raises(MachineNotFound):
        await house.client.console_log(house.peer, instance_id, 10)


@pytest.mark.parametrize(
    ("error", "told"),
    [(Unsupported("it has none"), CannotDo), (DriverError("libvirt said no"), AgentFailed)],
)
async def test_a_drivers_error_is_told(house: House, error: DriverError, told: type[Exception]) -> None:
    instance_id = await house.machine()
    house.driver.faults.fails("console_log", error)
    with pytest.raises(told, match=str(error)):
        await house.client.console_log(house.peer, instance_id, 10)


async def test_an_error_of_our_own_shows_nothing_of_the_inside(house: House) -> None:
    instance_id = await house.machine()
    house.driver.faults.fails("console_log", RuntimeError("/etc/shadow"))
    with pytest.raises(AgentFailed) as failed:
        await house.client.console_log(house.peer, instance_id, 10)
    assert "shadow" not in str(failed.value)


async def test_a_hypervisor_that_is_silent_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "CALL_SECONDS", 0.05)
    instance_id = await house.machine()
    house.driver.faults.blocks("console_log")
    with pytest.raises(AgentFailed, match="did not answer"):
        await house.client.console_log(house.peer, instance_id, 10)


async def test_only_so_many_questions_at_a_time(house: House) -> None:
    instance_id = await house.machine()
    gate = house.driver.faults.blocks("console_log")
    path = f"/v1/machines/{instance_id}/console"
    asked = [asyncio.create_task(raw_text(house, path)) for _ in range(routes.QUESTIONS + 3)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    while len(done) < 3:
        done, _ = await asyncio.wait(asked, timeout=0.05)
    assert {task.result() for task in done} == {503}
    gate.set()
    statuses = await asyncio.gather(*asked)
    assert sorted(statuses) == [200] * routes.QUESTIONS + [503] * 3


async def raw_text(house: House, path: str) -> int:
    """The status."""
    headers = {"Authorization": f"Bearer {house.peer.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(house.peer.url + path, ssl=fingerprint(house.peer.certificate)) as response,
    ):
        await response.read()
        return response.status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(house: House, method: str) -> None:
    instance_id = await house.machine()
    status, body = await raw(house, f"/v1/machines/{instance_id}/console", method)
    assert (status, body["reason"]) == (405, "MethodNotAllowed")  # type: ignore[index]


async def test_nobody_there(house: House) -> None:
    await house.endpoint.stop()
    with pytest.raises(AgentUnreachable):
        await house.client.console_log(house.peer, NOBODY, 10)
