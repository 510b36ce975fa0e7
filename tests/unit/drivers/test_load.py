"""Choosing a driver by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from cairn_agent.drivers.load import load_driver
from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings


@pytest.mark.parametrize("name", ["fake", "libvirt"])
def test_known_names(name: str) -> None:
    assert load_driver(name).name == name


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="libvirt, fake"):
        load_driver("hyper-v")


def test_settings_of_another_driver_are_refused() -> None:
    with pytest.raises(ValueError, match="FakeSettings are not the settings"):
        load_driver("libvirt", FakeSettings())


def test_the_fake_driver_needs_no_libvirt() -> None:
    program = (
        "import sys; from cairn_agent.drivers.load import load_driver; load_driver('fake');"
        "sys.exit('libvirt' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_sockets_must_fit_into_their_paths() -> None:
    LibvirtSettings(run_directory=Path("/" + "r" * 62))
    with pytest.raises(ValidationError, match="1 bytes too long"):
        LibvirtSettings(run_directory=Path("/" + "r" * 63))
