"""Where the control plane comes from: a cluster asked for, KUBEBUILDER_ASSETS, PATH, or a cached build.

Called by `cairn up` and by the integration tests; `python -m cairn_local.control_plane.binaries` fills the
cache ahead of time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cairn_local.control_plane.source_build import RECIPE, Progress, Recipe, build

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
SERVERS = ("etcd", "kube-apiserver")
LOCK_POLL_SECONDS = 0.5
LOCK_NEWS_SECONDS = 30.0


class ControlPlaneUnavailable(Exception):
    """No control plane can be had the way it was asked for; the message says what to do."""


@dataclass(frozen=True)
class ExistingCluster:
    """A cluster somebody else runs, reached through a context of the user's kubeconfig."""

    context: str
    kubectl: Path
    kubeconfig: bytes
    """This context alone, complete in itself (JSON). Holds credentials: write it 0600."""


@dataclass(frozen=True)
class Binaries:
    """Programs of a control plane for this machine."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    origin: str
    """For people: `KUBEBUILDER_ASSETS`, `PATH` or the cache folder."""


def find_control_plane(
    context: str | None = None,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> ExistingCluster | Binaries:
    """The cluster of kubeconfig `context`, else programs to run one: assets, then PATH, then the cache.

    The cache is filled by building from Debian's source package, which takes minutes once and is reported
    line by line to `progress`. Raises ControlPlaneUnavailable when what was asked for by name (the context,
    KUBEBUILDER_ASSETS) is not there, and DebianError or BuildError when the build fails.
    """
    environment = os.environ if environment is None else environment
    if context:
        return _existing_cluster(context, environment)
    return find_binaries(progress, environment)


def find_binaries(progress: Progress | None = None, environment: Mapping[str, str] | None = None) -> Binaries:
    """Programs to run a control plane here: KUBEBUILDER_ASSETS, then PATH, then the cache (see above).

    envtest's assets hold no controller manager; it then comes from PATH or the cache. Old and new go
    together for the few controllers in use, whose API groups have been stable since 1.19.
    """
    environment = os.environ if environment is None else environment
    say = progress or _silent
    path = environment.get("PATH", os.defpath)
    assets = environment.get(ASSETS_VARIABLE)
    if assets:
        missing = [name for name in SERVERS if not os.access(Path(assets) / name, os.X_OK)]
        if missing:
            raise ControlPlaneUnavailable(
                f"{ASSETS_VARIABLE}={assets} has no {' and no '.join(missing)}: unset it, or point it "
                "at a folder with etcd and kube-apiserver (the layout of setup-envtest)"
            )
        return _assemble(assets, path, ASSETS_VARIABLE, environment, say)
    if all(shutil.which(name, path=path) for name in SERVERS):
        return _assemble(path, path, "PATH", environment, say)
    cached = str(ensure_cached(say, environment))
    return _assemble(cached, path, cached, environment, say)


def _assemble(
    servers: str, path: str, origin: str, environment: Mapping[str, str], say: Progress
) -> Binaries:
    """Servers from `servers` alone; what may be missing there from PATH, then from the cache."""

    def program(name: str, *places: str) -> Path:
        for place in places:
            found = shutil.which(name, path=place)
            if found:
                return Path(found).absolute()
        return ensure_cached(say, environment) / name

    return Binaries(
        etcd=program("etcd", servers),
        kube_apiserver=program("kube-apiserver", servers),
        kube_controller_manager=program("kube-controller-manager", servers, path),
        # A kubectl of the machine's own is nearly always newer and what its user's fingers know.
        kubectl=program("kubectl", path, servers),
        origin=origin,
    )


def _existing_cluster(context: str, environment: Mapping[str, str]) -> ExistingCluster:
    kubectl = shutil.which("kubectl", path=environment.get("PATH", os.defpath))
    if kubectl is None:
        raise ControlPlaneUnavailable(f"kubectl is needed to use the context {context!r}: put it on PATH")

    def config(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        argv = [kubectl, "config", *arguments]
        return subprocess.run(argv, env=dict(environment), capture_output=True, check=False)

    shown = config("view", "--raw", "--flatten", "--minify", "--context", context, "-o", "json")
    if shown.returncode != 0 or not json.loads(shown.stdout).get("contexts"):
        names = ", ".join(config("get-contexts", "-o", "name").stdout.decode().split()) or "none"
        raise ControlPlaneUnavailable(f"the kubeconfig has no context {context!r}; its contexts: {names}")
    return ExistingCluster(context, Path(kubectl), shown.stdout)


def cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/cairn/kubernetes`, where builds are kept."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "cairn/kubernetes"


def find_cached(cache: Path, recipe: Recipe = RECIPE) -> Path | None:
    """The newest complete build of `recipe` in `cache`; no network is touched."""
    complete = [
        folder
        for folder in cache.glob(f"*-{recipe.hash}")
        if all(os.access(folder / name, os.X_OK) for name in recipe.programs)
    ]
    return max(complete, key=lambda folder: folder.stat().st_mtime, default=None)


def ensure_cached(
    progress: Progress | None = None, environment: Mapping[str, str] | None = None, recipe: Recipe = RECIPE
) -> Path:
    """The cached build's folder, built first when there is none.

    Several callers at once make one build: the others wait for it. A build that dies leaves nothing that
    counts as one.
    """
    say = progress or _silent
    cache = cache_directory(environment)
    found = find_cached(cache, recipe)
    if found is not None:
        return found
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock", say):
        found = find_cached(cache, recipe)
        if found is not None:
            return found
        for abandoned in cache.glob(".building-*"):
            shutil.rmtree(abandoned)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as temporary:
            work, output = Path(temporary), Path(temporary) / "output"
            started = time.monotonic()
            version = build(work, output, say, recipe)
            final = cache / f"{version}-{recipe.hash}"
            if final.exists():  # incomplete, or it would have been found
                shutil.rmtree(final)
            output.rename(final)
            say(f"built Kubernetes {version} in {time.monotonic() - started:.0f} s, kept in {final}")
    return final


@contextlib.contextmanager
def _locked(path: Path, say: Progress) -> Iterator[None]:
    """Hold the lock file; the kernel lets go of it when this process dies."""
    with path.open("w") as file:
        started = news = time.monotonic()
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now = time.monotonic()
                if news == started or now - news >= LOCK_NEWS_SECONDS:
                    news = now
                    say(f"waiting for another process that builds the control plane ({now - started:.0f} s)")
                time.sleep(LOCK_POLL_SECONDS)
        yield


def _silent(_: str) -> None:
    """Progress for callers that show none."""


def _print(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.stdout.write(f"{find_binaries(_print)}\n")
