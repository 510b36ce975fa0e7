"""Restarts processes that run and no longer answer; supervisord itself notices only those that end.

A program beside the others: `python -m cairn_local.watchdog DATA_DIR NAME=URL …`. A process has hung when its
`/healthz` has given no good answer several times in a row; one that has just started is left alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cairn_local.process import HttpProbe, Probe, ProcessSpec
from cairn_local.stack import CODE_VARIABLE, code_version
from cairn_local.supervision import UNREACHABLE, Supervisor

PRIORITY = 900
"""It starts when all others are ready, and stops before any of them."""
EVERY_SECONDS = 5.0
FAILURES = 3
GRACE_SECONDS = 60.0
PROBE_SECONDS = 5.0


class Watchdog:
    """Looks at the processes of one supervisor."""

    def __init__(
        self,
        supervisor: Supervisor,
        probes: Mapping[str, Probe],
        *,
        failures: int = FAILURES,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """`probes` by process; `failures` in a row mean that it hangs, `grace_seconds` after its start."""
        self._supervisor = supervisor
        self._probes = probes
        self._failures = failures
        self._grace_seconds = grace_seconds
        self._failed: dict[str, int] = {}

    def look(self) -> None:
        """Probe every process once; restart those that have failed too often."""
        uptimes = {
            status.name: status.uptime or 0.0
            for status in self._supervisor.status()
            if status.state == "RUNNING"
        }
        for name, probe in self._probes.items():
            wrong = probe() if uptimes.get(name, -1.0) >= self._grace_seconds else None
            self._failed[name] = self._failed.get(name, 0) + 1 if wrong else 0
            if wrong:
                _say(f"{name}: {wrong} ({self._failed[name]} of {self._failures})")
            if self._failed[name] >= self._failures:
                self._restart(name)

    def _restart(self, name: str) -> None:
        self._failed[name] = 0
        try:
            self._supervisor.restart(name)
        except UNREACHABLE as error:  # supervisord is on its way out, or another process was faster
            _say(f"{name}: not restarted: {error}")
        else:
            _say(f"{name}: restarted")


def watchdog_spec(
    supervisor: Supervisor,
    specs: Sequence[ProcessSpec],
    *,
    every_seconds: float = EVERY_SECONDS,
    failures: int = FAILURES,
    grace_seconds: float = GRACE_SECONDS,
) -> ProcessSpec:
    """The process that watches those of `specs` that say how."""
    return ProcessSpec(
        name="watchdog",
        argv=(
            *(sys.executable, "-u", "-m", "cairn_local.watchdog"),
            *("--every", str(every_seconds), "--failures", str(failures), "--grace", str(grace_seconds)),
            str(supervisor.data_dir),
            *(f"{spec.name}={spec.live.url}" for spec in specs if spec.live),
        ),
        env={CODE_VARIABLE: code_version()},
        priority=PRIORITY,
    )


def main(arguments: list[str]) -> None:
    """Look until told to stop."""
    parser = argparse.ArgumentParser("watchdog", description=main.__doc__)
    parser.add_argument("--every", type=float, default=EVERY_SECONDS)
    parser.add_argument("--failures", type=int, default=FAILURES)
    parser.add_argument("--grace", type=float, default=GRACE_SECONDS)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("processes", nargs="*", metavar="NAME=URL")
    options = parser.parse_args(arguments)
    urls = dict(process.split("=", 1) for process in options.processes)
    probes = {name: HttpProbe(url, timeout=PROBE_SECONDS) for name, url in urls.items()}
    watchdog = Watchdog(
        Supervisor(options.data_dir), probes, failures=options.failures, grace_seconds=options.grace
    )
    while True:
        time.sleep(options.every)
        watchdog.look()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
