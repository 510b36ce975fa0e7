"""Who may ask for what."""

from __future__ import annotations

import aiohttp
import pytest

from cairn_agent.endpoint.certificate import make_certificate
from cairn_crds.peer import Peer
from cairn_runtime.agent_client import fingerprint
from cairn_runtime.agent_errors import AgentUnreachable, MachineNotFound, TokenRefused
from cairn_runtime.peer_tokens import disks_token, new_token, opens_all, opens_disks
from cairn_runtime.peers import for_disks
from unit.endpoint.conftest import NODE, OPERATION, House

OTHER = "00000000-0000-4000-8000-000000000000"


def test_tokens_are_long_and_never_the_same() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert all(len(bytes.fromhex(new_token())) == 32 for _ in range(10))


def test_a_derived_token_opens_one_machine_for_one_operation() -> None:
    token = new_token()
    derived = disks_token(token, "a", "1")
    assert opens_disks(token, derived, "a", "1")
    assert not opens_disks(token, derived, "b", "1")
    assert not opens_disks(token, derived, "a", "2")
    assert not opens_disks(new_token(), derived, "a", "1")
    assert not opens_all(token, derived)
    assert opens_disks(token, token, "a", "1")
    assert opens_all(token, token)
    assert not opens_all(token, "")
    assert not opens_all(token, "ü")


async def test_the_nodes_token_opens_its_machines(house: House) -> None:
    instance_id = await house.machine()
    assert b"boot 1" in await house.client.console_log(house.peer, instance_id, 1000)


async def test_a_wrong_token_is_told_nothing(house: House) -> None:
    instance_id = await house.machine()
    wrong = house.peer.model_copy(update={"token": "00" * 32})
    with pytest.raises(TokenRefused) as refused:
        await house.client.console_log(wrong, instance_id, 1000)
    assert str(refused.value) == "Unauthorized"


@pytest.mark.parametrize("path", ["/", "/v1/machines", "/v1/machines/x/console", "/v1/x", "/../etc/passwd"])
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer ", "Basic eDp4", "Bearer ÿ"])
async def test_without_a_token_every_path_answers_the_same(
    house: House, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            house.peer.url + path, headers=headers, ssl=fingerprint(house.peer.certificate)
        ) as response,
    ):
        answer = await response.json()
        assert (response.status, answer) == (401, {"reason": "Unauthorized", "message": "Unauthorized"})


async def test_another_nodes_token_does_not_open_it(house: House) -> None:
    instance_id = await house.machine()
    with pytest.raises(MachineNotFound):
        await house.client.console_log(house.endpoint.peers["node-2"], instance_id, 10)


async def test_a_derived_token_opens_the_disks_and_nothing_else(house: House) -> None:
    instance_id, other = await house.machine(), await house.machine()
    house.disk(instance_id, b"x")
    house.disk(other, b"y")
    peer = for_disks(house.peer, instance_id, OPERATION)
    assert [disk.name for disk in await house.client.disks(peer, instance_id, OPERATION)] == ["disk"]
    refused = [
        house.client.disks(peer, other, OPERATION),
        house.client.disks(peer, instance_id, "another"),
        house.client.console_log(peer, instance_id, 10),
        house.client.diagnostics(peer, instance_id),
    ]
    for call in refused:
        with pytest.raises(TokenRefused):
            await call


async def test_who_shows_another_certificate_gets_no_token(house: House) -> None:
    instance_id = await house.machine()
    stranger = make_certificate("cairn-agent node-1").certificate
    peer = house.peer.model_copy(update={"certificate": stranger})
    with pytest.raises(AgentUnreachable, match="another certificate"):
        await house.client.console_log(peer, instance_id, 10)


async def test_what_is_no_certificate_is_no_endpoint(house: House) -> None:
    peer = Peer(url=house.peer.url, certificate="-----", token="00")
    with pytest.raises(AgentUnreachable):
        await house.client.console_log(peer, OTHER, 10)


def test_the_certificate_opens_no_other_door() -> None:
    one, two = make_certificate(NODE), make_certificate(NODE)
    assert one.certificate != two.certificate
    assert one.key != two.key
    one.server_context()
