"""Where built images are kept: built once per recipe, by one process at a time, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

Progress = Callable[[str], None]
"""Receives one line for a person: what is happening now."""

LOCK_POLL_SECONDS = 0.5
LOCK_NEWS_SECONDS = 30.0


class BuildError(Exception):
    """An image could not be built; the message says which step failed and how."""


@dataclass(frozen=True)
class BuiltImage:
    """An image in the cache."""

    path: Path
    sha256: str
    packages: Mapping[str, str] = field(default_factory=dict)
    """Name and version of the Debian packages that matter in it."""

    @property
    def url(self) -> str:
        return self.path.as_uri()


@dataclass(frozen=True)
class Built:
    """What a recipe's build gives: a file in the work folder and what is in it."""

    file: Path
    packages: Mapping[str, str]


def cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/cairn/images`."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cairn/images"


def ensure_image(
    kind: str,
    recipe: str,
    build: Callable[[Path, Progress], Built],
    progress: Progress,
    *,
    directory: Path | None = None,
    refresh: bool = False,
) -> BuiltImage:
    """The image of `kind` built by `recipe`, from the cache or new.

    `recipe` is a hash of all that decides what comes out. `build` gets an empty work folder, which is
    removed afterwards. The file is called `<kind>-<hash of recipe and package versions>.qcow2`.
    refresh: build again, with the package versions of today.
    """
    directory = directory or cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    entry = directory / f"{kind}-{recipe}.json"
    if not refresh and (image := _read(entry)):
        return image
    with _locked(directory / f".{kind}.lock", f"another process builds the {kind} image", progress):
        if not refresh and (image := _read(entry)):
            return image
        with tempfile.TemporaryDirectory(prefix=f".{kind}-", dir=directory) as work:
            started = time.monotonic()
            built = build(Path(work), progress)
            image = _publish(directory, kind, recipe, built)
            _write(entry, image)
            size = image.path.stat().st_size / 1024**2
            progress(
                f"{kind} image: built in {time.monotonic() - started:.0f} s, {size:.0f} MiB: {image.path}"
            )
    return image


def _publish(directory: Path, kind: str, recipe: str, built: Built) -> BuiltImage:
    contents = json.dumps([recipe, sorted(built.packages.items())])
    path = directory / f"{kind}-{hashlib.sha256(contents.encode()).hexdigest()[:12]}.qcow2"
    with built.file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    built.file.chmod(0o644)
    built.file.replace(path)
    return BuiltImage(path, digest, dict(built.packages))


def _write(entry: Path, image: BuiltImage) -> None:
    scratch = entry.with_name(f".{entry.name}.new")
    size = image.path.stat().st_size
    scratch.write_text(json.dumps(asdict(image) | {"path": image.path.name, "size": size}, indent=2) + "\n")
    scratch.replace(entry)


def _read(entry: Path) -> BuiltImage | None:
    """The image an entry speaks of, if it is there and has its size."""
    try:
        found = json.loads(entry.read_text())
        path = entry.with_name(found["path"])
        if path.stat().st_size != found["size"]:
            return None
    except FileNotFoundError:
        return None
    return BuiltImage(path, found["sha256"], found["packages"])


@contextmanager
def _locked(path: Path, why: str, progress: Progress) -> Iterator[None]:
    """Hold the lock; whoever waits for it is told now and then."""
    with path.open("ab") as file:
        told = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told > LOCK_NEWS_SECONDS:
                    told = time.monotonic()
                    progress(f"waiting: {why}")
                time.sleep(LOCK_POLL_SECONDS)
        yield


def print_progress(line: str) -> None:
    """For the command lines of this folder."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def require_programs(*programs: tuple[str, str]) -> None:
    """Pass where all (program, its Debian package) are there. Raises BuildError naming what to install."""
    missing = sorted({package for program, package in programs if shutil.which(program) is None})
    if missing:
        raise BuildError(f"missing programs: apt-get install --no-install-recommends {' '.join(missing)}")
