"""Debian packages taken apart for an image; nothing of them is installed on the machine."""

from __future__ import annotations

import re
from pathlib import Path

from cairn_local.control_plane.debian import DebianError, PrivateApt

_DEPENDS = re.compile(r"^\s+Depends: (\S+)$", re.MULTILINE)
_VERSION = re.compile(r"^\s+Candidate: (\S+)$", re.MULTILINE)


class ImagePackages(PrivateApt):
    """The machine's own Debian archive, asked for what images are made of."""

    def current_kernel(self, meta_package: str) -> str:
        """The package that a kernel's meta package stands for now. Raises DebianError."""
        for name in _DEPENDS.findall(self._run("apt-cache", "depends", meta_package).stdout):
            if name.startswith("linux-image-"):
                return str(name)
        raise DebianError(f"{meta_package} depends on no kernel in this machine's Debian archive")

    def versions(self, packages: tuple[str, ...]) -> dict[str, str]:
        """The version of each that `unpack` would take. Raises DebianError for one that is missing."""
        found: dict[str, str] = {}
        for package in packages:
            match = _VERSION.search(self._run("apt-cache", "policy", package).stdout)
            if match is None or match[1] == "(none)":
                raise DebianError(f"this machine's Debian archive has no package {package}")
            found[package] = match[1]
        return found


def open_archive(directory: Path) -> ImagePackages:
    """An archive with fresh lists; its state is kept in `directory`."""
    apt = ImagePackages(directory)
    apt.update()
    return apt
