"""Virtual environments for programs that are not Cairn's own: OpenStack's clients, services and tempest.

Each is described by a lock (pins with hashes) in the tree and built once per machine, below the user's cache
folder. The folder is named by the lock's contents and the interpreter, so a changed lock makes a new one and
a finished one is never changed. Nothing of it gets into the environment that runs the tests.

`python -m support.client_environment clients services tempest` (in `tests/`) builds them ahead of time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
LOCKS = {
    "clients": TESTS / "clients" / "requirements.lock",
    "services": TESTS / "clients" / "services.lock",
    "s3": TESTS / "clients" / "s3.lock",
    "tempest": TESTS / "tempest" / "requirements.lock",
}
"""Name of an environment to its lock."""
PYTHON = "python3.11"
READY = "ready"
KEPT = frozenset({"PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"})

Progress = Callable[[str], None]


class EnvironmentUnavailable(Exception):
    """An environment could not be built; the message has the end of pip's own words."""


@dataclass(frozen=True)
class ClientEnvironment:
    """A virtual environment that is ready for use."""

    directory: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.program("python")

    def program(self, name: str) -> Path:
        """One of its programs, as in `program("openstack")`. Raises EnvironmentUnavailable without it."""
        path = self.directory / "bin" / name
        if not path.exists():
            raise EnvironmentUnavailable(f"no program {name} in {self.directory}")
        return path


def client_environment(name: str, progress: Progress | None = None) -> ClientEnvironment:
    """The environment `name` of LOCKS; built first where this machine has not got it yet.

    Two processes never build the same one at once: the second waits for the first. Raises
    EnvironmentUnavailable when it cannot be built.
    """
    say = progress or to_terminal
    lock = LOCKS[name]
    directory = cache_folder() / f"{name}-{_fingerprint(lock)}"
    if (directory / READY).exists():
        return ClientEnvironment(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _alone(directory.with_suffix(".lock"), f"the environment {name}", say):
        if not (directory / READY).exists():
            _build(name, lock, directory, say)
    return ClientEnvironment(directory)


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/cairn/environments`."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cairn" / "environments"


def clean_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a client's process gets from its starter: no OS_… variable of the person's shell among it."""
    environment = os.environ if environment is None else environment
    return {key: value for key, value in environment.items() if key in KEPT}


def to_terminal(line: str) -> None:
    """Past pytest's capture: building takes a minute, and people wonder."""
    print(line, file=sys.__stderr__, flush=True)


def _fingerprint(lock: Path) -> str:
    """Of the pins and of the interpreter that they are installed for."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(f"{PYTHON} {os.uname().machine}".encode())
    return digest.hexdigest()[:12]


def _build(name: str, lock: Path, directory: Path, say: Progress) -> None:
    """A virtual environment with what `lock` pins; the marker file comes last."""
    say(f"building the environment {name} in {directory} (once per machine and lock)")
    began = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    pip = str(directory / "bin" / "pip")
    quiet = ("--quiet", "--disable-pip-version-check")
    _run([PYTHON, "-m", "venv", str(directory)])
    _run([pip, "install", *quiet, "--require-hashes", "--no-deps", "--no-compile", "-r", str(lock)])
    _run([pip, "check", *quiet])
    (directory / READY).touch()
    say(f"built the environment {name} in {time.monotonic() - began:.0f} s")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise EnvironmentUnavailable(f"{' '.join(command)} failed:\n{tail}")


@contextmanager
def _alone(path: Path, what: str, say: Progress) -> Iterator[None]:
    """Hold the lock file `path`; the kernel releases it when the holder dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        client_environment(wanted)
