"""The config drive: a small ISO 9660 disk, labelled `config-2`, that tells a guest about itself.

Written by a driver's spawn before the machine is defined. The layout is OpenStack's version 2, so unmodified
cloud images read it; the documents come from `metadata`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pycdlib

from cairn_agent import metadata
from cairn_crds.guest import GuestSpec

VOLUME_ID = "config-2"

_DIRECTORY_MODE = 0o040555
_FILE_MODE = 0o100444


def build_config_drive(path: Path, instance_id: str, spec: GuestSpec) -> None:
    """Write the config drive of an instance to `path`: all of it or nothing, replacing an older one.

    Blocks for some milliseconds: call it in a thread. Raises UserDataInvalid, or OSError for the disk.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        write_iso(temporary, metadata.documents(instance_id, spec, metadata.random_seed()))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_iso(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a synced ISO 9660 image with Joliet and Rock Ridge names; equal contents are stored once."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=4, joliet=3, rock_ridge="1.09", vol_ident=VOLUME_ID, sys_ident="LINUX")
    directories: set[PurePosixPath] = {PurePosixPath("/")}
    first_with: dict[bytes, str] = {}
    for name, content in files:
        place = PurePosixPath("/") / name
        for parent in reversed(place.parents):
            if parent not in directories:
                directories.add(parent)
                iso.add_directory(
                    iso_path=str(parent),
                    rr_name=parent.name,
                    joliet_path=str(parent),
                    file_mode=_DIRECTORY_MODE,
                )
        if (same := first_with.setdefault(content, str(place))) != str(place):
            iso.add_hard_link(iso_old_path=same, iso_new_path=str(place), rr_name=place.name)
            iso.add_hard_link(iso_old_path=same, joliet_new_path=str(place))
        else:
            iso.add_fp(
                io.BytesIO(content),
                len(content),
                iso_path=str(place),
                rr_name=place.name,
                joliet_path=str(place),
                file_mode=_FILE_MODE,
            )
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        iso.write_fp(file)
        file.flush()
        os.fsync(file.fileno())
    iso.close()
