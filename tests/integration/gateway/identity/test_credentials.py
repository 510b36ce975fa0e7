"""Application credentials, EC2 keys, and other secrets that are kept for users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cairn_database.identity.tables import application_credentials, credentials, users
from cairn_gateway.identity import ec2_keys
from cairn_gateway.identity.builtin import BuiltInIdentity
from cairn_gateway.identity.keys import KeyWrap, rotate_credential_keys
from integration.gateway.identity.people import IdentityCloud, Person, by_token, grant

Json = dict[str, Any]


def by_application_credential(made: Json) -> Json:
    part = {"id": made["id"], "secret": made["secret"]}
    return {"identity": {"methods": ["application_credential"], "application_credential": part}}


async def make_credential(person: Person, **fields: Any) -> Json:
    path = f"/users/{person.body['user']['id']}/application_credentials"
    answer = await person.ask("POST", path, {"application_credential": {"name": "robot", **fields}})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()["application_credential"]
    return made


async def test_a_program_signs_in_with_some_of_the_roles(cloud: IdentityCloud) -> None:
    member, _password = await cloud.member("manager")
    made = await make_credential(member, roles=[{"name": "reader"}], description="reads")
    robot = await cloud.person(by_application_credential(made))
    assert robot.body["methods"] == ["application_credential"]
    assert robot.body["project"]["id"] == member.body["project"]["id"]
    assert [role["name"] for role in robot.body["roles"]] == ["reader"]
    assert robot.body["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    by_name = {
        "name": "robot",
        "user": {"id": member.body["user"]["id"]},
        "secret": made["secret"],
    }
    named = {"identity": {"methods": ["application_credential"], "application_credential": by_name}}
    assert (await cloud.sign_in(named)).status_code == 201
    path = f"/users/{member.body['user']['id']}/application_credentials"
    [listed] = (await member.get(f"{path}?name=robot"))["application_credentials"]
    assert "secret" not in listed
    assert (await member.get(f"{path}/{made['id']}"))["application_credential"] == listed
    wrong = by_application_credential(made | {"secret": "wrong"})
    assert (await cloud.sign_in(wrong)).status_code == 401
    assert (await cloud.sign_in(wrong | {"scope": {"system": {"all": True}}})).status_code == 401


async def test_a_restricted_program_makes_no_credentials_and_no_other_tokens(cloud: IdentityCloud) -> None:
    member, _password = await cloud.member()
    made = await make_credential(member)
    robot = await cloud.person(by_application_credential(made))
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    for method, path, body in (
        ("POST", f"/users/{user}/application_credentials", {"application_credential": {"name": "two"}}),
        ("DELETE", f"/users/{user}/application_credentials/{made['id']}", None),
        ("POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": project}),
        ("POST", "/credentials", {"credential": {"type": "cert", "blob": "x"}}),
    ):
        assert (await robot.ask(method, path, body)).status_code == 403, path
    for scope in (None, "unscoped", {"project": {"id": project}}):
        assert (await cloud.sign_in(by_token(robot.token, scope))).status_code == 403
    free = await make_credential(member, name="free", unrestricted=True)
    robot = await cloud.person(by_application_credential(free))
    assert (await make_credential(robot, name="child"))["name"] == "child"


async def test_its_tokens_end_with_it_with_the_roles_and_with_its_date(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member("manager")
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    ends = datetime.now(UTC) + timedelta(seconds=90)
    made = await make_credential(member, roles=[{"name": "manager"}], expires_at=ends.isoformat())
    robot = await cloud.person(by_application_credential(made))
    assert robot.body["expires_at"] == ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    path = f"/users/{user}/application_credentials/{made['id']}"
    assert (await member.ask("DELETE", path)).status_code == 204
    assert not await robot.still_counts()
    made = await make_credential(member, roles=[{"name": "manager"}])
    robot = await cloud.person(by_application_credential(made))
    await grant(admin, project, user, "reader")
    [role] = (await admin.get("/roles?name=manager"))["roles"]
    await admin.ask("DELETE", f"/projects/{project}/users/{user}/roles/{role['id']}")
    shown = (await admin.ask("GET", "/auth/tokens", X_Subject_Token=robot.token)).json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"], "what manager implies and the user has"


async def test_only_what_can_be_had_is_made(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member()
    path = f"/users/{member.body['user']['id']}/application_credentials"
    for status, fields in (
        (400, {"roles": [{"name": "admin"}]}),
        (400, {"expires_at": "2020-01-01T00:00:00"}),
        (501, {"access_rules": [{"method": "GET", "path": "/", "service": "compute"}]}),
    ):
        answer = await member.ask("POST", path, {"application_credential": {"name": "robot", **fields}})
        assert answer.status_code == status, answer.text
    await make_credential(member)
    again = await member.ask("POST", path, {"application_credential": {"name": "robot"}})
    assert again.status_code == 409
    other = await admin.ask("POST", path, {"application_credential": {"name": "spy"}})
    assert other.status_code == 403, "nobody makes one for another"


async def test_ec2_keys_sign_for_a_user_in_a_project(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member()
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    path = f"/users/{user}/credentials/OS-EC2"
    answer = await member.ask("POST", path, {"tenant_id": project})
    assert answer.status_code == 201, answer.text
    key = answer.json()["credential"]
    assert (key["tenant_id"], key["user_id"]) == (project, user)
    assert (await member.get(path))["credentials"] == [key]
    assert (await member.get(f"{path}/{key['access']}"))["credential"] == key
    [kept] = (await member.get("/credentials?type=ec2"))["credentials"]
    assert kept["id"] == ec2_keys.id_of(key["access"])
    identity = cloud.services.identity
    assert isinstance(identity, BuiltInIdentity)
    found = await ec2_keys.find(identity, key["access"])
    assert found is not None
    assert found[0].secret == key["secret"]
    assert (found[1].user_id, found[1].project_id) == (user, project)
    assert "member" in found[1].roles
    elsewhere = await member.ask("POST", path, {"tenant_id": cloud.made.project_id})
    assert elsewhere.status_code == 403
    mine = f"/users/{cloud.made.user_id}/credentials/OS-EC2"
    assert (await member.ask("GET", mine)).status_code == 403
    assert (await member.ask("GET", f"{mine}/{key['access']}")).status_code == 404
    assert (await admin.ask("PATCH", f"/projects/{project}", {"project": {"enabled": False}})).is_success
    assert await ec2_keys.find(identity, key["access"]) is None
    assert (await admin.ask("DELETE", f"{path}/{key['access']}")).status_code == 204
    assert (await admin.ask("GET", f"{path}/{key['access']}")).status_code == 404


async def test_other_secrets_are_kept_for_their_owner(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member()
    other, _password = await cloud.member()
    made = await member.make("credential", type="cert", blob="-----BEGIN")
    assert made["user_id"] == member.body["user"]["id"]
    path = f"/credentials/{made['id']}"
    assert (await other.ask("GET", path)).status_code == 403
    assert (await other.get("/credentials"))["credentials"] == []
    assert (await admin.get(path))["credential"] == made
    changed = await member.ask("PATCH", path, {"credential": {"blob": "new"}})
    assert changed.json()["credential"]["blob"] == "new"
    nonsense = await member.ask("POST", "/credentials", {"credential": {"type": "ec2", "blob": "x"}})
    assert nonsense.status_code == 400
    assert (await member.ask("DELETE", path)).status_code == 204


async def test_no_secret_is_in_the_database_as_it_is(cloud: IdentityCloud) -> None:
    member, password = await cloud.member()
    made = await make_credential(member)
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    path = f"/users/{user}/credentials/OS-EC2"
    key = (await member.ask("POST", path, {"tenant_id": project})).json()["credential"]

    def everything(conn: sa.Connection) -> str:
        tables = (users, credentials, application_credentials)
        return repr([list(conn.execute(sa.select(table))) for table in tables])

    before = await cloud.services.db.read(everything)
    for secret in (password, cloud.password, made["secret"], key["secret"], key["access"]):
        assert secret not in before
    assert await rotate_credential_keys(cloud.services.db, KeyWrap("")) == 1
    assert await cloud.services.db.read(everything) != before
    assert (await member.get(f"{path}/{key['access']}"))["credential"] == key
