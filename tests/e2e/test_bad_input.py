"""Bad input that only a real host finds out: a clear word, nothing left behind, and on once it is mended."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.machine_cloud import BOOT_SECONDS, Body, MachineCloud

pytestmark = pytest.mark.qemu
WRONG = "1" * 64


@pytest.fixture
def demo_image(cloud: MachineCloud) -> Body:
    """The demo Image's spec."""
    spec: Body = json.loads(cloud.kubectl("get", "image", "demo", "-o", "json"))["spec"]
    return spec


@pytest.fixture
def instance(cloud: MachineCloud) -> Iterator[str]:
    """The name of an instance that is gone afterwards; its image and flavor are called the same."""
    cloud.settle()
    yield "odd"
    cloud.delete("odd")
    for kind in ("image", "flavor"):
        cloud.kubectl("delete", kind, "odd", "--ignore-not-found")


def _create(cloud: MachineCloud, image: dict[str, Any], disk_gib: int = 1) -> None:
    cloud.apply(
        cloud.resource("Flavor", "odd", vcpus=1, memoryMiB=128, diskGiB=disk_gib),
        cloud.resource("Image", "odd", **image),
        cloud.resource("Instance", "odd", flavor="odd", image="odd"),
    )


def _mend(cloud: MachineCloud, kind: str, **spec: Any) -> None:
    cloud.kubectl("patch", kind, "odd", "--type=merge", "-p", json.dumps({"spec": spec}))


def _ready(cloud: MachineCloud) -> dict[str, str]:
    conditions = cloud.get("odd").get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


def _assert_nothing_on_the_host(cloud: MachineCloud, before: str) -> None:
    body = cloud.get("odd")
    instance_id = body["status"]["instanceId"]
    assert not body["status"].get("host")
    assert not body["status"].get("addresses")
    assert not list(cloud.home.instances.glob(f"*{instance_id}*"))
    assert instance_id not in cloud.virsh("list", "--all", "--uuid")
    assert cloud.dhcp_entries() == before
    assert not [path for path in cloud.home.images.rglob("*") if WRONG in path.name or "part" in path.name]
    assert instance_id not in cloud.kubectl("get", "guests", "-A")


def _active(cloud: MachineCloud) -> None:
    body = cloud.phase("odd", "Active", 180)
    cloud.wait_console(body["status"]["instanceId"], "cairn-demo: ready", seconds=BOOT_SECONDS)


def test_an_image_with_another_checksum(
    cloud: MachineCloud, web: str, instance: str, demo_image: Body
) -> None:
    before = cloud.dhcp_entries()
    _create(cloud, {**demo_image, "sha256": WRONG})
    message = cloud.phase(instance, "Error")["status"]["fault"]["message"]
    assert "sha256" in message.lower()
    assert demo_image["sha256"] in message, "what it is, beside what it should be"
    cloud.told(instance, "ImageCorrupt")
    _assert_nothing_on_the_host(cloud, before)

    _mend(cloud, "image", sha256=demo_image["sha256"])
    _active(cloud)


@contextlib.contextmanager
def _serving(folder: Path, port: int) -> Iterator[None]:
    """An image server."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_image_server_that_is_down(
    cloud: MachineCloud, web: str, instance: str, demo_image: Body, tmp_path: Path
) -> None:
    port = _closed_port()
    # Other content than the demo image's, or the host would take that from its cache.
    image = tmp_path / "odd.qcow2"
    original = demo_image["url"].removeprefix("file://")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", "-c", original, str(image)], check=True)
    digest = subprocess.run(["sha256sum", str(image)], check=True, capture_output=True, text=True)
    url = f"http://127.0.0.1:{port}/odd.qcow2"
    _create(cloud, {**demo_image, "url": url, "sha256": digest.stdout.split()[0]})
    cloud.wait("the reason", lambda: _ready(cloud).get("reason") == "ImageUnavailable")
    assert url in _ready(cloud)["message"]
    assert url in cloud.told(instance, "ImageUnavailable")
    assert cloud.get(instance)["status"]["phase"] == "Building"

    with _serving(tmp_path, port):
        _active(cloud)


def test_a_root_disk_smaller_than_the_image(
    cloud: MachineCloud, web: str, instance: str, demo_image: Body, tmp_path: Path
) -> None:
    port = _closed_port()
    image = tmp_path / "large.qcow2"
    original = demo_image["url"].removeprefix("file://")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", original, str(image)], check=True)
    subprocess.run(["qemu-img", "resize", "-q", str(image), "2G"], check=True)
    os.chmod(image, 0o644)
    digest = subprocess.run(["sha256sum", str(image)], check=True, capture_output=True, text=True)
    url = f"http://127.0.0.1:{port}/large.qcow2"
    before = cloud.dhcp_entries()
    with _serving(tmp_path, port):
        _create(cloud, {**demo_image, "url": url, "sha256": digest.stdout.split()[0]})
        message = cloud.phase(instance, "Error")["status"]["fault"]["message"]
        for word in ("1 GiB", "2 GiB", "larger flavor"):
            assert word in message
        cloud.told(instance, "DiskTooSmall")
        _assert_nothing_on_the_host(cloud, before)

        _mend(cloud, "flavor", diskGiB=2)
        _active(cloud)


def test_a_file_that_images_may_not_come_from(
    cloud: MachineCloud, web: str, instance: str, demo_image: Body
) -> None:
    before = cloud.dhcp_entries()
    _create(cloud, {**demo_image, "url": "file:///etc/shadow", "sha256": WRONG})
    message = cloud.phase(instance, "Error")["status"]["fault"]["message"]
    assert "file:///etc/shadow is in none of the folders" in message
    _assert_nothing_on_the_host(cloud, before)
