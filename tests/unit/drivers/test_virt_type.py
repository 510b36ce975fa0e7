"""KVM only where it is proven to work."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn_agent.drivers.api import Unsupported
from cairn_agent.drivers.libvirt.virt_type import choose_virt_type, kvm_works
from cairn_agent.drivers.settings import VirtType


@pytest.mark.parametrize(
    ("wanted", "offered", "works", "chosen"),
    [
        (VirtType.AUTO, ["qemu", "kvm"], True, "kvm"),
        (VirtType.AUTO, ["qemu", "kvm"], False, "qemu"),
        (VirtType.AUTO, ["qemu"], True, "qemu"),
        (VirtType.AUTO, ["test"], False, "test"),
        (VirtType.KVM, ["qemu", "kvm"], False, "kvm"),
        (VirtType.QEMU, ["qemu", "kvm"], True, "qemu"),
    ],
)
def test_choice(wanted: VirtType, offered: list[str], works: bool, chosen: str) -> None:
    assert choose_virt_type(wanted, offered, kvm_works=works) == chosen


@pytest.mark.parametrize(("wanted", "offered"), [(VirtType.KVM, ["qemu"]), (VirtType.AUTO, [])])
def test_what_is_not_offered_is_refused(wanted: VirtType, offered: list[str]) -> None:
    with pytest.raises(Unsupported):
        choose_virt_type(wanted, offered, kvm_works=True)


@pytest.mark.parametrize(
    ("module", "works"), [("kvm_intel", True), ("kvm_amd", True), ("kvm_pvm", False), ("kvm", False)]
)
def test_on_x86_only_hardware_virtualisation_counts(tmp_path: Path, module: str, works: bool) -> None:
    (tmp_path / module).mkdir()
    device = tmp_path / "device"
    device.touch()
    assert kvm_works("x86_64", tmp_path, str(device)) is works


def test_without_the_device_there_is_no_kvm(tmp_path: Path) -> None:
    (tmp_path / "kvm_intel").mkdir()
    assert not kvm_works("x86_64", tmp_path, str(tmp_path / "none"))
