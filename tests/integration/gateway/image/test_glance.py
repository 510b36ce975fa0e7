"""Images in a real Glance: who sees them, how hosts get them, what becomes of their resources."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from cairn_crds import Image
from cairn_crds.project import ProjectSpec
from cairn_database import tenants
from cairn_database.images import rows
from cairn_gateway.app import create_app
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import ServiceUnavailable
from cairn_gateway.image.backend import make_images
from cairn_gateway.image.glance import GlanceImages
from cairn_gateway.image.settings import GlanceSettings, ImageBackend, ImageSettings
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import NotFound
from support.gateway import GatewayUnderTest, gateway_app
from support.openstack_services import RunningGlance

DATA = b"a disk in glance" * 100_000


@dataclass
class Abroad:
    """A gateway whose images are in Glance, and people of Keystone."""

    gateway: GatewayUnderTest
    glance: RunningGlance
    tokens: dict[str, str]
    """Project to the token of a member."""

    @property
    def images(self) -> GlanceImages:
        images = self.gateway.services.images
        assert isinstance(images, GlanceImages)
        return images

    def call(self, project: str) -> Call:
        """A request of a member of that project."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        made = Call(
            services=self.gateway.services,
            method="GET",
            path="/",
            headers={"x-auth-token": self.tokens[project]},
            query_string="",
            receive=receive,
            request_id="req-test",
            max_body=1000,
            body_timeout=1.0,
            base_url="http://cloud.test",
        )
        made.caller_or_none = self.gateway.badges._callers[self.tokens[project]]
        return made

    def upload(self, project: str, data: bytes = DATA, **fields: Any) -> dict[str, Any]:
        """An image with data."""
        body = {"name": "demo", "disk_format": "raw", "container_format": "bare", **fields}
        token = self.tokens[project]
        made = self.glance.request("POST", "/v2/images", body, token)
        answer = httpx.put(
            f"{self.glance.url}/v2/images/{made['id']}/file",
            content=data,
            timeout=120,
            headers={"X-Auth-Token": token, "Content-Type": "application/octet-stream"},
        )
        assert answer.status_code == 204, answer.text
        shown: dict[str, Any] = self.glance.request("GET", f"/v2/images/{made['id']}", token=token)
        return shown

    async def resource(self, name: str) -> Image | None:
        """The Image resource of that name."""
        try:
            image: Image = Image.from_api(await self.gateway.services.cluster.kubernetes.get(Image, name))
        except NotFound:
            return None
        return image


@pytest_asyncio.fixture
async def abroad(
    cluster: RunningControlPlane, real_glance: RunningGlance, tmp_path: Path
) -> AsyncIterator[Abroad]:
    keystone = real_glance.keystone
    async with gateway_app(f"sqlite+aiosqlite:///{tmp_path}/cairn.db", cluster) as gateway:
        glance = GlanceSettings(
            url=real_glance.url,
            keystone_url=keystone.url,
            username=keystone.admin_user,
            password=SecretStr(keystone.admin_password),
            project="admin",
        )
        images = ImageSettings(backend=ImageBackend.GLANCE, glance=glance)
        settings = gateway.services.settings.model_copy(update={"images": images})
        services = replace(
            gateway.services,
            settings=settings,
            images=make_images(settings, gateway.services.db, gateway.services.cluster),
        )
        gateway.services, gateway.app = services, create_app(services, Health())
        tokens = {}
        for name in ("green", "blue"):
            suffix = secrets.token_hex(4)
            project = keystone.create("project", name=f"{name}-{suffix}", domain_id="default")
            user = keystone.create("user", name=f"ann-{suffix}", password="pw", domain_id="default")
            keystone.grant(user["id"], project["id"], "member")
            spec = ProjectSpec(id=project["id"])
            await tenants.upsert_project(services.db, name, spec, uid=str(uuid.uuid4()))
            tokens[name] = keystone.token(f"ann-{suffix}", "pw", f"{name}-{suffix}")
            caller = await gateway.caller(name)
            gateway.badges._callers[tokens[name]] = replace(caller, project_id=project["id"])
        yield Abroad(gateway, real_glance, tokens)
        await services.images.close()
        answer = await services.cluster.kubernetes.request("GET", Image.kind_info.path())
        for body in answer["items"]:
            await services.cluster.delete(Image, body["metadata"]["name"])


