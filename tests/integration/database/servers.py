"""Real database servers for the tests: started from Debian's binaries, on sockets and data of their own.

They run as an unprivileged user, flush nothing to disk, listen on no port, and are stopped by their pid.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DEBIAN_PACKAGES = ("postgresql-15", "mariadb-server")
"""What has to be installed for these tests (`make test` does)."""

POSTGRESQL_BIN = Path("/usr/lib/postgresql/15/bin")
START_TIMEOUT = 60.0


class Server:
    """One server process and its directory."""

    user: str
    ready: str

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"cairn-{self.user}-"))
        if os.geteuid() == 0:
            os.chown(self.directory, pwd.getpwnam(self.user).pw_uid, grp.getgrnam(self.user).gr_gid)
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._initialise()

    def _initialise(self) -> None:
        """Make the data directory; once more where that failed: MariaDB's installer does so now and then on
        a busy machine, and says nothing of the cause."""
        try:
            self._call(self.initialise_command())
        except AssertionError:
            shutil.rmtree(self.data, ignore_errors=True)
            self._call(self.initialise_command())

    def initialise_command(self) -> list[str]:
        raise NotImplementedError

    def serve_command(self) -> list[str]:
        raise NotImplementedError

    def query_command(self, sql: str) -> list[str]:
        raise NotImplementedError

    def url(self, database: str) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._unprivileged(self.serve_command()), stdout=log, stderr=log, cwd=self.directory
            )
        _wait_until(self._answers, f"{type(self).__name__} does not answer; see {self.log}")

    def kill(self) -> None:
        """End it at once, as a crash would; its data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End it, and its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"cairn{self._databases}"
        self._call(self.query_command(f"CREATE DATABASE {name}"))
        return self.url(name)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        return (
            subprocess.run(
                self._unprivileged(self.query_command("SELECT 1")), capture_output=True, check=False
            ).returncode
            == 0
        )

    def _call(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            self._unprivileged(command), capture_output=True, text=True, check=False, cwd=self.directory
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def _unprivileged(self, command: Sequence[str]) -> list[str]:
        if os.geteuid() != 0:
            return list(command)
        return ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups", *command]


class PostgresqlServer(Server):
    user = "postgres"
    durable = False
    """Whether a commit waits for the disk, as it would in earnest."""

    def initialise_command(self) -> list[str]:
        options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"]
        return [str(POSTGRESQL_BIN / "initdb"), *options, str(self.data)]

    def serve_command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            # Off: a killed server loses nothing that it acknowledged; a lost machine would.
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "shared_buffers": "64MB",
            "max_connections": "100",
            "deadlock_timeout": "20ms",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(POSTGRESQL_BIN / "postgres"), "-D", str(self.data), *options]

    def query_command(self, sql: str) -> list[str]:
        return ["psql", "-h", str(self.directory), "-U", "postgres", "-d", "postgres", "-qtc", sql]

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://postgres@/{database}?host={self.directory}"

    def kill(self) -> None:
        # Immediate shutdown: a killed postmaster leaves its children to hold the data directory.
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None


class MariadbServer(Server):
    user = "mysql"

    def initialise_command(self) -> list[str]:
        return [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-flush-method=nosync",
        ]

    def serve_command(self) -> list[str]:
        return [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.directory}/sql.sock",
            "--skip-networking",
            # Written at each commit: a killed server loses nothing that it acknowledged.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",
            "--skip-log-bin",
        ]

    def query_command(self, sql: str) -> list[str]:
        return ["mariadb", "--no-defaults", f"--socket={self.directory}/sql.sock", "-uroot", "-e", sql]

    def url(self, database: str) -> str:
        return f"mysql+asyncmy://root@/{database}?unix_socket={self.directory}/sql.sock"


def _wait_until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)
