"""Choosing a driver by name; only the chosen one's dependencies are imported."""

from __future__ import annotations

from cairn_agent.drivers.api import Driver
from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings

DRIVERS = ("libvirt", "fake")


def load_driver(name: str, settings: LibvirtSettings | FakeSettings | None = None) -> Driver:
    """The driver called `name`, not yet open; its default settings where none are given.

    Raises ValueError for an unknown name or another driver's settings.
    """
    match name, settings:
        case "fake", FakeSettings() | None:
            from cairn_agent.drivers.fake import FakeDriver

            return FakeDriver(settings)
        case _:
            if name in DRIVERS:
                raise ValueError(f"{type(settings).__name__} are not the settings of the driver {name!r}")
            raise ValueError(f"there is no driver {name!r}; choose one of {', '.join(DRIVERS)}")
