"""`cairn console`, `cairn ssh` and `cairn port-forward`: into the guests of this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.driver import Driver
from cairn_agent.drivers.load import load_driver
from cairn_agent.settings import AgentProcessSettings
from cairn_local.hypervisor.room import HypervisorRoom
from cairn_local.relay import relay_connections
from cairn_local.settings import NODE, Home
from cairn_local.stack import KubectlFailed, kubectl_of
from cairn_runtime.settings import load_settings

LEAVE = b"\x1d"
"""Ctrl-], as in telnet and `virsh console`."""
LOG_BYTES = 1024 * 1024
NAMESPACE = "demo"


@dataclass(frozen=True)
class Target:
    """An instance of this machine, as its resource shows it."""

    name: str
    instance_id: str
    address: str | None
    user: str


class NotReachable(Exception):
    """The instance is not there, or not on this machine; the message says which."""


def console(arguments: list[str]) -> int:
    """The console log; with -f the serial console itself."""
    parser = argparse.ArgumentParser("cairn console", description="An instance's serial console.")
    parser.add_argument("instance")
    parser.add_argument("-n", "--namespace", default=NAMESPACE)
    parser.add_argument("-f", "--follow", action="store_true", help="attach; Ctrl-] leaves")
    parser.add_argument("--tail", type=int, metavar="LINES", help="only the last lines of the log")
    options = parser.parse_args(arguments)
    try:
        target = _find(options.instance, options.namespace)
        return asyncio.run(_console(target, follow=options.follow, lines=options.tail))
    except (NotReachable, DriverError) as error:
        sys.stderr.write(f"cairn console: {error}\n")
        return 1


def ssh(arguments: list[str]) -> int:
    """ssh into the guest, through the guests' room. What follows `--` is run there."""
    parser = argparse.ArgumentParser("cairn ssh", description="ssh into an instance's guest.")
    parser.add_argument("instance")
    parser.add_argument("-n", "--namespace", default=NAMESPACE)
    parser.add_argument("-l", "--user", help="the image's own user (property os_admin_user) when left out")
    parser.add_argument(
        "-i", "--identity", help="the private key of the instance's KeyPair; the example's when left out"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        target = _find(options.instance, options.namespace)
        address = _address(target)
    except NotReachable as error:
        sys.stderr.write(f"cairn ssh: {error}\n")
        return 1
    program = shutil.which("ssh")
    if program is None:
        sys.stderr.write("cairn ssh: there is no ssh program: apt-get install openssh-client\n")
        return 1
    # A guest's host key is new with every instance, and its address is used again by the next one.
    trust = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
    own = Home.from_environment().identity
    key = options.identity or (str(own) if own.exists() else None)
    identity = ("-i", key) if key else ()
    command = [word for word in options.command if word != "--"]
    argv = HypervisorRoom(Home.from_environment().room).exec_argv(
        [program, *trust, *identity, f"{options.user or target.user}@{address}", *command]
    )
    os.execvp(argv[0], argv)


def port_forward(arguments: list[str]) -> int:
    """Listen on a local port and lead every connection to a port of the guest."""
    parser = argparse.ArgumentParser("cairn port-forward", description="A local port that leads to a guest.")
    parser.add_argument("instance")
    parser.add_argument("ports", help="LOCAL:REMOTE, or one number for both")
    parser.add_argument("-n", "--namespace", default=NAMESPACE)
    options = parser.parse_args(arguments)
    try:
        ports = _ports(options.ports)
        address = _address(_find(options.instance, options.namespace))
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_forward(*ports, address))
    except (NotReachable, OSError) as error:
        sys.stderr.write(f"cairn port-forward: {error}\n")
        return 1
    return 0


def _ports(text: str) -> tuple[int, int]:
    local, _, remote = text.partition(":")
    try:
        return int(local), int(remote or local)
    except ValueError:
        raise NotReachable(f"{text!r} names no ports: give LOCAL:REMOTE, or one number for both") from None


