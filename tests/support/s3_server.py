"""A small S3-compatible server (moto's) for tests; its environment is `tests/clients/s3.lock`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cairn_local.process import HttpProbe, ProcessGroup, ProcessSpec
from support.client_environment import client_environment
from support.ports import LOOPBACK, free_port


@contextmanager
def running_s3(directory: Path) -> Iterator[str]:
    """Its address. It keeps objects in memory and takes any credentials."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    program = str(client_environment("s3").program("moto_server"))
    with ProcessGroup([], directory / "logs") as group:
        group.add(
            ProcessSpec(
                name="s3",
                argv=(program, "-H", LOOPBACK, "-p", str(port)),
                env={"PYTHONUNBUFFERED": "1"},
                ready=HttpProbe(f"{url}/moto-api/"),
                ready_seconds=120.0,
            )
        )
        yield url
