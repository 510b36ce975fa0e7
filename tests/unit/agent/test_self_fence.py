"""A host that nobody hears powers its guests off, and starts none before it has read what is wanted now."""

from __future__ import annotations

import fcntl
import struct
from pathlib import Path
from typing import Any

import pytest

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.self_fence import SelfFence
from cairn_agent.settings import AgentSettings
from cairn_agent.watchdog import Watchdog, WatchdogUnusable
from cairn_crds.instance import PowerState
from cairn_runtime.kubernetes import ApiServerUnavailable
from unit.drivers.specs import guest

ID, OTHER = "0f5a3c1e-1111-4222-8333-444455556666", "1f5a3c1e-1111-4222-8333-444455556666"


class Device(Watchdog):
    """A watchdog that only counts."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.seconds = 0
        self.fed = 0

    @property
    def armed(self) -> bool:
        return self.seconds > 0

    def arm(self, seconds: int) -> None:
        self.seconds = seconds

    def feed(self) -> None:
        self.fed += 1

    def disarm(self) -> None:
        self.seconds = 0


class Host:
    """One node with a running and a stopped machine, and a clock that stands still."""

    def __init__(self, limit: float = 60.0, device: Watchdog | None = None) -> None:
        self.now = 1000.0
        self.driver = FakeDriver()
        settings = AgentSettings(driver="fake", nodes=["n"], self_fence_seconds=limit)
        self.fence = SelfFence(settings, self.driver, device, clock=lambda: self.now)
        self.read = 0
        self.fence.read_anew = self._read_anew
        self.unreachable = False

    async def _read_anew(self) -> None:
        if self.unreachable:
            raise ApiServerUnavailable(0, "NoAnswer", "gone again")
        self.read += 1

    async def boot(self) -> None:
        async def ignore(_step: Any) -> None:
            return None

        for instance_id in (ID, OTHER):
            await self.driver.spawn("n", instance_id, guest(), ignore)
        await self.driver.power_on("n", ID)

    async def power(self, instance_id: str = ID) -> PowerState | None:
        machine = await self.driver.get("n", instance_id)
        return None if machine is None else machine.power_state


async def test_a_silent_host_powers_its_guests_off_once_the_time_is_over() -> None:
    host = Host()
    await host.boot()
    host.now += 60
    await host.fence.look()
    assert await host.power() is PowerState.RUNNING
    host.now += 1
    await host.fence.look()
    assert await host.power() is PowerState.SHUTDOWN
    assert host.fence.is_closed("n")


async def test_what_is_started_behind_its_back_is_powered_off_as_well() -> None:
    host = Host()
    await host.boot()
    host.now += 61
    await host.fence.look()
    await host.driver.power_on("n", OTHER)
    await host.fence.look()
    assert await host.power(OTHER) is PowerState.SHUTDOWN


async def test_silence_is_counted_from_when_a_heartbeat_was_sent() -> None:
    host = Host()
    await host.boot()
    began = host.now
    host.now += 50  # so long did the answer take
    await host.fence.heard("n", began)
    host.now += 11
    await host.fence.look()
    assert await host.power() is PowerState.SHUTDOWN


async def test_nothing_is_started_before_what_is_wanted_has_been_read() -> None:
    host = Host()
    await host.boot()
    host.now += 61
    await host.fence.look()
    host.unreachable = True
    await host.fence.heard("n", host.now)
    assert host.fence.is_closed("n")
    host.unreachable = False
    await host.fence.heard("n", host.now)
    assert (host.fence.is_closed("n"), host.read) == (False, 1)
    await host.fence.heard("n", host.now)
    assert host.read == 1


async def test_others_rely_on_it_only_with_a_device_and_after_the_first_heartbeat() -> None:
    assert Host().fence.reported is None
    device = Device()
    host = Host(device=device)
    assert host.fence.reported is None
    await host.fence.heard("n", host.now)
    assert (host.fence.reported, device.seconds, device.fed) == (60, 75, 1)


async def test_a_device_without_a_limit_is_left_alone() -> None:
    device = Device()
    host = Host(limit=0, device=device)
    await host.fence.heard("n", host.now)
    assert (host.fence.reported, device.armed) == (None, False)
    host.now += 1e6
    host.fence.start()
    await host.fence.stop(withdrawn=True)


async def test_a_hypervisor_that_does_not_answer_is_left_to_the_device() -> None:
    device = Device()
    host = Host(device=device)
    await host.boot()
    await host.fence.heard("n", host.now)
    host.now += 61
    host.driver.faults.fails("power_off", DriverError("hangs"), None)
    await host.fence.look()
    assert device.fed == 1
    host.driver.faults.heals("power_off")
    await host.fence.look()
    assert device.fed == 2, "nothing runs: nothing to reset the host for"


async def test_the_device_stays_armed_where_others_still_rely_on_it() -> None:
    device = Device()
    host = Host(device=device)
    await host.fence.heard("n", host.now)
    await host.fence.stop(withdrawn=False)
    assert device.armed
    await host.fence.stop(withdrawn=True)
    assert not device.armed


def test_a_limit_that_one_lost_heartbeat_exceeds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least three times"):
        AgentSettings(self_fence_seconds=20, heartbeat_seconds=10)


def test_what_is_no_watchdog_is_refused(tmp_path: Path) -> None:
    ordinary = tmp_path / "watchdog"
    ordinary.touch()
    for path, why in (
        (tmp_path / "none", "No such file"),
        (ordinary, "no device"),
        (Path("/dev/null"), "takes no"),
    ):
        with pytest.raises(WatchdogUnusable, match=why):
            Watchdog(path).arm(30)


def test_a_device_that_waits_for_another_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda _device, _code, _asked: struct.pack("i", 10))
    with pytest.raises(WatchdogUnusable, match="waits for 10 s, not for 75 s"):
        Watchdog(Path("/dev/null")).arm(75)


def test_a_device_is_armed_fed_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "ioctl", lambda _device, _code, asked: asked)
    device = Watchdog(Path("/dev/null"))
    device.feed()
    device.arm(75)
    assert device.armed
    device.feed()
    device.disarm()
    assert not device.armed