def _find(name: str, namespace: str) -> Target:
    home = Home.from_environment()
    try:
        text = kubectl_of(home).run("get", "instance", name, "-n", namespace, "-o", "json")
    except (KubectlFailed, OSError) as error:
        raise NotReachable(str(error)) from None
    body: dict[str, Any] = json.loads(text)
    status = body.get("status", {})
    if status.get("host") != NODE:
        where = f"on host {status['host']}" if status.get("host") else "on no host yet"
        raise NotReachable(f"instance {namespace}/{name} is {where}; this command reaches host {NODE} only")
    addresses = status.get("addresses", [])
    return Target(
        name=f"{namespace}/{name}",
        instance_id=status["instanceId"],
        address=addresses[0]["address"] if addresses else None,
        user=_user(home, body["spec"]["image"]),
    )


def _user(home: Home, image: str) -> str:
    try:
        body = json.loads(kubectl_of(home).run("get", "image", image, "-o", "json"))
    except KubectlFailed:
        return "root"
    return str(body["spec"].get("properties", {}).get("os_admin_user", "root"))


def _address(target: Target) -> str:
    if target.address is None:
        raise NotReachable(f"instance {target.name} has no address")
    return target.address


async def _console(target: Target, *, follow: bool, lines: int | None) -> int:
    driver = _driver()
    await driver.open(lambda _event: None)
    try:
        if follow:
            path = await driver.serial_console(NODE, target.instance_id)
            await _attach(path)
            return 0
        text = await driver.console_log(NODE, target.instance_id, LOG_BYTES)
        if lines is not None:
            text = b"\n".join(text.rstrip(b"\n").split(b"\n")[-lines:]) + b"\n"
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
        return 0
    finally:
        await driver.close()


def _driver() -> Driver:
    """The agent's own driver, set up from the settings that the agent runs with."""
    os.environ.update(json.loads(Home.from_environment().agent_environment.read_text()))
    settings = load_settings(AgentProcessSettings, [], "cairn console")
    chosen = settings.fake if settings.agent.driver == "fake" else settings.libvirt
    return load_driver(settings.agent.driver, chosen)


async def _attach(path: str) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    sys.stderr.write("Connected to the serial console; Ctrl-] leaves.\r\n")
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def typed() -> None:
        data = os.read(sys.stdin.fileno(), 1024)
        if not data or LEAVE in data:
            done.set()
        else:
            writer.write(data)

    async def show() -> None:
        while data := await reader.read(4096):
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        done.set()

    with _raw_terminal():
        loop.add_reader(sys.stdin.fileno(), typed)
        showing = asyncio.create_task(show())
        try:
            await done.wait()
        finally:
            loop.remove_reader(sys.stdin.fileno())
            showing.cancel()
            writer.close()
    sys.stderr.write("\r\n")


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _forward(local: int, remote: int, address: str) -> None:
    """Unix sockets cross network namespaces: a relay inside the room listens on one, we lead to it."""
    room = HypervisorRoom(Home.from_environment().room)
    with tempfile.TemporaryDirectory(prefix="cairn-forward-") as folder:
        socket = f"{folder}/relay"
        command = [sys.executable, "-m", "cairn_local.relay", socket, address, str(remote)]
        pipe = asyncio.subprocess.PIPE
        relay = await asyncio.create_subprocess_exec(
            *room.exec_argv(command),
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,  # Ctrl-C is for us alone
        )
        try:
            assert relay.stdout is not None  # noqa: S101 - a pipe
            if not await relay.stdout.readline():
                raise NotReachable("the way into the guests' room is closed: does `cairn status` show it?")
            server = await asyncio.start_server(
                lambda reader, writer: relay_connections(
                    reader, writer, lambda: asyncio.open_unix_connection(socket)
                ),
                "127.0.0.1",
                local,
            )
            sys.stdout.write(f"Forwarding 127.0.0.1:{local} to {address}:{remote}; Ctrl-C ends it.\n")
            sys.stdout.flush()
            async with server:
                await relay.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                relay.terminate()
            await relay.wait()
