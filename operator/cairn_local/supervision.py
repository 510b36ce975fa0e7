"""`cairn up`'s processes under supervisord: restarted when they die, logged, asked and told over its socket.

Everything about one set of processes lives in one data folder; `Supervisor` is a handle on it and may be made
by any process of the same user (`cairn status` in another terminal).
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn_local.process import (
    ProcessFailed,
    ProcessSpec,
    inherited_environment,
    log_tail,
    wait_until_ready,
)
from cairn_local.supervision_files import MARKER, SupervisorFiles

ANSWER_SECONDS = 10.0
"""How long supervisord may take to answer, beyond what it was asked to wait for."""

ALIVE_STATES = frozenset({"STARTING", "RUNNING", "BACKOFF"})


class SupervisionError(Exception):
    """supervisord did not do what it was asked; the message says what and where its log is."""


UNREACHABLE = (OSError, http.client.HTTPException, SupervisionError)
"""What a call raises when supervisord is gone, stuck, or shutting down (it then refuses every call)."""


@dataclass(frozen=True)
class ProcessStatus:
    """What supervisord says about one process."""

    name: str
    state: str
    """RUNNING, STARTING, BACKOFF (waits before it tries again), STOPPING, STOPPED, EXITED, FATAL (gave up)"""
    pid: int | None
    uptime: float | None
    """Seconds since this start; None when it does not run."""
    description: str
    """One line for a person."""
    log: Path


@dataclass(frozen=True)
class Changes:
    """What `apply` did to the processes, by name."""

    started: tuple[str, ...]
    """New, or found not running."""
    restarted: tuple[str, ...]
    """Their description changed."""
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


class Supervisor:
    """The supervised processes of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        """A handle; nothing is started. Raises ValueError when the path cannot hold supervisord's socket."""
        self.data_dir = data_dir
        self.files = SupervisorFiles(data_dir)

    def pid(self) -> int | None:
        """Pid of the running supervisord, None when there is none."""
        try:
            return int(self._call("getPID"))
        except UNREACHABLE:
            return None

    def status(self) -> list[ProcessStatus]:
        """Every process by name; empty when supervisord does not run or is on its way out."""
        try:
            return [self._status(info) for info in self._call("getAllProcessInfo")]
        except UNREACHABLE:
            return []

    def known(self) -> frozenset[str]:
        """The names of the processes that it has, running or not."""
        return frozenset(status.name for status in self.status())

    def apply(self, specs: Sequence[ProcessSpec], progress: Callable[[str], None] | None = None) -> Changes:
        """Make exactly `specs` run, and wait until each is ready; start supervisord first if need be.

        By priority: what is gone or changed stops (highest first), then what is new, changed or not running
        starts (lowest first), each ready before the next. What is unchanged and runs is not touched.
        `progress` hears of each process as it starts. Raises ProcessFailed, with the end of its log, when one
        does not become ready; calling again goes on from there.
        """
        say = progress or (lambda _: None)
        with self._locked():
            if self.pid() is None:
                self._start_daemon()
            self.files.write_programs(specs)
            (outcome,) = self._call("reloadConfig")
            new, changed, removed = (set(names) for names in outcome)
            self._remove(changed | removed)
            for name in removed:
                self.files.forget(name)
            states = {status.name: status.state for status in self.status()}
            started: list[str] = []
            for spec in sorted(specs, key=lambda spec: spec.priority):
                if spec.name in new | changed:
                    self._call("addProcessGroup", spec.name)
                if states.get(spec.name) not in ALIVE_STATES:
                    say(f"starting {spec.name}")
                    self._start(spec.name)
                    started.append(spec.name)
                self._wait_ready(spec)
        return Changes(
            started=tuple(name for name in started if name not in changed),
            restarted=tuple(name for name in started if name in changed),
            removed=tuple(sorted(removed)),
            unchanged=tuple(spec.name for spec in specs if spec.name not in started),
        )

    def restart(self, name: str) -> None:
        """Stop and start one process. Raises SupervisionError when there is none of that name."""
        self._call("stopProcessGroup", name, wait=self._stop_seconds().get(name, 0))
        self._start(name)

    def stop(self) -> bool:
        """Stop the processes (highest priority first), then supervisord; True when anything ran.

        Only pids this supervisor started are signalled; that includes what a killed supervisord left.
        """
        if not self.files.directory.exists():
            return False
        with self._locked():
            pid = self.pid() or self._unresponsive_pid()
            if pid is not None:
                self._stop_daemon(pid)
            survivors = self._survivors()
            for survivor in survivors:
                _end(survivor, ANSWER_SECONDS)
            self.files.socket.unlink(missing_ok=True)
        return pid is not None or bool(survivors)

    def _status(self, info: dict[str, Any]) -> ProcessStatus:
        running = bool(info["pid"])
        return ProcessStatus(
            name=info["name"],
            state=info["statename"],
            pid=info["pid"] or None,
            uptime=float(info["now"] - info["start"]) if running else None,
            description=info["description"] or info["spawnerr"],
            log=self.files.log(info["name"]),
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, whoever asks for it."""
        self.files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.files.lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _start_daemon(self) -> None:
        unresponsive = self._unresponsive_pid()
        if unresponsive is not None:
            raise SupervisionError(
                f"supervisord (pid {unresponsive}) runs but does not answer: run `cairn down` first"
            )
        self.files.prepare()
        # After a killed supervisord its processes are on their way out; their ports must be free again.
        # Those that are meant to outlive it stay, and their successors come to terms with them.
        for survivor in self._survivors(dying_only=True):
            _end(survivor, ANSWER_SECONDS)
        self.files.write_programs([])
        self.files.socket.unlink(missing_ok=True)
        result = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.files.configuration)],
            env=inherited_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise SupervisionError(f"supervisord did not start: {result.stderr.strip()}")
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.pid() is None:
            if time.monotonic() > deadline:
                raise SupervisionError(f"supervisord does not answer, see {self.files.logs}/supervisord.log")
            time.sleep(0.02)

    def _start(self, name: str) -> None:
        try:
            self._call("startProcess", name, False)
        except SupervisionError as error:
            # supervisord starts a new program by itself within a second, which may have come first.
            if "ALREADY_STARTED" not in str(error):
                raise

    def _remove(self, names: set[str]) -> None:
        seconds = self._stop_seconds()
        priorities = {info["name"]: info["process_prio"] for info in self._call("getAllConfigInfo")}
        for name in sorted(names, key=lambda name: priorities.get(name, 0), reverse=True):
            self._call("stopProcessGroup", name, wait=seconds.get(name, 0))
            self._call("removeProcessGroup", name)

    def _stop_seconds(self) -> dict[str, float]:
        return {info["name"]: info["stopwaitsecs"] for info in self._call("getAllConfigInfo")}

    def _wait_ready(self, spec: ProcessSpec) -> None:
        def gone() -> str | None:
            state = self._status(self._call("getProcessInfo", spec.name))
            return None if state.state in ALIVE_STATES else f"is {state.state}: {state.description}"

        try:
            wait_until_ready(spec, gone)
        except ProcessFailed as failure:
            log = self.files.log(spec.name)
            raise ProcessFailed(f"{failure}; the end of {log}:{log_tail(log)}") from None

    def _stop_daemon(self, pid: int) -> None:
        patience = ANSWER_SECONDS
        try:
            patience += sum(self._stop_seconds().values())
            self._call("shutdown")
        except UNREACHABLE:
            os.kill(pid, signal.SIGTERM)
        if not _wait_gone(pid, patience):
            os.kill(pid, signal.SIGKILL)
            _wait_gone(pid, ANSWER_SECONDS)

    def _unresponsive_pid(self) -> int | None:
        """A supervisord of ours that runs and does not answer, found by its pid file and command line."""
        pid = _read_pid(self.files.pid_file)
        if pid is None or str(self.files.configuration).encode() not in _read_proc(pid, "cmdline").split(
            b"\0"
        ):
            return None
        return pid

    def _survivors(self, *, dying_only: bool = False) -> list[int]:
        """Processes we started that run without a supervisord. Their marker tells them from a reused pid."""
        found: list[int] = []
        for pid_file in sorted((self.files.directory / "programs").glob("*.pid")):
            script = self.files.script(pid_file.stem)
            pid = _read_pid(pid_file)
            if pid is None or f"{MARKER}={script}".encode() not in _read_proc(pid, "environ").split(b"\0"):
                continue
            outliving = script.exists() and "--pdeathsig" not in script.read_text()
            if not (dying_only and outliving):
                found.append(pid)
        return found

    def _call(self, method: str, *arguments: Any, wait: float = 0.0) -> Any:
        """One call of supervisord's XML-RPC interface. OSError when nobody listens."""
        transport = _UnixTransport(self.files.socket, ANSWER_SECONDS + wait)
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                raise SupervisionError(f"{method}{arguments}: {fault.faultString}") from fault


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path, self._timeout)


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _read_proc(pid: int, name: str) -> bytes:
    """A file of /proc; empty when the process is gone or somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return b""


def _wait_gone(pid: int, seconds: float) -> bool:
    """Wait for a process that is not our child to end; True when it did."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], seconds)
    finally:
        os.close(descriptor)
    return bool(readable)


def _end(pid: int, seconds: float) -> None:
    """SIGTERM, SIGKILL after `seconds`, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        if not _wait_gone(pid, seconds):
            os.kill(pid, signal.SIGKILL)
            _wait_gone(pid, seconds)
