"""The Secret: written, believed, asked anew."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from cairn_agent.endpoint import service
from cairn_agent.endpoint.service import Endpoint, url_host
from cairn_agent.settings import AgentSettings
from cairn_crds.peer import Peer
from cairn_runtime.agent_errors import AgentUnreachable, TokenRefused
from cairn_runtime.kubernetes import Forbidden, Kubernetes
from cairn_runtime.peers import Peers, peer_in, secret_of
from unit.endpoint.conftest import NODE, House, Secrets

PEER = Peer(url="https://192.0.2.7:9775", certificate="-----BEGIN", token="ab")


async def test_each_node_has_a_secret_with_a_token_of_its_own(house: House) -> None:
    await house.secrets.wait_for(NODE, "node-2")
    assert house.secrets.read(NODE, "url") == house.secrets.read("node-2", "url") == house.peer.url
    assert house.secrets.read(NODE, "certificate") == house.peer.certificate
    assert house.secrets.read(NODE, "token") == house.peer.token != house.secrets.read("node-2", "token")


async def test_a_secret_that_is_taken_away_comes_back(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.secrets.wait_for(NODE, "node-2")
    await house.endpoint.stop()
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(service, "AGAIN_SECONDS", 0.01)
    settings = AgentSettings(nodes=[NODE], endpoint_host="127.0.0.1")
    endpoint = Endpoint(settings, cast(Kubernetes, house.secrets), house.driver)
    house.secrets.error = Forbidden(403, "Forbidden", "not yet")
    await endpoint.start()
    await asyncio.sleep(0.05)
    house.secrets.error = None
    for _ in range(2):
        house.secrets.bodies.clear()
        await house.secrets.wait_for(NODE)
        assert house.secrets.read(NODE, "token") == endpoint.peers[NODE].token
    await endpoint.stop()


@pytest.mark.parametrize(
    ("host", "told_host", "expected"),
    [
        ("", "compute-1.example.org", "compute-1.example.org"),
        ("192.0.2.7", None, "192.0.2.7"),
        ("", None, "198.51.100.1"),
        ("::", None, "198.51.100.1"),
    ],
)
def test_what_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, host: str, told_host: str | None, expected: str
) -> None:
    monkeypatch.setattr(service.this_host, "address", lambda: "198.51.100.1")
    assert url_host(AgentSettings(endpoint_host=host, endpoint_url_host=told_host)) == expected


def test_a_secret_is_read_as_it_was_written() -> None:
    assert peer_in(NODE, secret_of(NODE, PEER)) == PEER


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"url": "!"}}, {"data": {"token": "YQ=="}}])
def test_a_secret_that_makes_no_sense_is_no_endpoint(body: dict[str, object]) -> None:
    with pytest.raises(AgentUnreachable):
        peer_in(NODE, body)


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.7:1", "https://192.0.2.7:1/x", "https://a@b", "https://a?x=", "file:///etc/passwd"],
)
def test_a_host_cannot_send_requests_elsewhere(url: str) -> None:
    with pytest.raises(AgentUnreachable):
        peer_in(NODE, secret_of(NODE, PEER.model_copy(update={"url": url})))


async def test_the_secret_is_read_once_for_many_questions() -> None:
    secrets = Secrets()
    secrets.bodies[NODE] = secret_of(NODE, PEER)
    peers = Peers(cast(Kubernetes, secrets))
    assert [await peers.get(NODE) for _ in range(5)] == [PEER] * 5
    assert secrets.reads == 1


@pytest.mark.parametrize("error", [AgentUnreachable, TokenRefused])
async def test_an_agent_that_was_started_anew_is_found_again(error: type[Exception]) -> None:
    secrets = Secrets()
    secrets.bodies[NODE] = secret_of(NODE, PEER)
    peers = Peers(cast(Kubernetes, secrets))
    await peers.get(NODE)
    now = PEER.model_copy(update={"token": "cd"})
    secrets.bodies[NODE] = secret_of(NODE, now)
    asked: list[Peer] = []

    async def question(peer: Peer) -> str:
        asked.append(peer)
        if peer != now:
            raise error("old")
        return "answer"

    assert await peers.ask(NODE, question) == "answer"
    assert asked == [PEER, now]


async def test_an_agent_that_is_away_is_asked_once() -> None:
    secrets = Secrets()
    secrets.bodies[NODE] = secret_of(NODE, PEER)
    peers = Peers(cast(Kubernetes, secrets))
    asked: list[Peer] = []

    async def question(peer: Peer) -> str:
        asked.append(peer)
        raise AgentUnreachable("away")

    with pytest.raises(AgentUnreachable):
        await peers.ask(NODE, question)
    assert asked == [PEER]


async def test_a_node_that_has_told_of_nothing() -> None:
    with pytest.raises(AgentUnreachable):
        await Peers(cast(Kubernetes, Secrets())).get(NODE)
