"""What the processes log: lines that programs can read and ids that tie them together, and no secret."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.machine_cloud import CAIRN, MachineCloud

pytestmark = pytest.mark.qemu
PEM_LINE = re.compile(r"^[A-Za-z0-9+/=]{40,}$")


def _log(cloud: MachineCloud, process: str) -> Path:
    return cloud.home.supervisor / "logs" / f"{process}.log"


def _lines(cloud: MachineCloud, process: str) -> list[dict[str, object]]:
    """Without one that is still being written."""
    whole, _, _ = _log(cloud, process).read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


@pytest.mark.parametrize("process", sorted(CAIRN))
def test_every_line_is_json(cloud: MachineCloud, web: str, process: str) -> None:
    for line in _lines(cloud, process):
        assert {"timestamp", "level", "event", "process"} <= set(line)
        assert line["process"] == process


@pytest.mark.parametrize("process", ["conductor", "scheduler", "agent"])
def test_an_instances_story_is_found_by_its_id(cloud: MachineCloud, web: str, process: str) -> None:
    assert [line for line in _lines(cloud, process) if line.get("instance_id") == web]


def test_no_log_has_a_secret(cloud: MachineCloud, web: str) -> None:
    """Of what was given to the guest, and of what the processes themselves are given."""
    password = f"password-{secrets.token_hex(8)}"
    spec = {"flavor": "m1.nano", "image": "demo", "keyPair": "default"}
    cloud.apply(
        cloud.resource("Instance", "secretive", **spec, userData=f"#!/bin/sh\n: {password}\n"),
    )
    cloud.phase("secretive", "Active", 180)
    cloud.delete("secretive")

    known = {password, base64.b64encode(password.encode()).decode()[:16]}
    known |= set(_secrets(cloud.home.root))
    assert len(known) > 10
    logs = [*(cloud.home.supervisor / "logs").iterdir(), *(cloud.home.room / "log").rglob("*.log")]
    for log in logs:
        text = log.read_text(errors="replace")
        found = [secret[:12] for secret in known if secret in text]
        assert not found, f"{log.name} has secrets that begin with {found}"


def _secrets(home: Path) -> Iterator[str]:
    """Every private key (line by line) and every token below `home`."""
    for path in home.rglob("*"):
        if path.suffix == ".key" or path.name in ("id_ed25519",):
            yield from (line for line in path.read_text().splitlines() if PEM_LINE.match(line))
        elif "kubeconfig" in path.name and path.is_file():
            for user in yaml.safe_load(path.read_text())["users"]:
                for field in ("token", "client-key-data", "password"):
                    if value := user["user"].get(field):
                        yield value
