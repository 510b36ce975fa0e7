"""Signing in, what a token says, and where else it may be taken."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from cairn_database import Database
from cairn_database.identity import keys
from cairn_database.identity.revision import Revision
from cairn_gateway.app import create_app
from cairn_gateway.identity.builtin import BuiltInIdentity
from cairn_gateway.identity.keys import KeyRing, KeyWrap
from cairn_gateway.identity.settings import IdentitySettings
from cairn_runtime.health import Health
from integration.gateway.identity.people import IdentityCloud, Person, by_password, by_token


async def test_versions_are_there_without_a_token(cloud: IdentityCloud) -> None:
    versions = await cloud.client.get("/identity")
    assert versions.status_code == 300
    [v3] = versions.json()["versions"]["values"]
    assert v3["links"][0]["href"] == "http://cloud.test/identity/v3/"
    one = await cloud.client.get("/identity/v3")
    assert one.status_code == 200
    assert one.json()["version"]["id"].startswith("v3.")


async def test_a_password_gives_a_token_of_a_project(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    body = admin.body
    assert body["methods"] == ["password"]
    assert body["user"]["name"] == "admin"
    assert body["user"]["domain"] == {"id": "default", "name": "Default"}
    assert body["project"]["id"] == cloud.made.project_id
    assert {role["name"] for role in body["roles"]} == {"admin", "manager", "member", "reader"}
    endpoints = {service["type"]: service["endpoints"] for service in body["catalog"]}
    assert set(endpoints) >= {"identity", "compute", "image", "network"}
    assert {endpoint["interface"] for endpoint in endpoints["compute"]} == {"public", "internal", "admin"}
    assert endpoints["compute"][0]["url"] == "http://cloud.test/compute/v2.1"
    assert len(admin.token) < 255


async def test_the_token_is_good_for_the_api(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    shown = await admin.ask("GET", "/auth/tokens", X_Subject_Token=admin.token)
    assert shown.status_code == 200
    assert shown.json()["token"]["audit_ids"] == admin.body["audit_ids"]
    assert shown.json()["token"]["expires_at"] == admin.body["expires_at"]
    head = await admin.ask("HEAD", "/auth/tokens", X_Subject_Token=admin.token)
    assert (head.status_code, head.content) == (200, b"")


async def test_wrong_passwords_and_unknown_users_look_the_same(cloud: IdentityCloud) -> None:
    wrong = await cloud.sign_in(by_password("admin", "wrong"))
    unknown = await cloud.sign_in(by_password("nobody", "wrong"))
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.headers["www-authenticate"] == 'Keystone uri="http://cloud.test/identity/v3"'


async def test_no_token_and_nonsense_are_refused(cloud: IdentityCloud) -> None:
    for headers in ({}, {"X-Auth-Token": "nonsense"}, {"X-Auth-Token": "g" * 5000}):
        answer = await cloud.client.get("/identity/v3/auth/catalog", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == 401


async def test_an_unscoped_token_has_no_roles_and_can_be_scoped(cloud: IdentityCloud) -> None:
    plain = await cloud.person(by_password("admin", cloud.password))
    assert "roles" not in plain.body
    assert "catalog" not in plain.body
    projects = (await plain.get("/auth/projects"))["projects"]
    assert [project["name"] for project in projects] == ["admin"]
    assert (await plain.get("/auth/system"))["system"] == [{"all": True}]
    scoped = await cloud.person(by_token(plain.token, {"project": {"id": projects[0]["id"]}}))
    assert scoped.body["methods"] == ["password", "token"]
    assert scoped.body["expires_at"] == plain.body["expires_at"]
    assert scoped.body["audit_ids"][1] == plain.body["audit_ids"][0]


async def test_the_system_can_be_the_scope(cloud: IdentityCloud) -> None:
    system = await cloud.admin({"system": {"all": True}})
    assert system.body["system"] == {"all": True}
    assert "project" not in system.body
    assert (await system.get("/auth/projects"))["projects"]


async def test_a_scope_without_a_role_is_refused(cloud: IdentityCloud) -> None:
    for scope in (
        {"domain": {"id": "default"}},
        {"project": {"id": "0" * 32}},
        {"project": {"name": "nowhere", "domain": {"name": "Default"}}},
        {"domain": {"name": "nowhere"}},
    ):
        answer = await cloud.sign_in(by_password("admin", cloud.password, scope))
        assert answer.status_code == 401, answer.text


async def test_what_cannot_be_read_is_said(cloud: IdentityCloud) -> None:
    for auth in (
        {},
        {"identity": {"methods": []}},
        {"identity": {"methods": ["password"]}},
        {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}}},
        by_password("admin", cloud.password, {"system": {"all": False}}),
        by_password("admin", cloud.password, "everything"),
    ):
        answer = await cloud.sign_in(auth)
        assert answer.status_code == 400, answer.text
        assert cloud.password not in answer.text


async def test_a_revoked_token_is_refused_at_once(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    other = await cloud.admin()
    assert await other.still_counts()
    gone = await admin.ask("DELETE", "/auth/tokens", X_Subject_Token=other.token)
    assert gone.status_code == 204
    assert not await other.still_counts()
    assert await admin.still_counts()
    assert (await admin.ask("GET", "/auth/tokens", X_Subject_Token=other.token)).status_code == 404


async def test_guessing_is_slowed_down(cloud: IdentityCloud) -> None:
    answers = [await cloud.sign_in(by_password("eve", "guess")) for _ in range(12)]
    assert [answer.status_code for answer in answers[:10]] == [401] * 10
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    assert (await cloud.sign_in(by_password("admin", cloud.password))).status_code == 201


async def test_two_gateways_are_one(cloud: IdentityCloud) -> None:
    """What one issues the other takes, and what one ends is over at the other."""
    own = cloud.services
    url = own.settings.database.url.get_secret_value()
    async with Database(url) as db:
        other = replace(own, db=db, identity=BuiltInIdentity(IdentitySettings(), db))
        transport = httpx.ASGITransport(app=create_app(other, Health()))
        async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as client:
            admin = await cloud.admin()
            there = Person(client, admin.token, admin.body)
            for _ in range(3):
                assert await there.still_counts()
            token = await cloud.admin()
            gone = await admin.ask("DELETE", "/auth/tokens", X_Subject_Token=admin.token)
            assert gone.status_code == 204
            assert not await there.still_counts()
            ring = KeyRing(db, keys.TOKENS, KeyWrap(""), Revision(db))
            await ring.rotate(3)
            fresh = await cloud.admin()
            for person in (token, fresh):
                assert await Person(client, person.token, person.body).still_counts()
            for _ in range(3):
                await ring.rotate(3)
            assert not await Person(client, fresh.token, fresh.body).still_counts()
        await other.identity.close()


async def test_no_log_has_a_secret(cloud: IdentityCloud, capsys: pytest.CaptureFixture[str]) -> None:
    member, password = await cloud.member()
    await cloud.sign_in(by_password("admin", "wrong-password-7"))
    await cloud.sign_in(by_token("wrong-token-7"))
    path = f"/users/{member.body['user']['id']}/application_credentials"
    made = await member.ask("POST", path, {"application_credential": {"name": "robot"}})
    assert made.status_code == 201
    written = capsys.readouterr()
    text = written.out + written.err
    assert "identity.signed_in" in text
    secret = made.json()["application_credential"]["secret"]
    for hidden in (password, cloud.password, member.token, "wrong-password-7", "wrong-token-7", secret):
        assert hidden not in text
