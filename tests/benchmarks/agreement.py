"""Do several gateways behave as one? Counts what would show that they do not; every count should be 0."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import aiohttp

from benchmarks.api import VERSION, in_another_process, sign_in
from support.openstack_cloud import OpenStackCloud

PROJECT = "limited"
LIMIT = 10
ATTEMPTS = 40
TIMES = 50
SERVERS = "/compute/v2.1/servers"


def disagreements(cloud: OpenStackCloud, target: dict[str, Any]) -> dict[str, int]:
    """Answers that were old, tokens that were taken after they were revoked, servers beyond the quota."""
    project = cloud.identity.create("project", name=PROJECT, domain_id="default")
    user = cloud.identity.create("user", name=PROJECT, password=PROJECT, domain_id="default")
    cloud.identity.grant(user["id"], project["id"], "member")
    quotas = {"instances": LIMIT, "cores": -1, "ram": -1}
    cloud.call("PUT", f"/compute/v2.1/os-quota-sets/{project['id']}", {"quota_set": quotas})
    found: dict[str, int] = in_another_process(_count, target)
    return found


async def _count(target: dict[str, Any]) -> dict[str, int]:
    async with aiohttp.ClientSession() as session:
        pairs = itertools.cycle(itertools.permutations(target["urls"], 2))
        headers = await _token(session, target["urls"][0])
        refused = 0
        for other in target["urls"]:
            refused += await _status(session, "GET", other + SERVERS, headers) != 200
        beyond = await _fill_quota(session, target, headers)
        async with session.get(target["urls"][0] + SERVERS, headers=headers) as got:
            server = (await got.json())["servers"][0]["id"]
        old = 0
        for number in range(TIMES):
            here, there = next(pairs)
            change = {"server": {"name": f"name-{number}"}}
            async with session.put(f"{here}{SERVERS}/{server}", headers=headers, json=change) as done:
                assert done.status == 200, await done.text()
            async with session.get(f"{there}{SERVERS}/{server}", headers=headers) as got:
                old += (await got.json())["server"]["name"] != f"name-{number}"
        return {"refused_tokens": refused, "beyond_quota": beyond, "old_answers": old,
                "revoked_tokens_taken": await _revoke(session, pairs)}  # fmt: skip


async def _fill_quota(session: aiohttp.ClientSession, target: dict[str, Any], headers: Any) -> int:
    wish = {"name": "x", "flavorRef": target["flavor"], "imageRef": target["image"], "networks": "none"}
    urls = itertools.cycle(target["urls"])

    async def attempt() -> bool:
        async with session.post(f"{next(urls)}{SERVERS}", headers=headers, json={"server": wish}) as got:
            assert got.status in (202, 403), await got.text()
            return got.status == 202

    return abs(sum(await asyncio.gather(*(attempt() for _ in range(ATTEMPTS)))) - LIMIT)


async def _revoke(session: aiohttp.ClientSession, pairs: Any) -> int:
    """Known at both gateways, revoked at one, asked with at the other."""
    taken = 0
    for _ in range(TIMES // 5):
        here, there = next(pairs)
        headers = await _token(session, here)
        assert await _status(session, "GET", there + SERVERS, headers) == 200
        gone = {**headers, "X-Subject-Token": headers["X-Auth-Token"]}
        assert await _status(session, "DELETE", f"{here}/identity/v3/auth/tokens", gone) == 204
        taken += await _status(session, "GET", there + SERVERS, headers) != 401
    return taken


async def _token(session: aiohttp.ClientSession, url: str) -> dict[str, str]:
    async with session.post(f"{url}/identity/v3/auth/tokens", json=sign_in(PROJECT, PROJECT)) as got:
        assert got.status == 201, await got.text()
        return {"X-Auth-Token": got.headers["X-Subject-Token"], **VERSION}


async def _status(session: aiohttp.ClientSession, method: str, url: str, headers: Any) -> int:
    async with session.request(method, url, headers=headers) as got:
        await got.read()
        return got.status
