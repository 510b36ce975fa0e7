"""What a local process is, and a group of them as direct children of a test run.

`ProcessSpec` is the one description of a process: `supervision` runs it for `cairn up`, `ProcessGroup` for
tests, which want to kill, freeze and restart single processes and to leave none behind.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

POLL_SECONDS = 0.05
LOG_TAIL_LINES = 20

_INHERITED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE"),
        *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    }
)

# A death signal is tied to the thread that forked. One thread that lives as long as the interpreter starts
# every child, so that a restart from a short-lived thread does not doom the process with that thread.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawn")


class ProcessFailed(Exception):
    """A process ended or did not become ready in time; the message holds the end of its log."""


class Probe(Protocol):
    """Tells whether a process does its work. Must return within a few seconds and raise nothing."""

    def __call__(self) -> str | None:
        """None when ready, else why not, in words for a person."""
        ...


@dataclass(frozen=True)
class HttpProbe:
    """Ready when a GET of `url` answers 200."""

    url: str
    certificate_authority: Path | None = None
    """CA file for an https URL."""
    client: tuple[Path, Path] | None = None
    """Certificate and key files to present to an https server."""
    timeout: float = 2.0
    """Seconds for one attempt."""

    def __call__(self) -> str | None:
        parts = urlsplit(self.url)
        connection = self._connect(parts.hostname or "", parts.port or 0, parts.scheme == "https")
        try:
            connection.request("GET", parts.path or "/")
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{self.url}: {error}"
        finally:
            connection.close()
        return (
            None
            if response.status == 200
            else f"{self.url}: {response.status} {body[:200].decode(errors='replace')}"
        )

    def _connect(self, host: str, port: int, secure: bool) -> http.client.HTTPConnection:
        if not secure:
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=self.certificate_authority)
        if self.client:
            context.load_cert_chain(*self.client)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)


@dataclass(frozen=True)
class SocketProbe:
    """Ready when a TCP port (`host`, `port`) or a unix socket (a path) takes connections."""

    address: tuple[str, int] | Path
    timeout: float = 2.0

    def __call__(self) -> str | None:
        family = socket.AF_UNIX if isinstance(self.address, Path) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout)
            try:
                connection.connect(str(self.address) if isinstance(self.address, Path) else self.address)
            except OSError as error:
                return f"{self.address}: {error}"
        return None


@dataclass(frozen=True)
class ProcessSpec:
    """One long-running local process."""

    name: str
    """Unique among its peers; also names its log."""
    argv: tuple[str, ...]
    """Program (absolute path, or found on PATH) and arguments; never given to a shell."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the few variables of `inherited_environment()`."""
    directory: Path = Path("/")
    """Working directory."""
    ready: Probe | None = None
    """None: ready as soon as it runs."""
    live: HttpProbe | None = None
    """Says something is wrong where only a restart helps; what `watchdog` looks at."""
    ready_seconds: float = 60.0
    """How long it may take to become ready."""
    stop_seconds: float = 10.0
    """From SIGTERM to SIGKILL."""
    priority: int = 100
    """Lower starts earlier and stops later."""
    outlives_supervisor: bool = False
    """Keep it running when its supervisor is killed. Such a process must find and take over, or refuse
    to run beside, an earlier one of its kind when it is started again; its log pipe is gone by then."""


