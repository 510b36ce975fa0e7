"""HypervisorRoom: a handle on one room, for `cairn up`, `cairn ssh` and tests."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from cairn_local.hypervisor import guests, namespaces
from cairn_local.hypervisor.files import Record, RoomFiles, start_time
from cairn_local.process import ProcessFailed, ProcessSpec, log_tail, wait_until_ready

END_SECONDS = 20.0
"""For the room to end after its guests have, before SIGKILL."""
TAKE_OVER_SECONDS = 10.0
"""For a room that another process is making at this moment to have a first process."""
_POLL_SECONDS = 0.05


class RoomError(Exception):
    """The room could not be made or taken down; the message says why."""


@dataclass(frozen=True)
class LibvirtProbe:
    """Ready when libvirtd answers a call at `uri`."""

    uri: str
    timeout: float = 5.0
    """Seconds for one attempt."""

    def __call__(self) -> str | None:
        argv = ["virsh", "--connect", self.uri, "hostname"]
        try:
            result = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=self.timeout)
        except subprocess.TimeoutExpired:
            return f"libvirtd did not answer within {self.timeout:g} s"
        except OSError as error:
            return f"virsh cannot be run: {error}"
        return None if result.returncode == 0 else f"libvirtd: {result.stderr.strip().splitlines()[-1]}"


class HypervisorRoom:
    """The guests' room whose data is in `data_dir`. Several of different names can live side by side.

    A context manager for tests: entering starts it, leaving stops it. Everything needs root.
    """

    def __init__(
        self,
        data_dir: Path,
        name: str | None = None,
        *,
        shutdown_seconds: float = 30.0,
        listen: str | None = None,
        wire: Callable[[str], None] | None = None,
    ) -> None:
        """A handle; nothing is started or made.

        name: of the network namespace and the room's host name; made from `data_dir` when left out.
        shutdown_seconds: how long `stop` waits for guests to shut down by themselves.
        listen: an address in the room's network where libvirtd answers anybody, for tests of migration.
        wire: called with the name of the room's network before anything runs in it, to join it to others.
        Raises ValueError when the path cannot hold libvirt's socket.
        """
        self.files = RoomFiles(data_dir, listen)
        self._wire = wire
        digest = hashlib.sha256(os.fsencode(self.files.directory)).hexdigest()[:8]
        self.name = name or f"cairn-{digest}"
        self.shutdown_seconds = shutdown_seconds
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where libvirt is reached from outside."""
        return f"qemu+unix:///system?socket={quote(str(self.files.socket))}"

    @property
    def host_uuid(self) -> str:
        """libvirt's identity of the room as a host; the same over restarts."""
        return self.files.host_uuid

    def exec_argv(self, command: Sequence[str]) -> list[str]:
        """`command`, to be run in the room's network: beside the guests, with everything else as outside."""
        return ["nsenter", f"--net={namespaces.path_of(self.name)}", "--", *command]

    def process_spec(self, name: str = "hypervisor", priority: int = 50) -> ProcessSpec:
        """For a supervisor. Started again after it was killed, it takes the living room over.

        When the supervisor itself was killed nobody is left to send the SIGTERM: whoever takes everything
        down also calls `stop`, which does nothing where nothing is left.
        """
        arguments = ("--data-dir", str(self.files.directory), "--name", self.name)
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-m", "cairn_local.hypervisor", *arguments,
                  "--shutdown-seconds", str(self.shutdown_seconds)),
            ready=LibvirtProbe(self.uri),
            stop_seconds=self.shutdown_seconds + END_SECONDS + 10.0,
            priority=priority,
            outlives_supervisor=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> bool:
        """Make the room and wait until libvirtd answers; False when it lived already.

        Whatever an earlier one left when it or the machine crashed is cleared first. Raises RoomError,
        after taking down what there was of it.
        """
        made = self._make_or_find()
        try:
            wait_until_ready(self.process_spec(), self._gone)
        except ProcessFailed as failure:
            if made:
                self.stop()
            raise RoomError(f"{failure}{log_tail(self.files.log)}") from None
        return made

    def _gone(self) -> str | None:
        return None if self.running else "ended"

    def _make_or_find(self) -> bool:
        self.files.directory.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + TAKE_OVER_SECONDS
        while not self.running:
            with self.files.lock.open("ab") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._make(lock.fileno())
                return True
            if time.monotonic() > deadline:
                raise RoomError(f"{self.files.lock} is locked, but there is no room")
            time.sleep(_POLL_SECONDS)
        return False

    def _make(self, lock: int) -> None:
        self.files.prepare()
        try:
            namespaces.add(self.name)
        except namespaces.NamespaceError as error:
            raise RoomError(str(error)) from None
        if self._wire is not None:
            self._wire(self.name)
        self._child = self._spawn(lock)
        if self._first_record() is None:
            self._clear(lived=True)
            raise RoomError(f"the room ended at once{log_tail(self.files.log)}")

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        namespaces_of_its_own = ("--mount", "--uts", "--pid", "--fork", "--propagation", "slave")
        init = (sys.executable, "-m", "cairn_local.hypervisor.init", str(self.files.directory), self.name)
        with self.files.log.open("ab") as log:
            return subprocess.Popen(
                [*self.exec_argv(["unshare", *namespaces_of_its_own]), *init, str(lock)],
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )

    def _first_record(self) -> Record | None:
        """The room's record, waiting for it where this handle is making the room."""
        while (record := self.files.read_record()) is None and self._child and self._child.poll() is None:
            time.sleep(_POLL_SECONDS)
        return record

    @property
    def running(self) -> bool:
        """Whether the room lives."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The pid of the room's first process, None when it does not live."""
        if self._child is not None:
            self._child.poll()  # reap it
        record = self.files.read_record()
        return record.pid if record is not None and start_time(record.pid) == record.started else None

    def wait(self) -> None:
        """Return when the room has ended."""
        with self._process() as process:
            if process is not None:
                _wait_for_end(process, None)

    def stop(self) -> bool:
        """Shut the guests down, then end everything in the room; True when it lived.

        Guests get `shutdown_seconds` to shut down by themselves. Afterwards no process, network namespace
        or socket of the room is left; libvirt's configuration and the guests' disks stay.
        """
        if not self.files.directory.exists():
            return False
        with self._process() as process:
            lived = process is not None
            if process is not None:
                guests.shut_down(self.uri, self.shutdown_seconds)
                signal.pidfd_send_signal(process, signal.SIGTERM)
                if not _wait_for_end(process, END_SECONDS):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
                    _wait_for_end(process, None)
        if self._child is not None:
            self._child.wait()
        with self.files.lock.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._clear(lived=lived)
        return lived

    def _clear(self, *, lived: bool) -> None:
        """Remove what is left of a room that has ended. A namespace that others use is not ours."""
        try:
            if lived or not namespaces.processes(self.name):
                namespaces.delete(self.name)
        except namespaces.NamespaceError as error:
            raise RoomError(str(error)) from None
        self.files.clean()

    @contextlib.contextmanager
    def _process(self) -> Iterator[int | None]:
        """The room's first process, open so that no other process can take its place."""
        record = self._first_record()
        descriptor = _open_process(record) if record else None
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _open_process(record: Record) -> int | None:
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    if start_time(record.pid) != record.started:
        os.close(descriptor)
        return None
    return descriptor


def _wait_for_end(process: int, seconds: float | None) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
