"""Users, groups, roles and domains; what ends a token."""

from __future__ import annotations

from integration.gateway.identity.people import IdentityCloud, by_password, grant


async def test_a_user_is_made_shown_changed_and_deleted(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    made = await admin.make("user", name="ann", password="one", email="a@b.c", phone="42")
    assert made["domain_id"] == "default"
    assert made["enabled"] is True
    assert (made["email"], made["phone"]) == ("a@b.c", "42")
    assert "password" not in made
    assert (await admin.get(f"/users/{made['id']}"))["user"] == made
    [listed] = (await admin.get("/users?name=ann&domain_id=None"))["users"]
    assert listed["id"] == made["id"]
    changed = await admin.ask("PATCH", f"/users/{made['id']}", {"user": {"name": "anna", "phone": "43"}})
    assert changed.json()["user"]["name"] == "anna"
    assert changed.json()["user"]["phone"] == "43"
    assert (await admin.ask("DELETE", f"/users/{made['id']}")).status_code == 204
    gone = await admin.ask("GET", f"/users/{made['id']}")
    assert gone.status_code == 404
    assert gone.json()["error"]["message"] == f"Could not find user: {made['id']}."


async def test_a_name_is_had_once_in_a_domain(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    await admin.make("user", name="ann")
    again = await admin.ask("POST", "/users", {"user": {"name": "ann"}})
    assert again.status_code == 409
    assert again.json()["error"]["title"] == "Conflict"
    domain = await admin.make("domain", name="east")
    await admin.make("user", name="ann", domain_id=domain["id"])


async def test_members_are_no_administrators(cloud: IdentityCloud) -> None:
    member, _password = await cloud.member()
    me = member.body["user"]["id"]
    for method, path, body in (
        ("GET", "/users", None),
        ("POST", "/users", {"user": {"name": "x"}}),
        ("GET", "/projects", None),
        ("POST", "/projects", {"project": {"name": "x"}}),
        ("GET", "/roles", None),
        ("GET", "/domains", None),
        ("GET", "/role_assignments", None),
        ("PATCH", f"/users/{me}", {"user": {"enabled": True}}),
        ("DELETE", f"/users/{me}", None),
    ):
        answer = await member.ask(method, path, body)
        assert answer.status_code == 403, (method, path, answer.text)
    assert (await member.get(f"/users/{me}"))["user"]["id"] == me
    project = member.body["project"]["id"]
    assert (await member.get(f"/projects/{project}"))["project"]["id"] == project
    assert [item["id"] for item in (await member.get(f"/users/{me}/projects"))["projects"]] == [project]
    other = await member.ask("GET", f"/users/{cloud.made.user_id}")
    assert other.status_code == 403


async def test_a_new_password_ends_every_token(cloud: IdentityCloud) -> None:
    member, password = await cloud.member()
    me = member.body["user"]
    path = f"/users/{me['id']}/password"
    wrong = await member.ask("POST", path, {"user": {"original_password": "x", "password": "new"}})
    assert wrong.status_code == 401
    assert await member.still_counts()
    right = await member.ask("POST", path, {"user": {"original_password": password, "password": "new"}})
    assert right.status_code == 204
    assert not await member.still_counts()
    assert (await cloud.sign_in(by_password(me["name"], password))).status_code == 401
    assert (await cloud.sign_in(by_password(me["name"], "new"))).status_code == 201


async def test_a_disabled_user_project_or_domain_ends_tokens(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, password = await cloud.member()
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    off = await admin.ask("PATCH", f"/projects/{project}", {"project": {"enabled": False}})
    assert off.json()["project"]["enabled"] is False
    assert not await member.still_counts()
    await admin.ask("PATCH", f"/projects/{project}", {"project": {"enabled": True}})
    assert await member.still_counts(), "as in Keystone: the project's tokens count again"
    await admin.ask("PATCH", f"/users/{user}", {"user": {"enabled": False}})
    assert not await member.still_counts()
    await admin.ask("PATCH", f"/users/{user}", {"user": {"enabled": True}})
    assert not await member.still_counts()
    name = member.body["user"]["name"]
    assert (await cloud.sign_in(by_password(name, password))).status_code == 201


async def test_a_role_that_is_taken_back_is_gone_at_once(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member("manager")
    user, project = member.body["user"]["id"], member.body["project"]["id"]
    assert {role["name"] for role in member.body["roles"]} == {"manager", "member", "reader"}
    path = f"/projects/{project}/users/{user}/roles"
    [given] = (await admin.get(path))["roles"]
    assert given["name"] == "manager"
    assert (await admin.ask("HEAD", f"{path}/{given['id']}")).status_code == 204
    await grant(admin, project, user, "reader")
    assert (await admin.ask("DELETE", f"{path}/{given['id']}")).status_code == 204
    assert (await admin.ask("DELETE", f"{path}/{given['id']}")).status_code == 404
    shown = (await admin.ask("GET", "/auth/tokens", X_Subject_Token=member.token)).json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]


async def test_groups_give_their_roles_to_members(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    group = await admin.make("group", name="crew", domain_id="default")
    user = await admin.make("user", name="ann", password="pw")
    project = await admin.make("project", name="ship")
    [role] = (await admin.get("/roles?name=member"))["roles"]
    path = f"/projects/{project['id']}/groups/{group['id']}/roles/{role['id']}"
    assert (await admin.ask("PUT", path)).status_code == 204
    scope = {"project": {"id": project["id"]}}
    assert (await cloud.sign_in(by_password("ann", "pw", scope))).status_code == 401
    member = f"/groups/{group['id']}/users/{user['id']}"
    assert (await admin.ask("PUT", member)).status_code == 204
    assert (await admin.ask("HEAD", member)).status_code == 204
    ann = await cloud.person(by_password("ann", "pw", scope))
    assert {role["name"] for role in ann.body["roles"]} == {"member", "reader"}
    assert [item["name"] for item in (await ann.get(f"/users/{user['id']}/groups"))["groups"]] == ["crew"]
    effective = await admin.get(f"/role_assignments?effective&user.id={user['id']}&include_names=1")
    assert {item["role"]["name"] for item in effective["role_assignments"]} == {"member", "reader"}
    assert (await admin.ask("DELETE", member)).status_code == 204
    assert not await ann.still_counts()
    assert (await admin.ask("HEAD", member)).status_code == 404


async def test_domains_have_roles_that_their_projects_inherit(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    domain = await admin.make("domain", name="west")
    user = await admin.make("user", name="bob", password="pw", domain_id=domain["id"])
    project = await admin.make("project", name="ranch", domain_id=domain["id"])
    [role] = (await admin.get("/roles?name=reader"))["roles"]
    path = f"/OS-INHERIT/domains/{domain['id']}/users/{user['id']}/roles/{role['id']}/inherited_to_projects"
    assert (await admin.ask("PUT", path)).status_code == 204
    assert (await admin.ask("HEAD", path)).status_code == 204
    who = {"name": "bob", "domain": {"name": "west"}, "password": "pw"}
    auth = {"identity": {"methods": ["password"], "password": {"user": who}}}
    bob = await cloud.person(auth | {"scope": {"project": {"name": "ranch", "domain": {"name": "west"}}}})
    assert bob.body["project"]["domain"]["name"] == "west"
    assert [item["id"] for item in (await bob.get("/auth/projects"))["projects"]] == [project["id"]]
    assert (await cloud.sign_in(auth | {"scope": {"domain": {"name": "west"}}})).status_code == 401
    enabled = await admin.ask("DELETE", f"/domains/{domain['id']}")
    assert enabled.status_code == 403
    await admin.ask("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}})
    assert not await bob.still_counts()
    used = await admin.ask("DELETE", f"/domains/{domain['id']}")
    assert used.status_code == 403
    assert (await admin.ask("DELETE", f"/projects/{project['id']}")).status_code == 204
    assert (await admin.ask("DELETE", f"/domains/{domain['id']}")).status_code == 204
    assert (await admin.ask("GET", f"/users/{user['id']}")).status_code == 404


async def test_the_manager_of_a_domain_keeps_to_it(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    domain = await admin.make("domain", name="south")
    user = await admin.make("user", name="sue", password="pw", domain_id=domain["id"])
    named = {role["name"]: role["id"] for role in (await admin.get("/roles"))["roles"]}
    await admin.ask("PUT", f"/domains/{domain['id']}/users/{user['id']}/roles/{named['manager']}")
    who = {"name": "sue", "domain": {"id": domain["id"]}, "password": "pw"}
    auth = {"identity": {"methods": ["password"], "password": {"user": who}}}
    sue = await cloud.person(auth | {"scope": {"domain": {"id": domain["id"]}}})
    assert [item["name"] for item in (await sue.get("/users"))["users"]] == ["sue"]
    made = await sue.make("user", name="tim")
    assert made["domain_id"] == domain["id"]
    project = await sue.make("project", name="farm")
    assert project["domain_id"] == domain["id"]
    path = f"/projects/{project['id']}/users/{made['id']}/roles"
    assert (await sue.ask("PUT", f"{path}/{named['member']}")).status_code == 204
    assert (await sue.ask("PUT", f"{path}/{named['admin']}")).status_code == 403
    elsewhere = {"user": {"name": "spy", "domain_id": "default"}}
    assert (await sue.ask("POST", "/users", elsewhere)).status_code == 403
    assert (await sue.ask("PATCH", f"/users/{cloud.made.user_id}", elsewhere)).status_code == 403
    assert (await sue.ask("GET", "/projects?domain_id=default")).json()["projects"] == [
        (await sue.get(f"/projects/{project['id']}"))["project"]
    ]


async def test_roles_imply_others(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    role = await admin.make("role", name="operator")
    named = {item["name"]: item["id"] for item in (await admin.get("/roles"))["roles"]}
    assert set(named) == {"admin", "manager", "member", "reader", "service", "operator"}
    path = f"/roles/{role['id']}/implies"
    made = await admin.ask("PUT", f"{path}/{named['member']}")
    assert made.status_code == 201
    assert made.json()["role_inference"]["implies"]["name"] == "member"
    assert (await admin.ask("HEAD", f"{path}/{named['member']}")).status_code == 204
    assert (await admin.ask("PUT", f"/roles/{named['member']}/implies/{role['id']}")).status_code == 403
    assert (await admin.ask("PUT", f"{path}/{named['admin']}")).status_code == 403
    inferences = (await admin.get("/role_inferences"))["role_inferences"]
    assert {item["prior_role"]["name"] for item in inferences} == {"admin", "manager", "member", "operator"}
    member, _password = await cloud.member("operator")
    assert {item["name"] for item in member.body["roles"]} == {"operator", "member", "reader"}
    assert (await admin.ask("DELETE", f"/roles/{role['id']}")).status_code == 204
    assert not await member.still_counts()
    assert (await admin.ask("DELETE", f"/roles/{named['admin']}")).status_code == 403


async def test_role_assignments_are_listed_by_who_and_where(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    member, _password = await cloud.member()
    user, project = member.body["user"], member.body["project"]
    [listed] = (await admin.get(f"/role_assignments?user.id={user['id']}&include_names"))["role_assignments"]
    assert listed["user"] == {"id": user["id"], "name": user["name"], "domain": user["domain"]}
    assert listed["scope"]["project"]["name"] == project["name"]
    assert listed["role"]["name"] == "member"
    system = (await admin.get("/role_assignments?scope.system=all"))["role_assignments"]
    assert [item["user"]["id"] for item in system] == [cloud.made.user_id]
    assert system[0]["scope"] == {"system": {"all": True}}
    both = await admin.ask("GET", "/role_assignments?scope.system=all&scope.domain.id=default")
    assert both.status_code == 400
    path = f"/system/users/{user['id']}/roles/{listed['role']['id']}"
    assert (await admin.ask("PUT", path)).status_code == 204
    assert (await member.get("/auth/system"))["system"] == [{"all": True}]
    assert (await admin.ask("DELETE", path)).status_code == 204


async def test_the_catalog_can_be_read(cloud: IdentityCloud) -> None:
    admin = await cloud.admin()
    services = {item["type"]: item for item in (await admin.get("/services"))["services"]}
    [public] = (await admin.get(f"/endpoints?service_id={services['compute']['id']}&interface=public"))[
        "endpoints"
    ]
    assert public["url"] == "http://cloud.test/compute/v2.1"
    assert (await admin.get(f"/endpoints/{public['id']}"))["endpoint"] == public
    assert [item["id"] for item in (await admin.get("/regions"))["regions"]] == ["RegionOne"]
    assert (await admin.ask("GET", "/services/none")).status_code == 404
