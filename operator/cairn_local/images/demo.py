"""The demo image: a tiny Linux, from Debian's kernel, busybox and dropbear, that boots in seconds.

`cairn up` gives it to its example Instance, and the tests boot it. One disk with everything in the initramfs;
it reads the config drive, asks for its address, runs user data that is a script, answers SSH and HTTP, and
obeys the power button. `python -m cairn_local.images.demo` builds it and prints its path and checksum.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cairn_local.control_plane.debian import DebianError
from cairn_local.images import demo_files, disk
from cairn_local.images.cpio import Initramfs
from cairn_local.images.kernel_modules import load_order
from cairn_local.images.packages import open_archive
from cairn_local.images.store import (
    BuildError,
    Built,
    BuiltImage,
    Progress,
    ensure_image,
    print_progress,
    require_programs,
)

PROPERTIES = {"hw_cdrom_bus": "virtio"}
"""Image properties it needs: Debian's cloud kernel has no driver for SATA, so the config drive is a disk."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the image contains. Changing a field makes a new cache entry."""

    kernel: str = "linux-image-cloud-amd64"
    """The meta package; the kernel that it stands for when the image is built is the one taken."""
    busybox: str = "busybox-static"
    ssh: tuple[str, ...] = (
        "dropbear-bin", "libtomcrypt1", "libtommath1", "libgmp10", "libcrypt1", "zlib1g", "libc6",
    )  # fmt: skip
    libraries: tuple[str, ...] = (
        "libtomcrypt.so.1", "libtommath.so.1", "libgmp.so.10", "libcrypt.so.1", "libz.so.1", "libc.so.6",
    )  # fmt: skip
    loader: str = "ld-linux-x86-64.so.2"
    early_modules: tuple[str, ...] = (
        "virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "isofs", "evdev", "button",
    )  # fmt: skip
    late_modules: tuple[str, ...] = ("virtio_scsi", "sd_mod", "sr_mod", "ata_piix")
    """Loaded only where the disk or the config drive is not found without."""
    command_line: str = (
        "console=tty0 console=ttyS0,115200 quiet loglevel=3 panic=10 "
        # What costs time under emulation and is of no use to a guest like this.
        "no_timer_check tsc=reliable nokaslr mitigations=off noreplace-smp nowatchdog cryptomgr.notests "
        "audit=0 apparmor=0 8250.nr_uarts=1"
    )
    boot_size: int = 31 * disk.MIB
    revision: int = 1
    """Raise it when the code below changes what comes out."""

    @property
    def hash(self) -> str:
        texts = {key: value for key, value in vars(demo_files).items() if key.isupper()}
        return hashlib.sha256(json.dumps([asdict(self), texts]).encode()).hexdigest()[:12]


RECIPE = Recipe()


def ensure_demo_image(
    progress: Progress, *, directory: Path | None = None, refresh: bool = False, recipe: Recipe = RECIPE
) -> BuiltImage:
    """The demo image, built (in about half a minute) unless the cache has it.

    directory: a cache other than the user's; refresh: build again with the packages of today. Needs no root.
    Raises BuildError, or DebianError when a package cannot be had.
    """

    def build(work: Path, progress: Progress) -> Built:
        return _build(work, recipe, progress)

    return ensure_image("demo", recipe.hash, build, progress, directory=directory, refresh=refresh)


def _build(work: Path, recipe: Recipe, progress: Progress) -> Built:
    require_programs(*disk.PROGRAMS)
    progress("demo image: reading Debian's package lists")
    apt = open_archive(work / "apt")
    kernel = apt.current_kernel(recipe.kernel)
    packages = (kernel, recipe.busybox, *recipe.ssh)
    versions = apt.versions(packages)
    progress(f"demo image: downloading {kernel} {versions[kernel]}, busybox and dropbear (about 32 MB)")
    tree = work / "tree"
    apt.unpack(packages, tree)
    progress("demo image: writing the disk")
    files = {
        "syslinux.cfg": _boot_menu(recipe).encode(),
        "vmlinuz": next(tree.glob("boot/vmlinuz-*")).read_bytes(),
        "initrd": _initramfs(tree, recipe).archive(),
    }
    raw, image = work / "demo.raw", work / "demo.qcow2"
    disk.write_boot_disk(raw, files, recipe.boot_size)
    disk.to_qcow2(raw, image)
    return Built(image, versions)


