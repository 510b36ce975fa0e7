"""`cairn console`: the console log and the serial console of a guest of this machine."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import termios
import tty
from collections.abc import Iterator

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.driver import Driver
from cairn_agent.drivers.load import load_driver
from cairn_agent.settings import AgentProcessSettings
from cairn_local.access import NAMESPACE, NotReachable, Target, find
from cairn_local.settings import NODE, Home
from cairn_runtime.settings import load_settings

LEAVE = b"\x1d"
"""Ctrl-], as in telnet and `virsh console`."""
LOG_BYTES = 1024 * 1024


def console(arguments: list[str]) -> int:
    """The console log; with -f the serial console itself."""
    parser = argparse.ArgumentParser("cairn console", description="An instance's serial console.")
    parser.add_argument("instance")
    parser.add_argument("-n", "--namespace", default=NAMESPACE)
    parser.add_argument("-f", "--follow", action="store_true", help="attach; Ctrl-] leaves")
    parser.add_argument("--tail", type=int, metavar="LINES", help="only the last lines of the log")
    options = parser.parse_args(arguments)
    try:
        target = find(options.instance, options.namespace)
        return asyncio.run(_console(target, follow=options.follow, lines=options.tail))
    except (NotReachable, DriverError) as error:
        sys.stderr.write(f"cairn console: {error}\n")
        return 1


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
