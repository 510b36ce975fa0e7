"""Choosing a driver by name; only the chosen one's dependencies are imported."""

from __future__ import annotations

from cairn_agent.drivers.driver import Driver
from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings, VolumeSettings

DRIVERS = ("libvirt", "fake")


def load_driver(
    name: str,
    settings: LibvirtSettings | FakeSettings | None = None,
    volumes: VolumeSettings | None = None,
) -> Driver:
    """The driver called `name`, not yet open; default settings where none are given.

    Raises ValueError for an unknown name or another driver's settings.
    """
    match name, settings:
        case "fake", FakeSettings() | None:
            from cairn_agent.drivers.fake import FakeDriver

            return FakeDriver(settings, volumes=volumes)
        case "libvirt", LibvirtSettings() | None:
            return _libvirt_driver(settings or LibvirtSettings(), volumes or VolumeSettings())
        case _:
            if name in DRIVERS:
                raise ValueError(f"{type(settings).__name__} are not the settings of the driver {name!r}")
            raise ValueError(f"there is no driver {name!r}; choose one of {', '.join(DRIVERS)}")


def _libvirt_driver(settings: LibvirtSettings, volumes: VolumeSettings) -> Driver:
    from cairn_agent.config_drive import build_config_drive
    from cairn_agent.drivers.libvirt.driver import LibvirtDriver
    from cairn_agent.images import ImageCache

    images = ImageCache(
        settings.images_directory,
        max_bytes=settings.images_max_gib * 1024**3,
        file_roots=settings.image_file_roots,
    )
    return LibvirtDriver(settings, images, build_config_drive, volumes)
