"""A process that hangs is started anew, under a real supervisord; one that is slow to start is not."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn_local.process import HttpProbe, ProcessSpec
from cairn_local.supervision import Supervisor
from cairn_local.waiting import wait_until
from cairn_local.watchdog import Watchdog, watchdog_spec
from support.ports import free_port


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="cairn-") as directory:  # short enough for a unix socket
        supervisor = Supervisor(Path(directory))
        yield supervisor
        supervisor.stop()


@pytest.fixture
def server() -> ProcessSpec:
    """A program that answers a GET with 200, while it can."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    argv = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return ProcessSpec(
        "server",
        argv,
        ready=HttpProbe(url),
        live=HttpProbe(url),
        stop_seconds=1,
        directory=Path("/proc/self"),
    )


def pid(supervisor: Supervisor) -> int | None:
    return next((status.pid for status in supervisor.status() if status.name == "server"), None)


def test_a_frozen_process_is_replaced_by_a_new_one(supervisor: Supervisor, server: ProcessSpec) -> None:
    watchdog = watchdog_spec(supervisor, [server], every_seconds=0.2, failures=2, grace_seconds=0)
    supervisor.apply([server, watchdog])
    frozen = pid(supervisor)
    assert frozen
    os.kill(frozen, signal.SIGSTOP)
    wait_until(lambda: pid(supervisor) not in (None, frozen), "a new process", 60)
    assert server.live
    wait_until(lambda: server.live() is None, "its answer")
    assert not Path(f"/proc/{frozen}").exists()
    assert "server: restarted" in supervisor.files.log("watchdog").read_text()


def test_a_process_that_answers_and_one_that_has_just_started_are_left_alone(
    supervisor: Supervisor, server: ProcessSpec
) -> None:
    supervisor.apply([server])
    before = pid(supervisor)
    assert server.live
    answering = Watchdog(supervisor, {"server": server.live}, failures=1, grace_seconds=0)
    starting = Watchdog(supervisor, {"server": lambda: "not listening yet"}, failures=1, grace_seconds=60)
    for _ in range(3):
        answering.look()
        starting.look()
    assert pid(supervisor) == before


def test_failures_count_only_in_a_row(supervisor: Supervisor, server: ProcessSpec) -> None:
    supervisor.apply([server])
    before = pid(supervisor)
    answers = iter(["hung", None, "hung", None])
    watchdog = Watchdog(supervisor, {"server": lambda: next(answers)}, failures=2, grace_seconds=0)
    for _ in range(4):
        watchdog.look()
    assert pid(supervisor) == before


def test_a_supervisor_that_is_gone_is_no_reason_to_fail(supervisor: Supervisor) -> None:
    asked = time.monotonic()
    Watchdog(supervisor, {"server": lambda: "hung"}, failures=1, grace_seconds=0).look()
    assert time.monotonic() - asked < 10
