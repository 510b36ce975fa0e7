"""The Debian image comes up by cloud-init with what the config drive says, under emulation."""

from __future__ import annotations

from pathlib import Path

import pytest
from passlib.hash import sha512_crypt

from cairn_gateway.nova.servers.passwords import hash_password
from cairn_local.images import BuiltImage
from cairn_local.images.debian import ensure_debian_image

from .guests import Lab, ssh

pytestmark = [pytest.mark.qemu, pytest.mark.slow]


@pytest.fixture(scope="module")
def debian_image() -> BuiltImage:
    return ensure_debian_image(print)


def test_cloud_init_gives_it_its_name_address_key_and_user_data(
    lab: Lab, debian_image: BuiltImage, ssh_key: Path
) -> None:
    script = "#!/bin/sh\necho user data ran on $(hostname) > /dev/console\n"
    public_key = ssh_key.with_suffix(".pub").read_text()
    guest = lab.boot(
        debian_image, 5, user_data=script, public_key=public_key, machine="q35", memory=512, disk_size="3G",
        password_hash=hash_password("open sesame"),
    )  # fmt: skip
    guest.wait_for("user data ran on guest-5", seconds=400)
    guest.wait_for("DataSourceConfigDrive", seconds=60)
    look = "hostname; sudo cloud-init status --wait; df --output=size / | tail -1"
    name, *status, size = ssh(lab, ssh_key, f"debian@{guest.address}", look).split("\n")[:-1]
    assert name == "guest-5"
    assert "status: done" in status[-1]
    assert int(size) > 2 * 1024**2
    shadow = ssh(lab, ssh_key, f"debian@{guest.address}", "sudo getent shadow debian").split(":")
    assert sha512_crypt.verify("open sesame", shadow[1])
    assert shadow[2] != "0", "the password must not be one that has to be changed at the first login"
    guest.domain.shutdown()
    guest.wait_until_off(120)
