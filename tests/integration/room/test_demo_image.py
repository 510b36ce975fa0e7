"""The demo image boots under emulation and does what its console says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cairn_gateway.nova.servers.passwords import hash_password
from cairn_local.images import BuiltImage
from cairn_local.images.demo import ensure_demo_image

from .guests import Lab, ssh, ssh_by_password

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def demo_image() -> BuiltImage:
    return ensure_demo_image(print)


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_it_comes_up_with_its_name_address_key_and_user_data(
    lab: Lab, demo_image: BuiltImage, ssh_key: Path, machine: str
) -> None:
    public_key = ssh_key.with_suffix(".pub").read_text()
    script = "#!/bin/sh\necho user data of $(hostname)\n"
    guest = lab.boot(demo_image, 5, user_data=script, public_key=public_key, machine=machine)
    assert guest.wait_for("cairn-demo: userspace up after").endswith(" s")
    assert guest.wait_for("cairn-demo: hostname") == "guest-5"
    assert guest.wait_for("cairn-demo: authorized keys") == "1"
    assert guest.wait_for("cairn-demo: network eth0") == guest.address
    guest.wait_for("user data of guest-5")
    assert guest.wait_for("user data ended with status") == "0"
    guest.wait_for("root@guest-5:")
    assert ssh(lab, ssh_key, f"root@{guest.address}", "hostname").strip() == "guest-5"
    assert "guest-5" in lab.run("busybox", "wget", "-q", "-O", "-", f"http://{guest.address}/")


def test_root_has_the_password_that_the_server_was_made_with(
    lab: Lab, demo_image: BuiltImage, tmp_path: Path
) -> None:
    guest = lab.boot(demo_image, 5, password_hash=hash_password("open sesame"))
    guest.wait_for("cairn-demo: password set")
    guest.wait_for("cairn-demo: ssh on port 22")
    target = f"root@{guest.address}"
    assert ssh_by_password(lab, tmp_path, "open sesame", target, "hostname").strip() == "guest-5"
    with pytest.raises(subprocess.CalledProcessError):
        ssh_by_password(lab, tmp_path, "another", target, "hostname")


def test_it_powers_off_and_reboots_when_asked_and_its_disk_remembers(
    lab: Lab, demo_image: BuiltImage
) -> None:
    guest = lab.boot(demo_image, 5)
    assert guest.wait_for("cairn-demo: boot").startswith("1 ")
    guest.wait_for("cairn-demo: ready")
    guest.domain.reboot()
    guest.wait_for("cairn-demo: ready", times=2)
    guest.domain.shutdown()
    guest.wait_until_off()
    assert guest.console.count("cairn-demo: power button") == 2
    assert "cairn-demo: boot 2 of disk" in guest.console


def test_guests_reach_each_other_and_stopping_the_room_shuts_them_down(
    lab: Lab, demo_image: BuiltImage
) -> None:
    first = lab.boot(demo_image, 5)
    first.wait_for("cairn-demo: ready")
    ping = f"#!/bin/sh\nping -c 1 -w 20 {first.address} > /dev/null && echo the other guest answers\n"
    second = lab.boot(demo_image, 6, user_data=ping)
    second.wait_for("the other guest answers")
    second.wait_for("root@guest-6:")
    lab.room.shutdown_seconds = 60
    lab.room.stop()
    assert all("cairn-demo: shutting down" in guest.console for guest in (first, second))


def test_without_a_config_drive_on_virtio_it_looks_elsewhere(lab: Lab, demo_image: BuiltImage) -> None:
    guest = lab.boot(demo_image, 5, config_drive=("hdc", "ide", "cdrom"))
    guest.wait_for("cairn-demo: config drive /dev/sr0")
    guest.wait_for("cairn-demo: hostname guest-5")


def test_it_is_built_once(demo_image: BuiltImage) -> None:
    said: list[str] = []
    assert ensure_demo_image(said.append) == demo_image
    assert said == []
