"""The first process of a room: furnishes it, keeps libvirtd running, reaps, and ends the rest on SIGTERM.

Run by `room` inside fresh mount, process and UTS namespaces: `python -m cairn_local.hypervisor.init FOLDER
NAME LOCK`, where LOCK is the number of an open file whose lock shows that the room lives.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cairn_local.hypervisor.files import Record, RoomFiles, start_time

CONFIGURATION = "/etc/libvirt/libvirtd.conf"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STEADY_SECONDS = 10.0
"""A libvirtd that ran this long is started again at once."""
RESTART_SECONDS = (0.2, 5.0)
"""First and longest pause before a libvirtd that ran less is started again."""
STOP_SECONDS = 5.0
"""For libvirtd to end, and then for the rest, before SIGKILL."""

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM}


def main() -> None:
    directory, name, lock = sys.argv[1:]
    os.set_inheritable(int(lock), False)
    # dnsmasq gives its rights up and then reads what libvirtd writes for it, again at every new guest. From
    # outside the room's folder (0700) keeps everybody else away.
    os.umask(0o022)
    files = RoomFiles(Path(directory))
    # /proc is still the outer one, so this is the pid that others can signal.
    pid = os.readlink("/proc/self")
    files.write_record(Record(int(pid), start_time(pid) or 0))
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    furnish(files, name)
    Keeper().run()


def furnish(files: RoomFiles, name: str) -> None:
    """Give the room its own name, view of processes and network, and libvirt folders."""
    _mount("-t", "proc", "proc", "/proc")
    _mount("-t", "sysfs", "sysfs", "/sys")
    if Path("/run/dbus").is_dir():
        # Over the system bus libvirt would ask the machine's firewalld and systemd for what it does here.
        _mount("-t", "tmpfs", "none", "/run/dbus")
    for place, folder in files.bound.items():
        place.mkdir(parents=True, exist_ok=True)
        _mount("--bind", str(folder), str(place))
    socket.sethostname(name)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


class Keeper:
    """Runs libvirtd for as long as the room lives."""

    def __init__(self) -> None:
        self._libvirtd: int | None = None
        self._started = 0.0
        self._pause = 0.0
        # Without it libvirtd ignores what its configuration says of listening.
        self._listen = ["--listen"] if "listen_tcp = 1" in Path(CONFIGURATION).read_text() else []

    def run(self) -> None:
        """Return when told to stop and everything in the room has ended."""
        while True:
            if self._libvirtd is None and time.monotonic() >= self._started + self._pause:
                self._start()
            received = signal.sigtimedwait(_SIGNALS, 1.0 if self._libvirtd else RESTART_SECONDS[0])
            self._reap()
            if received is not None and received.si_signo == signal.SIGTERM:
                break
        if self._libvirtd is not None:
            os.kill(self._libvirtd, signal.SIGTERM)
            self._wait(lambda: self._libvirtd is None)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._reap():
                os.kill(-1, number)
                self._wait(lambda: not self._reap())

    def _start(self) -> None:
        program = shutil.which("libvirtd", path=PATH) or "/usr/sbin/libvirtd"
        self._libvirtd = os.posix_spawn(
            program,
            [program, "--config", CONFIGURATION, "--pid-file", "/run/libvirt/libvirtd.pid", *self._listen],
            {"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root"},
            setsigmask=[],
        )
        self._started = time.monotonic()
        _say(f"libvirtd started, pid {self._libvirtd} of the room")

    def _reap(self) -> bool:
        """Take the exit status of all that ended; returns whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._libvirtd:
                self._libvirtd = None
                steady = time.monotonic() - self._started >= STEADY_SECONDS
                shortest, longest = RESTART_SECONDS
                self._pause = 0.0 if steady else min(longest, max(shortest, self._pause * 2))
                _say(f"libvirtd ended with status {os.waitstatus_to_exitcode(status)}")

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        self._reap()
        while not done() and time.monotonic() < deadline:
            signal.sigtimedwait({signal.SIGCHLD}, 0.2)
            self._reap()


def _say(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} room: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
