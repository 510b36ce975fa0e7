"""The gateway as it is put together: ids, versions, documents and odd values over real handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import structlog

from support.gateway import GatewayUnderTest, gateway_app

COMPUTE = "/compute/v2.1"
GLOBAL_ID = "req-0a1b2c3d-0a1b-4c2d-8e3f-0123456789ab"


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayUnderTest]:
    """A gateway over SQLite; no cluster is needed."""
    async with gateway_app(f"sqlite+aiosqlite:///{tmp_path}/cairn.db", directory=tmp_path) as gateway:
        await gateway.project("green")
        yield gateway


@pytest_asyncio.fixture
async def member(gateway: GatewayUnderTest) -> httpx.AsyncClient:
    return gateway.client(await gateway.caller("green"))


async def test_request_ids_are_in_the_answer_and_in_every_line_of_the_log(member: httpx.AsyncClient) -> None:
    merged = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merged]) as logs:
        answer = await member.get(f"{COMPUTE}/servers", headers={"X-OpenStack-Request-ID": GLOBAL_ID})
    request_id = answer.headers["x-openstack-request-id"]
    assert answer.headers["x-compute-request-id"] == request_id != GLOBAL_ID
    [line] = [line for line in logs if line["event"] == "request"]
    assert (line["request_id"], line["global_request_id"]) == (request_id, GLOBAL_ID)
    image = await member.get("/image/v2/images")
    assert "x-compute-request-id" not in image.headers
    assert image.headers["x-openstack-request-id"] != request_id


async def test_a_token_is_in_no_line_of_the_log(gateway: GatewayUnderTest, member: httpx.AsyncClient) -> None:
    token = member.headers["X-Auth-Token"]
    password = "correct-horse-battery"
    sign_in = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "ann", "domain": {"id": "default"}, "password": password}},
            }
        }
    }
    with structlog.testing.capture_logs() as logs:
        await member.get(f"{COMPUTE}/servers?X-Auth-Token={token}&signature={token}")
        await member.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
        await member.post("/identity/v3/auth/tokens", json=sign_in)
    assert len([line for line in logs if line["event"] == "request"]) == 3
    assert token not in str(logs)
    assert password not in str(logs)


async def test_a_version_that_is_not_served_is_told_back(gateway: GatewayUnderTest) -> None:
    """Nova API: 406 has the version that was asked for in its headers."""
    client = gateway.client(await gateway.caller("green"), "2.999")
    answer = await client.get(f"{COMPUTE}/servers")
    assert answer.status_code == 406
    assert answer.headers["openstack-api-version"] == "compute 2.999"
    assert answer.headers["x-openstack-nova-api-version"] == "2.999"
    assert "OpenStack-API-Version" in answer.headers["vary"]
    nobody = gateway.client(None, "2.999")
    assert (await nobody.get(f"{COMPUTE}/servers")).status_code == 401


@pytest.mark.parametrize(
    "url",
    [
        "/servers?name=%00",
        "/servers/%00",
        "/servers?limit=99999999999999999999999",
        "/servers?limit=9223372036854775807",
        "/servers?marker=%F0%9F%82%A1",
        "/servers?changes-since=0001-01-01T00:00:00%2B23:59",
        "/servers?ip=(((",
        "/servers?name=" + "(a%2B)%2B" * 100,
        "/servers/detail?sort_key=%27",
        "/flavors?minRam=9223372036854775808",
        "/flavors/99999999999999999999",
        "/os-keypairs/%ED%A0%80",
    ],
)
async def test_odd_values_are_answered_without_500(member: httpx.AsyncClient, url: str) -> None:
    answer = await member.get(COMPUTE + url)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert next(iter(answer.json().values()))["code"] == answer.status_code


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_what_there_is_is_not_told_to_strangers(gateway: GatewayUnderTest, method: str) -> None:
    nobody = gateway.client(None)
    for path in ("/servers", "/nothing/at/all", "/flavors/1/nothing"):
        assert (await nobody.request(method, COMPUTE + path)).status_code == 401, path


async def test_every_api_has_its_document_without_a_token(gateway: GatewayUnderTest) -> None:
    nobody = gateway.client(None)
    page = await nobody.get("/docs")
    assert page.status_code == 200
    start = (await nobody.get("/docs/start.js")).text
    for address in ("/compute/v2.1", "/identity/v3", "/image/v2", "/network/v2.0"):
        assert f'"url":"{address}/openapi.json"' in start
        answer = await nobody.get(f"{address}/openapi.json")
        assert answer.status_code == 200
        assert answer.json()["openapi"] == "3.1.0"
        assert len(answer.json()["paths"]) > 5


async def test_head_and_trace(member: httpx.AsyncClient) -> None:
    shown, asked = await member.get(f"{COMPUTE}/servers"), await member.head(f"{COMPUTE}/servers")
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-length"] == shown.headers["content-length"]
    assert (await member.request("TRACE", f"{COMPUTE}/servers")).status_code == 405
