"""The conductor takes in what the gateway has made, and the other way round; neither undoes the other."""

from __future__ import annotations

import secrets

import pytest

from cairn_crds import Flavor, KeyPair, ServerGroup
from cairn_crds.base import Metadata
from cairn_crds.flavor import FlavorSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import catalog
from cairn_operator.mirrors import plain
from cairn_operator.mirrors.controller import MirrorContext
from cairn_runtime.kubernetes import ApiServerUnavailable
from integration.gateway.catalog.conftest import Town
from integration.gateway.catalog.test_keypairs import new_key


def context(town: Town) -> MirrorContext:
    return MirrorContext(town.services.db, town.services.cluster.kubernetes)


async def test_a_flavor_of_the_api_is_taken_in_as_it_is(town: Town) -> None:
    admin = await town.client("admin")
    name = f"free text {secrets.token_hex(3)}"
    body = {"flavor": {"name": name, "ram": 64, "vcpus": 1, "disk": 0, "id": name.replace(" ", "_")}}
    made = (await admin.post("/flavors", json=body)).json()["flavor"]
    resource = await town.services.cluster.get(Flavor, name.replace(" ", "-"))
    assert (await plain.take_in_flavor(context(town), resource)).ready
    assert (await admin.get(f"/flavors/{made['id']}")).json()["flavor"] == made
    await admin.put(f"/flavors/{made['id']}", json={"flavor": {"description": "newer"}})
    assert (await plain.take_in_flavor(context(town), resource)).ready
    assert (await admin.get(f"/flavors/{made['id']}")).json()["flavor"]["description"] == "newer"
    await admin.delete(f"/flavors/{made['id']}")
    await plain.take_in_flavor(context(town), resource)
    assert (await admin.get(f"/flavors/{made['id']}")).status_code == 404


async def test_what_claims_a_taken_id_or_name_is_told_so(town: Town) -> None:
    admin = await town.client("admin")
    name = f"m1.{secrets.token_hex(3)}"
    body = {"flavor": {"name": name, "ram": 64, "vcpus": 1, "disk": 0, "id": name}}
    assert (await admin.post("/flavors", json=body)).status_code == 200
    for spec, reason in (
        (FlavorSpec(id=name, vcpus=1, memory_mib=1), "IdTaken"),
        (FlavorSpec(display_name=name, vcpus=1, memory_mib=1), "NameTaken"),
    ):
        wanted = Flavor(metadata=Metadata(name=f"other-{secrets.token_hex(3)}"), spec=spec)
        made = Flavor.from_api(await town.services.cluster.create(wanted))
        answer = await plain.take_in_flavor(context(town), made)
        assert (answer.ready, answer.reason) == (False, reason)
        moved = made.model_copy(update={"spec": FlavorSpec(vcpus=1, memory_mib=1)})
        assert (await plain.take_in_flavor(context(town), moved)).ready
        assert (await plain.take_in_flavor(context(town), made)).ready is False


async def test_key_pairs_and_groups_of_kubectl_have_owners_if_they_say_so(town: Town) -> None:
    alice, bob = await town.client(user="alice"), await town.client(user="bob")
    spec = KeyPairSpec(user="alice", display_name="my key", public_key=new_key())
    wanted = KeyPair(metadata=Metadata(name="alices-key", namespace=town.project), spec=spec)
    made = KeyPair.from_api(await town.services.cluster.create(wanted))
    answer = await plain.take_in_key_pair(context(town), made)
    shown = (await alice.get("/os-keypairs/my key")).json()["keypair"]
    assert (answer.fields or {})["fingerprint"] == shown["fingerprint"]
    assert (await bob.get("/os-keypairs/my key")).status_code == 404
    assert (await alice.delete("/os-keypairs/my key")).status_code == 204
    await plain.take_in_key_pair(context(town), made)
    assert (await alice.get("/os-keypairs/my key")).status_code == 404

    policy = ServerGroupSpec(user="alice", display_name="my group", policy=GroupPolicy.SOFT_AFFINITY)
    group = ServerGroup(metadata=Metadata(name="alices-group", namespace=town.project), spec=policy)
    there = ServerGroup.from_api(await town.services.cluster.create(group))
    assert (await plain.take_in_server_group(context(town), there)).ready
    listed = (await bob.get("/os-server-groups")).json()["server_groups"]
    assert [(item["id"], item["name"], item["user_id"]) for item in listed] == [
        (there.metadata.uid, "my group", "alice")
    ]
    wrong = there.model_copy(update={"spec": policy.model_copy(update={"policy": GroupPolicy.AFFINITY})})
    assert (await plain.take_in_server_group(context(town), wrong)).reason == "FieldImmutable"


async def test_a_reservation_without_a_resource_is_swept_away(town: Town) -> None:
    db = town.services.db
    assert await catalog.flavors.reserve(db, "lost", FlavorSpec(vcpus=1, memory_mib=1))
    assert ("", "lost") in await catalog.recorded_keys(db, "flavors")
    await plain.remove_flavor(context(town), "", "lost")
    assert await catalog.flavor_by_id(db, "lost") is None


async def test_without_an_api_server_nothing_is_half_made(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await town.client("admin")

    async def unavailable(*_: object) -> None:
        raise ApiServerUnavailable(503, "Unavailable", "it is down")

    monkeypatch.setattr(town.services.cluster.kubernetes, "create", unavailable)
    name = f"m1.{secrets.token_hex(3)}"
    bodies = {
        "/flavors": {"flavor": {"name": name, "ram": 64, "vcpus": 1, "disk": 0}},
        "/os-keypairs": {"keypair": {"name": "key", "public_key": new_key()}},
        "/os-server-groups": {"server_group": {"name": "group", "policy": "affinity"}},
    }
    for path, body in bodies.items():
        answer = await admin.post(path, json=body)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert list((await admin.get(path)).json().values()) == [[]]
    monkeypatch.undo()
    for path, body in bodies.items():
        assert (await admin.post(path, json=body)).status_code in (200, 201)
