"""Into the guests: `cairn console`, `cairn ssh`, `cairn port-forward`, at the address the Instance shows."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.machine_cloud import BOOT_SECONDS, MachineCloud, children
from e2e.terminal import Terminal

pytestmark = pytest.mark.qemu
CTRL_RIGHT_BRACKET = "\x1d"


def test_the_console_log_is_the_guests_own(cloud: MachineCloud, web: str) -> None:
    address = cloud.get("web")["status"]["addresses"][0]["address"]
    log = cloud.cairn("console", "web")
    for line in (
        "cairn-demo: hostname web",
        f"network eth0 {address}",
        "cairn-demo: ready",
        "hello from web",
    ):
        assert line in log
    assert len(cloud.cairn("console", "web", "--tail", "2").splitlines()) == 2


def test_the_serial_console_attaches_and_lets_go(cloud: MachineCloud, web: str) -> None:
    for word in ("first", "second"):  # whoever comes next finds it free
        with Terminal(cloud.argv("console", "-f", "web"), cloud.environment) as terminal:
            terminal.expect("Ctrl-] leaves")
            terminal.expect_after_enter("root@web:")
            # What the shell prints, not the echo of what was typed.
            terminal.type(f"echo {word}-$((6 * 7))\r")
            terminal.expect(f"{word}-42")
            assert terminal.settings != terminal.before
            terminal.type(CTRL_RIGHT_BRACKET)
            assert terminal.process.wait(30) == 0
            assert terminal.settings == terminal.before
    assert "second-42" in cloud.wait_console(web, "second-42")


def test_ssh_runs_a_command_and_gives_its_status_back(cloud: MachineCloud, web: str) -> None:
    assert cloud.on_guest("web", "hostname") == "web"
    address = cloud.get("web")["status"]["addresses"][0]["address"]
    assert f"inet {address}/" in cloud.on_guest("web", "ip -4 -o address show dev eth0")
    cloud.cairn("ssh", "web", "--", "exit 7", status=7)


def test_what_cannot_be_reached_is_said(cloud: MachineCloud, web: str) -> None:
    for command in ("console nobody", "ssh nobody", "port-forward nobody 8080:80"):
        assert '"nobody" not found' in cloud.cairn(*command.split(), status=1)
    assert "LOCAL:REMOTE" in cloud.cairn("port-forward", "web", "http", status=1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "in use" in cloud.cairn("port-forward", "web", f"{port}:80", status=1)


@contextlib.contextmanager
def _forwarding(cloud: MachineCloud, ports: str) -> Iterator[subprocess.Popen[str]]:
    argv = cloud.argv("port-forward", "web", ports)
    process = subprocess.Popen(
        argv,
        env=cloud.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert "Forwarding" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_forwarded_port_leads_to_the_guests_http(cloud: MachineCloud, web: str) -> None:
    cloud.wait_console(web, "cairn-demo: http on port 80")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with _forwarding(cloud, f"{port}:80") as process:
        for _ in range(2):
            with opener.open(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert "<h1>web</h1>" in answer.read().decode()
        relays = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
        rest, _ = process.communicate(timeout=30)
        assert (process.returncode, rest) == (0, "")
    with pytest.raises(urllib.error.URLError):
        opener.open(f"http://127.0.0.1:{port}/", timeout=5)
    assert relays
    assert not any(Path(f"/proc/{pid}").exists() for pid in relays)


def test_an_address_used_again_reaches_its_new_owner(cloud: MachineCloud, web: str) -> None:
    """The old owner never gave its lease back, which holds the new one up until that has ended."""
    address = cloud.get("web")["status"]["addresses"][0]["address"]
    cloud.wait_console(web, f"network eth0 {address}")
    cloud.delete("web")
    spec = {"flavor": "m1.nano", "image": "demo", "keyPair": "default"}
    networks = [{"network": "default", "address": address}]
    try:
        cloud.apply(cloud.resource("Instance", "heir", **spec, networks=networks))
        body = cloud.phase("heir", "Active")
        cloud.wait_console(body["status"]["instanceId"], f"network eth0 {address}", seconds=BOOT_SECONDS)
        assert cloud.on_guest("heir", "hostname") == "heir"
    finally:
        cloud.delete("heir")
