"""Key pairs through the Compute API, and as resources."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    pkcs12,
)

from cairn_crds import KeyPair
from cairn_crds.base import Metadata
from cairn_crds.key_pair import KeyPairSpec
from cairn_database import catalog, key_pairs
from cairn_runtime.kubernetes import NotFound
from integration.gateway.catalog.conftest import Town


def new_key() -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " somebody"


def named(**fields: Any) -> dict[str, Any]:
    return {"keypair": {"name": f"key {secrets.token_hex(4)}", **fields}}


async def imported(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/os-keypairs", json=named(**{"public_key": new_key(), **fields}))
    assert answer.status_code in (200, 201), answer.text
    shown: dict[str, Any] = answer.json()["keypair"]
    return shown


def refused(answer: httpx.Response, status: int, key: str, message: str) -> None:
    assert (answer.status_code, answer.json()) == (status, {key: {"code": status, "message": message}})


async def test_a_key_is_made_and_its_private_half_is_told_once(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    client = await town.client(version="2.1")
    answer = await client.post("/os-keypairs", json=named())
    made = answer.json()["keypair"]
    assert answer.status_code == 200
    assert made.keys() == {"name", "public_key", "fingerprint", "private_key", "user_id"}
    private = load_pem_private_key(made["private_key"].encode(), None)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert made["public_key"] == f"{public} Generated-by-Nova"
    raw = hashlib.md5(base64.b64decode(public.split()[1]), usedforsecurity=False).digest()
    assert made["fingerprint"] == raw.hex(":")
    shown = (await client.get(f"/os-keypairs/{made['name']}")).json()["keypair"]
    assert "private_key" not in shown
    assert shown["created_at"]
    assert (shown["deleted"], shown["deleted_at"], shown["updated_at"]) == (False, None, None)
    resource = await town.services.cluster.get(KeyPair, made["name"].replace(" ", "-"), town.project)
    assert (resource.spec.user, resource.spec.public_key) == (made["user_id"], made["public_key"])
    assert "PRIVATE" not in resource.model_dump_json() + caplog.text
    listed = (await client.get("/os-keypairs")).json()["keypairs"]
    assert listed == [{"keypair": {key: made[key] for key in ("name", "public_key", "fingerprint")}}]
    deleted = await client.delete(f"/os-keypairs/{made['name']}")
    assert (deleted.status_code, deleted.content) == (202, b"")
    with pytest.raises(NotFound):
        await town.services.cluster.get(KeyPair, resource.metadata.name, town.project)


async def test_a_certificate_is_made_for_windows(town: Town) -> None:
    client = await town.client(version="2.10")
    answer = await client.post("/os-keypairs", json=named(type="x509"))
    made = answer.json()["keypair"]
    assert (answer.status_code, made["type"]) == (201, "x509")
    certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
    assert made["fingerprint"] == certificate.fingerprint(hashes.SHA1()).hex(":")  # noqa: S303
    key, inside, _ = pkcs12.load_key_and_certificates(base64.b64decode(made["private_key"]), b"")
    assert key is not None
    assert inside == certificate
    again = await imported(client, public_key=made["public_key"], type="x509")
    assert again["fingerprint"] == made["fingerprint"]
    assert "private_key" not in again


async def test_versions_have_their_shapes(town: Town) -> None:
    for version, status, has_type in (("2.1", 200, False), ("2.2", 201, True), ("2.92", 201, True)):
        client = await town.client(version=version)
        answer = await client.post("/os-keypairs", json=named(public_key=new_key()))
        made = answer.json()["keypair"]
        assert (answer.status_code, "type" in made) == (status, has_type)
        shown = (await client.get(f"/os-keypairs/{made['name']}")).json()["keypair"]
        assert ("type" in shown, isinstance(shown["id"], int)) == (has_type, True)
        deleted = await client.delete(f"/os-keypairs/{made['name']}")
        assert deleted.status_code == (202 if version == "2.1" else 204)
    newest = await town.client()
    refused(
        await newest.post("/os-keypairs", json=named()),
        400,
        "badRequest",
        "Invalid input for field/attribute keypair: 'public_key' is a required property.",
    )
    assert (
        await newest.post("/os-keypairs", json=named(name="a@b.c", public_key=new_key()))
    ).status_code == 201
    old = await town.client(version="2.91")
    assert (await old.post("/os-keypairs", json=named(name="a@b.d"))).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_key": "ssh-rsa JUNK nova@ubuntu"},
        {"public_key": " "},
        {"public_key": "ssh-rsa " + "A" * 2048 + " openstack@ubuntu"},
        {"public_key": "x" * 20000},
        {"public_key": "certificate", "type": "x509"},
        {"type": "pgp"},
        {"name": ""},
        {"name": "k" * 256},
        {"name": "key_/.\\@:"},
        {"unknown": 1},
    ],
)
async def test_what_nova_refuses_is_refused(town: Town, wrong: dict[str, Any]) -> None:
    client = await town.client(version="2.91")
    answer = await client.post("/os-keypairs", json=named(**{"public_key": new_key(), **wrong}))
    assert (answer.status_code, list(answer.json())) == (400, ["badRequest"])


async def test_names_are_unique_to_a_user(town: Town) -> None:
    mine, other = await town.client(), await town.client(user="somebody-else")
    made = await imported(mine)
    body = named(name=made["name"], public_key=new_key())
    refused(
        await mine.post("/os-keypairs", json=body),
        409,
        "conflictingRequest",
        f"Key pair '{made['name']}' already exists.",
    )
    assert (await other.post("/os-keypairs", json=body)).status_code == 201
    names = [item["keypair"]["public_key"] for item in (await other.get("/os-keypairs")).json()["keypairs"]]
    assert names == [body["keypair"]["public_key"]]


async def test_a_user_finds_the_key_in_every_project(town: Town) -> None:
    here = await town.client(user="wanderer")
    there = await town.client(project=town.other, user="wanderer")
    made = await imported(here)
    assert (await there.get(f"/os-keypairs/{made['name']}")).status_code == 200
    found = await key_pairs.find(town.services.db, "wanderer", town.other, made["name"])
    assert found is not None
    assert (found.spec.public_key, found.namespace) == (made["public_key"], town.project)
    assert (await there.delete(f"/os-keypairs/{made['name']}")).status_code == 204
    assert await key_pairs.find(town.services.db, "wanderer", town.other, made["name"]) is None


async def test_administrators_handle_the_keys_of_others(town: Town) -> None:
    admin, member = await town.client("admin"), await town.client(user="alice")
    made = await imported(admin, user_id="alice")
    assert made["user_id"] == "alice"
    assert (await member.get(f"/os-keypairs/{made['name']}")).status_code == 200
    assert (await admin.get(f"/os-keypairs/{made['name']}")).status_code == 404
    assert (await admin.get(f"/os-keypairs/{made['name']}?user_id=alice")).status_code == 200
    assert len((await admin.get("/os-keypairs?user_id=alice")).json()["keypairs"]) == 1
    other = await town.client(user="bob")
    assert (await other.get("/os-keypairs?user_id=alice")).status_code == 403
    body = named(public_key=new_key(), user_id="alice")
    assert (await other.post("/os-keypairs", json=body)).status_code == 403
    assert (await other.delete(f"/os-keypairs/{made['name']}?user_id=alice")).status_code == 403
    assert (await admin.delete(f"/os-keypairs/{made['name']}?user_id=alice")).status_code == 204
    refused(
        await member.delete(f"/os-keypairs/{made['name']}"),
        404,
        "itemNotFound",
        f"Keypair {made['name']} not found for user alice",
    )


async def test_lists_are_paged(town: Town) -> None:
    client = await town.client()
    names = sorted([(await imported(client))["name"] for _ in range(3)])
    first = (await client.get("/os-keypairs?limit=2")).json()
    assert [item["keypair"]["name"] for item in first["keypairs"]] == names[:2]
    second = (await client.get(first["keypairs_links"][0]["href"])).json()
    assert [item["keypair"]["name"] for item in second["keypairs"]] == names[2:]
    assert "keypairs_links" not in second
    assert (await client.get("/os-keypairs?marker=none")).status_code == 400
    assert (await client.get("/os-keypairs?unknown=1")).status_code == 400
    old = await town.client(version="2.34")
    assert len((await old.get("/os-keypairs?limit=1&marker=none")).json()["keypairs"]) == 3


async def test_many_at_once_never_pass_the_limit(town: Town) -> None:
    project = f"{town.project}-small"
    await town.make_project(project, key_pairs=3)
    client = await town.client(project=project, user="busy")
    bodies = [named(public_key=new_key()) for _ in range(10)]
    answers = await asyncio.gather(*(client.post("/os-keypairs", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [403] * 7
    [first, *_] = [answer for answer in answers if answer.status_code == 403]
    refused(first, 403, "forbidden", "Quota exceeded, too many key pairs.")
    kept = await town.services.cluster.kubernetes.request("GET", KeyPair.kind_info.path(project))
    assert len(kept["items"]) == 3


async def test_a_key_made_with_kubectl_is_everybodys_in_its_project(town: Town) -> None:
    spec = KeyPairSpec(public_key=new_key())
    wanted = KeyPair(metadata=Metadata(name="shared", namespace=town.project), spec=spec)
    made = KeyPair.from_api(await town.services.cluster.create(wanted))
    await catalog.key_pairs.upsert(town.services.db, town.project, "shared", made.spec, made.metadata.uid)
    for user in ("alice", "bob"):
        client = await town.client(user=user)
        shown = (await client.get("/os-keypairs/shared")).json()["keypair"]
        assert (shown["public_key"], shown["user_id"]) == (spec.public_key, user)
    outside = await town.client(project=town.other, user="alice")
    assert (await outside.get("/os-keypairs/shared")).status_code == 404