def inherited_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every local process gets from its starter: where programs and home are, language, proxies.

    Nothing else: a KUBECONFIG in somebody's shell must not decide which cluster a process talks to.
    """
    environment = os.environ if environment is None else environment
    return {key: value for key, value in environment.items() if key in _INHERITED}


def dying_with_parent(argv: Iterable[str]) -> list[str]:
    """`argv` so that it gets SIGTERM when its parent dies (`setpriv` execs it, so the pid is its own)."""
    return [shutil.which("setpriv") or "/usr/bin/setpriv", "--pdeathsig", "TERM", "--", *argv]


def wait_until_ready(spec: ProcessSpec, alive: Probe | None = None) -> float:
    """Wait until the probe of `spec` says ready; returns the seconds waited.

    `alive` may tell that waiting is pointless. Raises ProcessFailed after `spec.ready_seconds`.
    """
    started = time.monotonic()
    while True:
        gone = alive() if alive else None
        if gone is not None:
            raise ProcessFailed(f"{spec.name} {gone}")
        reason = spec.ready() if spec.ready else None
        waited = time.monotonic() - started
        if reason is None:
            return waited
        if waited > spec.ready_seconds:
            raise ProcessFailed(f"{spec.name} is not ready after {waited:.0f} s: {reason}")
        time.sleep(POLL_SECONDS)


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented for use inside a message; empty when there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16_384))
        tail = file.read().decode(errors="replace").splitlines()[-lines:]
    return "".join(f"\n    {line}" for line in tail)


class ChildProcess:
    """One process of a ProcessGroup. Every signal goes to its pid and to nothing else."""

    def __init__(self, spec: ProcessSpec, log: Path) -> None:
        self.spec = spec
        self.log = log
        """Standard output and error, appended over restarts."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Pid of the latest start. Raises ProcessFailed when it was never started."""
        if self._process is None:
            raise ProcessFailed(f"{self.spec.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it unless it runs and wait until it is ready. Raises ProcessFailed with its log's end."""
        if not self.running:
            self._process = _spawner.submit(self._spawn).result()
        if wait:
            self.wait_ready()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                dying_with_parent(self.spec.argv),
                cwd=self.spec.directory,
                env=inherited_environment() | dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop this in order
            )

    def wait_ready(self) -> float:
        """Wait until its probe says ready; returns seconds. Raises ProcessFailed with the end of its log."""
        try:
            return wait_until_ready(self.spec, self._ended)
        except ProcessFailed as failure:
            raise ProcessFailed(f"{failure}{log_tail(self.log)}") from None

    def _ended(self) -> str | None:
        if self.running:
            return None
        return "is not running" if self._process is None else f"ended with status {self._process.returncode}"

    def wait_ended(self, seconds: float) -> int:
        """Wait for it to end by itself; returns its exit status. Raises ProcessFailed after `seconds`."""
        if self._process is None:
            raise ProcessFailed(f"{self.spec.name} was not started")
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(
                f"{self.spec.name} still runs after {seconds:.0f} s{log_tail(self.log)}"
            ) from None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Nothing happens when it does not run."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after `stop_seconds`, and wait until it is gone. Works on a frozen process too."""
        if self._process is None or not self.running:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(self.spec.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self, *, wait: bool = True) -> None:
        """Stop it if it runs, start it again and wait until it is ready."""
        self.stop()
        self.start(wait=wait)

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise ProcessFailed(f"{self.spec.name} is not running")
        self._process.send_signal(number)


class ProcessGroup:
    """Processes as direct children, which end with the interpreter whatever happens to it.

    A context manager: entering starts them by priority, each one ready before the next begins; leaving stops
    them in the opposite order. `group["etcd"].kill()` and its siblings act on one of them.
    """

    def __init__(self, specs: Iterable[ProcessSpec], logs: Path) -> None:
        """`logs` is a folder for one log per process; it is made if missing."""
        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, ChildProcess] = {}
        for spec in sorted(specs, key=lambda spec: spec.priority):
            self._insert(spec)

    def _insert(self, spec: ProcessSpec) -> ChildProcess:
        if spec.name in self._children:
            raise ValueError(f"two processes named {spec.name}")
        child = ChildProcess(spec, self.logs / f"{spec.name}.log")
        self._children[spec.name] = child
        return child

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __getitem__(self, name: str) -> ChildProcess:
        return self._children[name]

    def __iter__(self) -> Iterator[ChildProcess]:
        return iter(self._children.values())

    def add(self, spec: ProcessSpec, *, start: bool = True) -> ChildProcess:
        """Take one more process into the group and, by default, start it and wait until it is ready."""
        child = self._insert(spec)
        if start:
            child.start()
        return child

    def start(self) -> None:
        """Start what does not run, by priority, each one ready before the next begins."""
        for child in sorted(self, key=lambda child: child.spec.priority):
            child.start()

    def stop(self) -> None:
        """Stop what runs, by falling priority."""
        for child in sorted(self, key=lambda child: child.spec.priority, reverse=True):
            child.stop()


def run_processes(specs: Iterable[ProcessSpec], logs: Path) -> ProcessGroup:
    """`with run_processes(specs, folder) as group: …`, see ProcessGroup."""
    return ProcessGroup(specs, logs)