async def test_an_image_becomes_a_resource_when_it_is_first_booted(abroad: Abroad) -> None:
    shown = abroad.upload("green", name="Debian 12", visibility="private", min_ram=64, os_type="linux")
    found = await abroad.images.find(abroad.call("green"), shown["id"])
    assert found is not None
    assert (found.id, found.name, found.size, found.status) == (shown["id"], "Debian 12", len(DATA), "active")
    assert found.spec.sha256 == hashlib.sha256(DATA).hexdigest()
    resource = await abroad.resource(found.resource)
    assert resource is not None
    assert resource.metadata.name == "debian-12"
    assert resource.spec == found.spec
    assert (resource.spec.id, resource.spec.owner) == (shown["id"], "green")
    assert (resource.spec.min_memory_mib, resource.spec.properties["os_type"]) == (64, "linux")
    again = await abroad.images.find(abroad.call("green"), shown["id"])
    assert again == found


async def test_who_does_not_see_it_does_not_boot_it(abroad: Abroad) -> None:
    shown = abroad.upload("green", visibility="private")
    assert await abroad.images.find(abroad.call("blue"), shown["id"]) is None
    assert await abroad.images.find(abroad.call("green"), shown["id"]) is not None
    assert await abroad.images.find(abroad.call("blue"), shown["id"]) is None
    assert await abroad.resource("demo") is not None
    assert await abroad.images.find(abroad.call("green"), str(uuid.uuid4())) is None
    assert await abroad.images.find(abroad.call("green"), "../../v2/images") is None


async def test_a_member_of_a_shared_image_boots_it(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    blue = abroad.call("blue").caller.project_id
    abroad.glance.request(
        "POST", f"/v2/images/{shown['id']}/members", {"member": blue}, abroad.tokens["green"]
    )
    found = await abroad.images.find(abroad.call("blue"), shown["id"])
    assert found is not None
    assert "blue" in found.spec.projects


async def test_hosts_fetch_it_through_the_gateway(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    found = await abroad.images.find(abroad.call("green"), shown["id"])
    assert found is not None
    signed = httpx.URL((await abroad.images.keys()).signed(found.spec.url))
    host = abroad.gateway.client(None)
    answer = await host.get(signed.raw_path.decode())
    assert answer.status_code == 200
    assert answer.content == DATA
    assert (await host.get(signed.path)).status_code == 404
    other = abroad.upload("green")
    path = signed.raw_path.decode().replace(shown["id"], other["id"])
    assert (await host.get(path)).status_code == 404


async def test_changes_in_glance_reach_the_resource(abroad: Abroad) -> None:
    shown = abroad.upload("green")
    first = await abroad.images.find(abroad.call("green"), shown["id"])
    assert first is not None
    await abroad.images.change_properties(abroad.call("green"), shown["id"], {"a/b": "c"})
    await abroad.images.find(abroad.call("green"), shown["id"])
    resource = await abroad.resource(first.resource)
    assert resource is not None
    assert resource.spec.properties["a/b"] == "c"
    assert await abroad.images.delete(abroad.call("green"), shown["id"])
    assert await abroad.resource(first.resource) is None
    assert await rows.get(abroad.gateway.services.db, shown["id"]) is None
    assert not await abroad.images.delete(abroad.call("green"), shown["id"])


async def test_novas_images_are_glances(abroad: Abroad) -> None:
    for name in ("one", "two", "three"):
        abroad.upload("green", data=b"x", name=name)
    nova = abroad.gateway.client(None, "2.1", **{"X-Auth-Token": abroad.tokens["green"]})
    found = (await nova.get("/compute/v2.1/images?limit=2")).json()
    assert [image["name"] for image in found["images"]] == ["three", "two"]
    following = found["images_links"][0]["href"]
    assert [image["name"] for image in (await nova.get(following)).json()["images"]] == ["one"]
    assert (await nova.get("/image/v2/images")).status_code == 404


async def test_a_glance_that_is_away_is_told_of(abroad: Abroad) -> None:
    shown = abroad.upload("green", data=b"x")
    abroad.images._client._url = "http://127.0.0.1:9"
    with pytest.raises(ServiceUnavailable, match="Glance does not answer"):
        await abroad.images.find(abroad.call("green"), shown["id"])
