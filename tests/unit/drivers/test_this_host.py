"""What an agent says of the machine it runs on."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cairn_agent.drivers import this_host


def test_the_kernel_tells_when_the_machine_was_started(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 2 3\nbtime 1700000000\nprocesses 5\n")
    assert this_host.boot_time(stat) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert this_host.boot_time(tmp_path / "missing") is None
    real = this_host.boot_time()
    assert real is not None
    assert real < datetime.now(UTC)


def test_the_address_is_one_or_none() -> None:
    found = this_host.address()
    assert found is None or ipaddress.ip_address(found)
