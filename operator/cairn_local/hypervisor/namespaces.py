"""Named network namespaces, by `ip netns`."""

from __future__ import annotations

import subprocess
from pathlib import Path

NAMED = Path("/run/netns")


class NamespaceError(Exception):
    """`ip netns` failed, or the name is somebody else's; the message says what to do."""


def path_of(name: str) -> Path:
    """The file that is the namespace."""
    return NAMED / name


def add(name: str) -> None:
    """Make it; an unused one of that name, left by a crash, is replaced. Raises NamespaceError."""
    if path_of(name).exists():
        if pids := processes(name):
            raise NamespaceError(
                f"network namespace {name} is in use by processes {', '.join(pids)}: "
                "stop them or choose another name for this room"
            )
        delete(name)
    _ip("add", name)


def processes(name: str) -> list[str]:
    """The pids of those in it; none where it does not exist."""
    return _ip("pids", name).split() if path_of(name).exists() else []


def delete(name: str) -> None:
    """Remove its name; it is gone when the last process in it is. Does nothing where there is none."""
    if path_of(name).exists():
        _ip("delete", name)


def _ip(verb: str, name: str) -> str:
    result = subprocess.run(["ip", "netns", verb, name], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise NamespaceError(f"ip netns {verb} {name} failed: {result.stderr.strip()}")
    return result.stdout
