"""`cairn ssh` and `cairn port-forward`: into the guests of this machine.

The hypervisor is not asked (that is `console`), so nothing of an agent is imported.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from cairn_local.cluster import KubectlFailed, kubectl_of
from cairn_local.hypervisor.room import HypervisorRoom
from cairn_local.relay import relay_connections
from cairn_local.settings import NODE, Home

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
        target = find(options.instance, options.namespace)
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
        address = _address(find(options.instance, options.namespace))
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


def find(name: str, namespace: str) -> Target:
    """The instance, as its resource shows it. Raises NotReachable where it is not on this machine."""
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
