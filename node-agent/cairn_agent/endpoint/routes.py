"""What can be asked of the endpoint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Protocol

from aiohttp import web

from cairn_agent.drivers.api import Console, Diagnostics, MachineNotFound
from cairn_agent.drivers.api_operations import MachineDisk
from cairn_agent.endpoint.access import NODE, Handler, guard
from cairn_agent.endpoint.answers import CALL_SECONDS, BadRequest, bounded, in_time, tell_errors
from cairn_agent.endpoint.streaming import stream
from cairn_agent.metrics import timed

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OPERATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CONSOLE_MAX_BYTES = 1024 * 1024
"""Of one answer; drivers keep about as much."""
QUESTIONS = 32
"""Calls of the hypervisor at a time."""
STREAMS = 8
"""Disks that are read at a time."""


class DiskExports(Protocol):
    """Disks that other hosts may fetch (`api_operations.Moving`)."""

    async def export_disks(self, node: str, instance_id: str, operation_id: str) -> Sequence[MachineDisk]: ...


class Machines(Console, Diagnostics, DiskExports, Protocol):
    """What the endpoint needs of a driver."""


class Routes:
    """The handlers over one driver."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines

    def table(self) -> list[web.RouteDef]:
        """Every route, with its limits."""

        def question(handler: Handler) -> Handler:
            return bounded(in_time(handler), QUESTIONS)

        machine = "/v1/machines/{instance_id}"
        disks = machine + "/disks/{operation_id}"
        # Not HEAD: nobody asks for it.
        return [
            web.get(f"{machine}/console", question(self.console), allow_head=False),
            web.get(f"{machine}/diagnostics", question(self.diagnostics), allow_head=False),
            web.get(disks, question(self.disks), allow_head=False),
            web.get(disks + "/{name}", bounded(self.disk, STREAMS), allow_head=False),
        ]

    async def console(self, request: web.Request) -> web.StreamResponse:
        """The last `bytes` of the console log, as they are."""
        wanted = request.query.get("bytes", str(CONSOLE_MAX_BYTES))
        if not re.fullmatch(r"[0-9]{1,9}", wanted) or int(wanted) > CONSOLE_MAX_BYTES:
            raise BadRequest(f"bytes is a whole number up to {CONSOLE_MAX_BYTES}")
        instance_id = _instance_id(request)
        with timed("console_log"):
            log = await self._machines.console_log(request[NODE], instance_id, int(wanted))
        return web.Response(body=log, content_type="application/octet-stream")

    async def diagnostics(self, request: web.Request) -> web.StreamResponse:
        """What the machine has used."""
        instance_id = _instance_id(request)
        with timed("diagnostics"):
            found = await self._machines.diagnostics(request[NODE], instance_id)
        return web.json_response(asdict(found))

    async def disks(self, request: web.Request) -> web.StreamResponse:
        """The names and sizes of what is handed out."""
        found = await self._exported(request)
        return web.json_response([{"name": disk.name, "size": disk.size} for disk in found.values()])

    async def disk(self, request: web.Request) -> web.StreamResponse:
        """One disk. Its name only chooses among those that the driver hands out."""
        async with asyncio.timeout(CALL_SECONDS):
            found = (await self._exported(request)).get(request.match_info["name"])
        if found is None:
            raise MachineNotFound("no such disk is handed out")
        return await stream(request, found)

    async def _exported(self, request: web.Request) -> Mapping[str, MachineDisk]:
        instance_id, operation_id = _instance_id(request), request.match_info["operation_id"]
        if not OPERATION.fullmatch(operation_id):
            raise MachineNotFound("there is no such operation")
        found = await self._machines.export_disks(request[NODE], instance_id, operation_id)
        return {disk.name: disk for disk in found}


def _instance_id(request: web.Request) -> str:
    instance_id = request.match_info["instance_id"]
    if not UUID.fullmatch(instance_id):
        raise MachineNotFound(f"no machine {instance_id[:36]}")
    return instance_id


def make_app(routes: Routes, tokens: Mapping[str, str]) -> web.Application:
    """The endpoint's application. `tokens`: each node's own. It reads no bodies."""
    app = web.Application(middlewares=[tell_errors, guard(tokens)], client_max_size=1)
    app.add_routes(routes.table())
    return app
