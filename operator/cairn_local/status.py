"""`cairn status`: what runs on this machine, and whether it is ready."""

from __future__ import annotations

import argparse
import json
import os
import sys

from rich.table import Table

from cairn_local.process import HttpProbe
from cairn_local.progress import Progress
from cairn_local.settings import Home
from cairn_local.supervision import ProcessStatus, Supervisor


def status(arguments: list[str]) -> int:
    """What runs, since when, and whether it is ready."""
    argparse.ArgumentParser("cairn status", description=status.__doc__).parse_args(arguments)
    home, progress = Home.from_environment(), Progress()
    try:
        found = readiness(home)
    except PermissionError:
        return not_root("status")
    if not found:
        progress.console.print("Nothing runs. `make up` starts it.")
        return 3
    table = Table("process", "state", "pid", "up", "ready", box=None, pad_edge=False)
    for process, missing in found:
        table.add_row(
            process.name,
            process.state,
            str(process.pid or ""),
            _duration(process.uptime),
            "yes" if missing is None else f"no: {missing[:160]}",
        )
    progress.console.print(table)
    progress.console.print(f"\nlogs: {found[0][0].log.parent}/NAME.log")
    return 0 if all_ready(found) else 1


def readiness(home: Home) -> list[tuple[ProcessStatus, str | None]]:
    """Every supervised process, and what it says it still needs; None where it is ready, or has no way to
    say. Raises PermissionError for those who may not ask."""
    ports = _ports(home)
    return [
        (
            process,
            HttpProbe(f"http://127.0.0.1:{ports[process.name]}/readyz")() if process.name in ports else None,
        )
        for process in Supervisor(home.supervisor).status()
    ]


def all_ready(found: list[tuple[ProcessStatus, str | None]]) -> bool:
    """Whether everything of `readiness` runs and is ready."""
    return all(missing is None and process.state == "RUNNING" for process, missing in found)


def _ports(home: Home) -> dict[str, int]:
    kept = home.stack / "ports.json"
    ports: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
    return ports


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def not_root(command: str) -> int:
    """0 for root; else 1, and it has been said what `command` needs."""
    if os.geteuid() == 0:
        return 0
    sys.stderr.write(f"cairn {command}: needs root (network namespaces, libvirt): run it with sudo.\n")
    return 1
