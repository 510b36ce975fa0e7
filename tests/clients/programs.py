"""Runs clients' commands: many in one long-lived interpreter, or each as a process of its own."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.client_environment import ClientEnvironment, clean_environment, client_environment

WORKER = Path(__file__).with_name("worker.py")
COMMAND_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    status: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    def json(self) -> Any:
        """What it printed, read as JSON; None when it is not JSON."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            return None


class Clients:
    """The clients of the `clients` environment, as one user after the other.

    A context manager: the interpreter behind it ends with it.
    """

    def __init__(self, directory: Path, environment: ClientEnvironment | None = None) -> None:
        """`directory` is where commands run (relative file names are below it)."""
        self._environment = environment or client_environment("clients")
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._log = (self._directory / "clients.log").open("ab")
        self._process = subprocess.Popen(
            [str(self._environment.python), "-P", str(WORKER)],
            cwd=self._directory,
            env=self._process_environment({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
        self._log.close()

    def run(self, request: Mapping[str, Any]) -> Outcome:
        """One request of `worker`'s kind. Raises RuntimeError when the interpreter is gone."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("use Clients as a context manager")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], COMMAND_SECONDS)[0]:
            process.kill()
            raise RuntimeError(f"no answer within {COMMAND_SECONDS:.0f} s to {request}")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients' interpreter ended, see {self._directory / 'clients.log'}")
        return Outcome(**json.loads(line))

    def run_process(self, program: str, argv: Sequence[str], env: Mapping[str, str]) -> Outcome:
        """The same as a process: the console script, as a person starts it."""
        done = subprocess.run(
            [str(self._environment.program(program)), *argv],
            cwd=self._directory,
            env=self._process_environment(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    @staticmethod
    def _process_environment(env: Mapping[str, str]) -> dict[str, str]:
        """Columns are wide: a client cuts what does not fit."""
        return {**clean_environment(), "COLUMNS": "400", "PYTHONWARNINGS": "ignore", **env}
