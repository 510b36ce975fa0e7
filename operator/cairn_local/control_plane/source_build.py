"""Build a Kubernetes control plane from Debian's packages: the recipe, and nothing about where it is kept.

Debian's binary packages hold kubectl alone, but its source package `kubernetes` is the complete tree with
its vendored dependencies. `binaries` calls `build()` once per machine and keeps the result.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cairn_local.control_plane.debian import PrivateApt
from cairn_local.process import dying_with_parent, log_tail

Progress = Callable[[str], None]
"""Receives one line for a person: what is happening now."""

ROOT_PACKAGE = "k8s.io/kubernetes"
PROGRESS_SECONDS = 15.0


class BuildError(Exception):
    """The control plane could not be built; the message holds the end of the compiler's output."""


@dataclass(frozen=True)
class Edit:
    """One expression of the source that is replaced by another."""

    file: str
    """Below the tree's top."""
    old: str
    """Occurs exactly once."""
    new: str


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a build contains. Changing a field makes a new cache entry."""

    source: str = "kubernetes"
    """Debian source package."""
    series: str = "1.20."
    """Upstream series this recipe knows how to build."""
    targets: tuple[str, ...] = ("kube-apiserver", "kube-controller-manager")
    compiler: tuple[str, ...] = ("golang-1.19-go", "golang-1.19-src")
    goroot: str = "usr/lib/go-1.19"
    replaced: tuple[tuple[str, str], ...] = (
        ("golang-github-modern-go-reflect2-dev", "github.com/modern-go/reflect2"),
    )
    """Debian package, vendored import path it replaces. The vendored reflect2 reads the Go runtime's map
    layout of before 1.18: the server starts, then crashes at the first custom resource."""
    edits: tuple[Edit, ...] = (
        Edit(
            "vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go",
            "data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data))",
            "data == nil",
        ),
    )
    """The comparison takes two `reflect.Value`s, pointers and all. Up to Go 1.15 every zero value had an
    address of its own, so that it was never true; since 1.16 all share one, and custom resources are refused
    for an empty string (`must be of type string: "null"`). Dropped in Kubernetes 1.21, by its issue 99804."""
    prebuilt: tuple[tuple[str, str], ...] = (
        ("etcd-server", "usr/bin/etcd"),
        ("kubernetes-client", "usr/bin/kubectl"),
    )
    """Debian package and the program taken from it unbuilt."""
    flags: tuple[str, ...] = ("-trimpath",)
    revision: int = 1
    """Raise it when the code below changes what comes out."""

    @property
    def hash(self) -> str:
        """Short and stable name of this recipe."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self)).encode()).hexdigest()[:12]

    @property
    def programs(self) -> tuple[str, ...]:
        """Names of the executables a build leaves behind."""
        return (*self.targets, *(Path(path).name for _, path in self.prebuilt))


RECIPE = Recipe()


def build(work: Path, output: Path, progress: Progress, recipe: Recipe = RECIPE) -> str:
    """Build into `output` (one executable per program) using `work` for everything temporary.

    Takes minutes of CPU and about 2.5 GB below `work`; the caller deletes it. Returns the source version.
    Raises DebianError when a package cannot be had and BuildError when compiling fails.
    """
    progress("reading Debian's package lists")
    apt = PrivateApt(work / "apt")
    apt.update()
    version = apt.source_version(recipe.source)
    upstream = _upstream_version(version)
    if not upstream.startswith(recipe.series):
        raise BuildError(
            f"Debian's kubernetes here is {upstream}, the recipe builds {recipe.series}x: "
            "point KUBEBUILDER_ASSETS at a folder with etcd and kube-apiserver instead"
        )
    progress(
        f"downloading the source of kubernetes {upstream} and the Go compiler from Debian (about 140 MB)"
    )
    apt.unpack([package for package, _ in recipe.prebuilt], work / "prebuilt")
    apt.unpack(recipe.compiler, work / "go")
    apt.unpack([package for package, _ in recipe.replaced], work / "replaced")
    downloads = work / "source"
    downloads.mkdir()
    tarball = apt.download_source(recipe.source, version, downloads)
    tree = _unpack_tree(tarball, work / "gopath/src" / ROOT_PACKAGE)
    for _, path in recipe.replaced:
        shutil.rmtree(tree / "vendor" / path)
        shutil.copytree(work / "replaced/usr/share/gocode/src" / path, tree / "vendor" / path)
    for edit in recipe.edits:
        apply_edit(tree, edit)
    output.mkdir(parents=True, exist_ok=True)
    for _, path in recipe.prebuilt:
        shutil.copy2(work / "prebuilt" / path, output / Path(path).name)
    compiler = _Compiler(work, tree, work / "go" / recipe.goroot)
    progress("generating the API server's OpenAPI definitions")
    compiler.generate_openapi()
    compiler.compile(recipe, upstream, output, progress)
    return version


def _upstream_version(version: str) -> str:
    """`1.20.5+really1.20.2-1.1+deb12u1` is upstream 1.20.2."""
    upstream = version.rsplit("-", 1)[0].split(":", 1)[-1]
    return upstream.split("+really", 1)[-1].split("+", 1)[0]


