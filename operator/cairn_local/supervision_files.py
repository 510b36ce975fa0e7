"""What supervisord reads: its configuration, and one start script per program.

A script per program instead of a command line in the configuration, because supervisord's own quoting has
holes (a value with both kinds of quotes, ` ;` and ` #` start comments); and a person can run the script.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from cairn_local.process import ProcessSpec, dying_with_parent

LOG_BYTES = "20MB"
LOG_BACKUPS = 3
START_SECONDS = 1
"""A process that lives shorter than this counts as failed and is started again more and more slowly."""

START_RETRIES = 20
"""Failed starts in a row before supervisord gives up: the pause grows by a second each, so about 200 s."""

SOCKET_PATH_BYTES = 107
"""What the kernel takes as a unix socket's path."""

MARKER = "CAIRN_SUPERVISED_BY"
"""Environment variable every supervised process carries; its value is the program's start script."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class SupervisorFiles:
    """The folder of one supervisord: `supervisor/` for it, `logs/` for everybody's output."""

    def __init__(self, data_dir: Path) -> None:
        """Raises ValueError when supervisord could not use files under this path."""
        self.directory = data_dir.absolute() / "supervisor"
        self.logs = data_dir.absolute() / "logs"
        self.configuration = self.directory / "supervisord.conf"
        self.socket = self.directory / "supervisor.sock"
        self.pid_file = self.directory / "supervisord.pid"
        self.lock = self.directory / "lock"
        # supervisord binds to a temporary name first: the socket's, a dot and its pid.
        if len(str(self.socket)) + len(".4194304") > SOCKET_PATH_BYTES:
            raise ValueError(f"{data_dir} is too long a path for a unix socket in it; choose a shorter one")
        if re.search(r"[\s;#%\"']", str(self.directory)):
            raise ValueError(
                f"{data_dir}: supervisord cannot take a path with spaces, quotes, ';', '#' or '%'"
            )

    def prepare(self) -> None:
        """Make the folders and supervisord's own configuration."""
        for folder in (self.directory, self.directory / "programs"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        self.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        lines = [
            "[supervisord]",
            f"logfile={self.logs / 'supervisord.log'}",
            "logfile_maxbytes=5MB",
            "logfile_backups=1",
            f"pidfile={self.pid_file}",
            f"directory={self.directory}",
            f"childlogdir={self.logs}",
            "umask=077",
            # Unsaid, supervisord warns on every start that it runs as root.
            f"user={pwd.getpwuid(os.getuid()).pw_name}",
            "[unix_http_server]",
            f"file={self.socket}",
            "chmod=0700",
            "[supervisorctl]",
            f"serverurl=unix://{self.socket}",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[include]",
            f"files={self.directory}/programs/*.conf",
        ]
        _write(self.configuration, "\n".join(lines) + "\n", 0o600)

    def script(self, name: str) -> Path:
        """Where the start script of a program is."""
        return self.directory / "programs" / name

    def program_pid_file(self, name: str) -> Path:
        """Where the start script of a program leaves its pid."""
        return self.directory / "programs" / f"{name}.pid"

    def known_programs(self) -> list[str]:
        """Programs that have a start script from this or an earlier run."""
        return sorted(path.stem for path in (self.directory / "programs").glob("*.conf"))

    def log(self, name: str) -> Path:
        """Where a program's standard output and error go."""
        return self.logs / f"{name}.log"

    def write_programs(self, specs: Iterable[ProcessSpec]) -> None:
        """Make the folder describe exactly `specs`."""
        specs = list(specs)
        for name in set(self.known_programs()) - {spec.name for spec in specs}:
            self.forget(name)
        for spec in specs:
            if not _NAME.fullmatch(spec.name):
                raise ValueError(f"{spec.name!r} is no name for a process: lower case, digits, '.', '_', '-'")
            script = self._script_text(spec)
            _write(self.script(spec.name), script, 0o700)
            _write(self.directory / "programs" / f"{spec.name}.conf", self._program_text(spec, script), 0o600)

    def forget(self, name: str) -> None:
        """Remove a program's configuration and script."""
        for path in (self.directory / "programs" / f"{name}.conf", self.script(name)):
            path.unlink(missing_ok=True)

    def _script_text(self, spec: ProcessSpec) -> str:
        argv = list(spec.argv) if spec.outlives_supervisor else dying_with_parent(spec.argv)
        environment = dict(spec.env) | {MARKER: str(self.script(spec.name))}
        lines = [
            "#!/bin/sh",
            f"# Starts {spec.name}; written anew by every `cairn up`.",
            f"echo $$ > {shlex.quote(str(self.program_pid_file(spec.name)))}",
            f"cd {shlex.quote(str(spec.directory))} || exit 1",
            *(f"export {key}={shlex.quote(value)}" for key, value in sorted(environment.items())),
            f"exec {shlex.join(argv)}",
        ]
        return "\n".join(lines) + "\n"

    def _program_text(self, spec: ProcessSpec, script: str) -> str:
        lines = [
            f"[program:{spec.name}]",
            f"command={self.script(spec.name)}",
            # The command stays the same when the script changes; this makes supervisord see the change.
            f'environment=CAIRN_SCRIPT="{hashlib.sha256(script.encode()).hexdigest()[:16]}"',
            "autostart=true",
            "autorestart=true",
            f"startsecs={START_SECONDS}",
            f"startretries={START_RETRIES}",
            f"stopwaitsecs={max(1, round(spec.stop_seconds))}",
            f"priority={spec.priority}",
            f"stdout_logfile={self.log(spec.name)}",
            f"stdout_logfile_maxbytes={LOG_BYTES}",
            f"stdout_logfile_backups={LOG_BACKUPS}",
            "redirect_stderr=true",
        ]
        return "\n".join(lines) + "\n"


def _write(path: Path, content: str, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(content)
    temporary.replace(path)
