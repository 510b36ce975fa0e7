"""`cairn`: which subcommand is which module. Each imports only what it runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from importlib import import_module

Command = Callable[[list[str]], int]

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("cairn_local.commands:up", "set up and start everything on this machine, boot the example"),
    "down": ("cairn_local.commands:down", "stop what `up` started; instances and data stay"),
    "clean": ("cairn_local.commands:clean", "stop everything and remove all of its data"),
    "uninstall": (
        "cairn_local.uninstall.command:uninstall",
        "take Cairn out of a cluster; the guests run on",
    ),
    "status": ("cairn_local.status:status", "what runs on this machine, and whether it is ready"),
    "cloud-image": (
        "cairn_local.commands:cloud_image",
        "build a Debian image with cloud-init, as Image `debian`",
    ),
    "console": (
        "cairn_local.console:console",
        "an instance's console log; -f attaches to its serial console",
    ),
    "ssh": ("cairn_local.access:ssh", "ssh into an instance's guest"),
    "port-forward": ("cairn_local.access:port_forward", "a local port that leads to a guest's port"),
    "db": ("cairn_cli.database:main", "upgrade: bring the database schema up to date"),
    "identity": (
        "cairn_cli.identity:main",
        "bootstrap: make the first administrator; rotate-keys: new keys for tokens",
    ),
    "conductor": ("cairn_operator.conductor.app:main", "process: drives instances"),
    "scheduler": ("cairn_operator.scheduler.app:main", "process: chooses hosts"),
    "agent": ("cairn_agent.app:main", "process: runs the machines of a host"),
    "gateway": ("cairn_gateway.app:main", "process: the OpenStack and EC2 APIs"),
}


def main() -> None:
    """Find the subcommand and run it."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        sys.exit(0 if arguments else 2)
    name, rest = arguments[0], arguments[1:]
    if name in ("--version", "version"):
        from importlib.metadata import version

        sys.stdout.write(f"cairn {version('cairn')}\n")
        sys.exit(0)
    if name not in COMMANDS:
        sys.stderr.write(f"cairn: there is no command '{name}'\n\n{usage()}")
        sys.exit(2)
    sys.exit(_load(COMMANDS[name][0])(rest))


def usage() -> str:
    """The list of subcommands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_target, text) in COMMANDS.items()]
    return (
        "usage: cairn COMMAND [OPTIONS]   (cairn COMMAND --help for its options)\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _load(target: str) -> Command:
    """Without the garbage collector, which finds nothing among what modules define: an eighth of the time."""
    module, _, function = target.partition(":")
    gc.disable()
    if not module.startswith("cairn_local"):  # the commands for people; a process lives long
        import_module("cairn_runtime")  # before what it keeps from importing more than is used
    command: Command = getattr(import_module(module), function)
    gc.enable()
    return command