def _unpack_tree(tarball: Path, destination: Path) -> Path:
    # Debian's patches on top concern kubectl's output only, so the upstream tree is what gets compiled
    # and neither dpkg-dev nor patch has to be there.
    unpacked = destination.parent / "unpacked"
    with tarfile.open(tarball) as archive:
        # Debian 12's own Python 3.11.2 has no filters yet; apt has verified whose tarball this is.
        archive.extraction_filter = getattr(tarfile, "tar_filter", lambda member, _path: member)
        archive.extractall(unpacked)  # noqa: S202
    (top,) = unpacked.iterdir()
    top.rename(destination)
    unpacked.rmdir()
    return destination


def apply_edit(tree: Path, edit: Edit) -> None:
    """Edit one file of the source below `tree`. Raises BuildError where it does not hold what is expected."""
    file = tree / edit.file
    source = file.read_text() if file.exists() else ""
    if source.count(edit.old) != 1:
        raise BuildError(
            f"{edit.file} of this source is not what the recipe expects: {edit.old!r} is not there once"
        )
    file.write_text(source.replace(edit.old, edit.new))


class _Compiler:
    """The Go tool chain over the unpacked tree, in GOPATH mode (`-mod=vendor` wants to change go.mod)."""

    def __init__(self, work: Path, tree: Path, goroot: Path) -> None:
        self._work = work
        self._tree = tree
        self._go = str(goroot / "bin/go")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("GO", "CGO"))}
        self._environment = inherited | {
            "GOROOT": str(goroot),
            "GOPATH": str(work / "gopath"),
            "GOCACHE": str(work / "gocache"),
            "GOTMPDIR": str(work),
            "GOENV": "off",
            "GO111MODULE": "off",
            "CGO_ENABLED": "0",
            "PATH": f"{goroot / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        }

    def _run(self, *argv: str) -> str:
        result = subprocess.run(
            argv, cwd=self._tree, env=self._environment, capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise BuildError(f"{Path(argv[0]).name} {argv[1]} failed:\n{result.stderr[-4000:]}")
        return result.stdout

    def generate_openapi(self) -> None:
        """Write pkg/generated/openapi/zz_generated.openapi.go, which the source package lacks."""
        generator = str(self._work / "openapi-gen")
        self._run(
            self._go, "build", "-o", generator, f"{ROOT_PACKAGE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
        )
        self._run(
            generator,
            "--logtostderr",
            "--input-dirs",
            ",".join(f"{ROOT_PACKAGE}/{folder}" for folder in self._openapi_folders()),
            "--output-package",
            f"{ROOT_PACKAGE}/pkg/generated/openapi",
            "--output-file-base",
            "zz_generated.openapi",
            "--go-header-file",
            "vendor/k8s.io/code-generator/hack/boilerplate.go.txt",
            "--report-filename",
            str(self._work / "openapi-violations.txt"),
        )

    def _openapi_folders(self) -> list[str]:
        """Packages with an openapi-gen tag, by the rule of the tree's own Makefile.generated_files."""
        staging = self._tree / "staging/src/k8s.io"
        roots = {self._tree / "pkg": "pkg"} | {
            module: f"vendor/k8s.io/{module.name}"
            for module in staging.iterdir()
            if module.is_dir() and module.name not in {"code-generator", "sample-apiserver"}
        }
        tag = b"\n// +k8s:openapi-gen="
        return sorted(
            {
                f"{name}/{file.parent.relative_to(root)}"
                for root, name in roots.items()
                for file in root.rglob("*.go")
                if tag in file.read_bytes()
            }
        )

    def compile(self, recipe: Recipe, upstream: str, output: Path, progress: Progress) -> None:
        """Compile all targets in one go, so that what they share is compiled once."""
        packages = [f"{ROOT_PACKAGE}/cmd/{target}" for target in recipe.targets]
        total = len(self._run(self._go, "list", "-deps", *packages).splitlines())
        major, minor, _ = upstream.split(".", 2)
        stamps = {
            "gitVersion": f"v{upstream}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "archive",
        }
        folders = ("component-base/version", "client-go/pkg/version")
        ldflags = " ".join(
            f"-X {ROOT_PACKAGE}/vendor/k8s.io/{folder}.{key}={value}"
            for folder in folders
            for key, value in stamps.items()
        )
        argv = [
            "nice",
            self._go,
            "build",
            "-v",
            *recipe.flags,
            "-ldflags",
            f"-s -w {ldflags}",
            "-o",
            str(output),
            *packages,
        ]
        label = f"building {' and '.join(recipe.targets)}"
        progress(f"{label} (about 5 min on two cores, once)")
        started = time.monotonic()
        log = self._work / "compile.log"
        with (
            log.open("w") as output_file,
            subprocess.Popen(
                dying_with_parent(argv), cwd=self._tree, env=self._environment, stderr=output_file
            ) as process,
        ):
            while not _ended(process, PROGRESS_SECONDS):
                compiled = min(log.read_text().count("\n"), total)
                progress(f"{label}: {compiled} of {total} packages, {time.monotonic() - started:.0f} s")
        if process.returncode != 0:
            raise BuildError(f"compiling {upstream} failed:{log_tail(log, 40)}")


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ends within `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