def _boot_menu(recipe: Recipe) -> str:
    return f"DEFAULT demo\nLABEL demo\n LINUX /vmlinuz\n INITRD /initrd\n APPEND {recipe.command_line}\n"


def _initramfs(tree: Path, recipe: Recipe) -> Initramfs:
    root = Initramfs()
    for folder in ("dev", "proc", "sys", "mnt", "www", "run", "var/log", "etc/dropbear"):
        root.directory(folder)
    root.directory("root", 0o700)
    root.directory("root/.ssh", 0o700)
    root.directory("tmp", 0o1777)
    root.link("var/run", "/run")
    root.character_device("dev/console", 5, 1)
    _add_busybox(root, tree)
    _add_modules(root, tree, recipe)
    _add_dropbear(root, tree, recipe)
    _add_texts(root)
    return root


def _add_busybox(root: Initramfs, tree: Path) -> None:
    busybox = tree / "bin/busybox"
    root.file("bin/busybox", busybox.read_bytes(), 0o755)
    for program in disk.run(str(busybox), "--list").split():
        if program != "busybox":
            root.link(f"bin/{program}", "busybox")
    for name in ("init", "sbin/init"):
        root.link(name, "/bin/busybox")
    for name in ("getty", "reboot", "poweroff"):
        root.link(f"sbin/{name}", "/bin/busybox")


def _add_modules(root: Initramfs, tree: Path, recipe: Recipe) -> None:
    modules = tree / "lib/modules"
    early = load_order(modules, recipe.early_modules)
    late = [path for path in load_order(modules, recipe.late_modules) if path not in early]
    for path in early + late:
        root.file(f"lib/modules/{path.name}", path.read_bytes())
    for name, paths in (("early", early), ("late", late)):
        root.file(f"lib/modules/{name}", "".join(f"{path.stem}\n" for path in paths))


def _add_dropbear(root: Initramfs, tree: Path, recipe: Recipe) -> None:
    root.file("sbin/dropbear", (tree / "usr/sbin/dropbear").read_bytes(), 0o755)
    root.file(f"lib64/{recipe.loader}", _library(tree, recipe.loader), 0o755)
    for library in recipe.libraries:
        root.file(f"lib/x86_64-linux-gnu/{library}", _library(tree, library), 0o755)


def _library(tree: Path, name: str) -> bytes:
    for path in sorted(tree.rglob(name)):
        if path.resolve().is_file() and path.resolve().is_relative_to(tree.resolve()):
            return path.resolve().read_bytes()
    raise BuildError(f"none of the packages has {name}")


def _add_texts(root: Initramfs) -> None:
    for path, text in {
        "etc/inittab": demo_files.INITTAB,
        "etc/rc.metadata": demo_files.RC_METADATA,
        "etc/rc.network": demo_files.RC_NETWORK,
        "etc/acpid.conf": demo_files.ACPID_CONF,
        "etc/profile": demo_files.PROFILE,
        "etc/issue": demo_files.ISSUE,
        "etc/passwd": demo_files.ACCOUNTS,
        "etc/group": demo_files.GROUP,
        "etc/os-release": demo_files.OS_RELEASE,
        "etc/shells": "/bin/sh\n",
    }.items():
        root.file(path, text)
    root.file("etc/shadow", demo_files.SHADOW, 0o600)
    for path, script in {
        "etc/rc": demo_files.RC,
        "etc/rc.services": demo_files.RC_SERVICES,
        "etc/rc.shutdown": demo_files.RC_SHUTDOWN,
        "etc/udhcpc.script": demo_files.UDHCPC,
        "etc/acpi/PWRF/00000080": demo_files.POWER_BUTTON,
        "sbin/console-shell": demo_files.CONSOLE_SHELL,
    }.items():
        root.file(path, script, 0o755)


@click.command()
@click.option("--refresh", is_flag=True, help="Build again with today's packages.")
def main(*, refresh: bool) -> None:
    """Build the demo image unless it is in the cache; print its path and SHA-256."""
    try:
        image = ensure_demo_image(print_progress, refresh=refresh)
    except (BuildError, DebianError) as error:
        sys.exit(f"the demo image could not be built: {error}")
    click.echo(f"{image.path}\n{image.sha256}")


if __name__ == "__main__":
    main()
