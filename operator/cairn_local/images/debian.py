"""A full Debian with cloud-init, as a disk image that boots on any BIOS machine.

`make cloud-image` builds it by mmdebstrap from the machine's own Debian archive (minutes, once, root); then
it is in the user's cache. cloud-init takes name, keys and user data from the config drive or OpenStack's
metadata service; the default user is `debian`. `python -m cairn_local.images.debian` builds it and prints
its path and checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cairn_local.control_plane.debian import APT_DIRECTORY, DebianError, codename, debian_sources
from cairn_local.images import debian_files, disk
from cairn_local.images.store import (
    BuildError,
    Built,
    BuiltImage,
    Progress,
    ensure_image,
    print_progress,
    require_programs,
)

PROPERTIES = {"hw_cdrom_bus": "virtio", "os_admin_user": "debian"}
"""Image properties it needs, for the same reason as the demo image; cloud-init makes the user."""

PROGRESS_SECONDS = 15.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the image contains. Changing a field makes a new cache entry."""

    packages: tuple[str, ...] = (
        "linux-image-cloud-amd64", "initramfs-tools", "zstd", "systemd-sysv", "dbus", "udev", "kmod",
        "cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "dosfstools", "openssh-server", "sudo",
        "ifupdown", "isc-dhcp-client", "netbase", "iproute2", "iputils-ping", "ca-certificates", "less",
    )  # fmt: skip
    left_out: tuple[str, ...] = (
        "/usr/share/doc/*",
        "/usr/share/man/*",
        "/usr/share/locale/*",
        "/usr/share/info/*",
    )
    """Files that dpkg does not unpack (copyright files are kept)."""
    boot_size: int = 96 * disk.MIB
    root_size: int = 1536 * disk.MIB
    """Of the root partition as built; cloud-init grows it to the disk that the flavor gives."""
    command_line: str = "root=PARTUUID=6e726163-02 ro console=tty0 console=ttyS0,115200 quiet no_timer_check"
    revision: int = 1
    """Raise it when the code below changes what comes out."""

    @property
    def hash(self) -> str:
        texts = {key: value for key, value in vars(debian_files).items() if key.isupper()}
        return hashlib.sha256(json.dumps([asdict(self), texts, codename()]).encode()).hexdigest()[:12]


RECIPE = Recipe()


def ensure_debian_image(
    progress: Progress, *, directory: Path | None = None, refresh: bool = False, recipe: Recipe = RECIPE
) -> BuiltImage:
    """The Debian image, built (in about three minutes) unless the cache has it.

    directory: a cache other than the user's; refresh: build again with the packages of today. Building
    needs root. Raises BuildError, or DebianError when there is no Debian archive.
    """

    def build(work: Path, progress: Progress) -> Built:
        return _build(work, recipe, progress)

    return ensure_image("debian", recipe.hash, build, progress, directory=directory, refresh=refresh)


def _build(work: Path, recipe: Recipe, progress: Progress) -> Built:
    if os.geteuid() != 0:
        raise BuildError("building the Debian image needs root: run it with sudo")
    require_programs(*disk.PROGRAMS, ("mmdebstrap", "mmdebstrap"), ("mke2fs", "e2fsprogs"))
    tree = work / "tree"
    _bootstrap(work, tree, recipe, progress)
    versions = _versions(tree)
    progress("Debian image: writing the disk")
    boot_files = {
        "syslinux.cfg": debian_files.BOOT_MENU.format(command_line=recipe.command_line).encode(),
        "vmlinuz": next(tree.glob("boot/vmlinuz-*")).read_bytes(),
        "initrd": next(tree.glob("boot/initrd.img-*")).read_bytes(),
    }
    root, raw, image = work / "root.ext4", work / "debian.raw", work / "debian.qcow2"
    with root.open("wb") as file:
        file.truncate(recipe.root_size)
    disk.run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "1", "-d", str(tree), str(root))
    shutil.rmtree(tree)
    disk.write_boot_disk(raw, boot_files, recipe.boot_size, root)
    root.unlink()
    disk.to_qcow2(raw, image, compressed=True)
    return Built(image, versions)


def _bootstrap(work: Path, tree: Path, recipe: Recipe, progress: Progress) -> None:
    """Install the packages into `tree` and configure them."""
    files = work / "files"
    for path, (text, mode) in debian_files.FILES.items():
        target = files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
    script = work / "customize"
    script.write_text(debian_files.CUSTOMIZE)
    script.chmod(0o755)
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.left_out]
    _run_with_progress(
        [
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--skip=output/dev"),
            f"--include={','.join(recipe.packages)}",
            *excluded,
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            f"--essential-hook=copy-in {files}/etc /",
            f'--customize-hook={script} "$1"',
            codename(),
            str(tree),
            *_sources(work),
        ],
        "Debian image: installing packages (about 2 min, once)",
        progress,
    )


def _sources(work: Path) -> list[str]:
    """The machine's own Debian archive, as files for mmdebstrap."""
    places = [APT_DIRECTORY / "sources.list", *sorted((APT_DIRECTORY / "sources.list.d").glob("*"))]
    contents = {str(path): path.read_text() for path in places if path.is_file()}
    sources = debian_sources(contents, codename())
    if not sources:
        raise DebianError(f"no Debian archive for {codename() or 'this system'} in {APT_DIRECTORY}'s sources")
    one_line = [line for line in sources.one_line.splitlines() if not line.startswith("deb-src ")]
    binary_only = {
        "debian.list": "".join(f"{line}\n" for line in one_line),
        "debian.sources": sources.deb822.replace("Types: deb deb-src", "Types: deb"),
    }
    paths = []
    for name, content in binary_only.items():
        if content:
            (work / name).write_text(content)
            paths.append(str(work / name))
    return paths


def _versions(tree: Path) -> dict[str, str]:
    listing = disk.run(
        "dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Package} ${Version}\n"
    )
    return dict(line.split(" ", 1) for line in listing.splitlines())


def _run_with_progress(argv: list[str], label: str, progress: Progress) -> None:
    """Run a long program and say now and then what it is at. Raises BuildError with the end of its output."""
    progress(label)
    started = shown = time.monotonic()
    lines: list[str] = []
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            lines.append(line)
            now = time.monotonic()
            if now - shown >= PROGRESS_SECONDS:
                shown = now
                progress(f"{label}: {now - started:.0f} s, {line.strip()[:60]}")
    if process.returncode != 0:
        raise BuildError(f"{argv[0]} failed:\n{''.join(lines)[-4000:]}")


@click.command()
@click.option("--refresh", is_flag=True, help="Build again with today's packages.")
def main(*, refresh: bool) -> None:
    """Build the Debian image unless it is in the cache; print its path and SHA-256."""
    try:
        image = ensure_debian_image(print_progress, refresh=refresh)
    except (BuildError, DebianError) as error:
        sys.exit(f"the Debian image could not be built: {error}")
    click.echo(f"{image.path}\n{image.sha256}")


if __name__ == "__main__":
    main()
