"""Gateways over SQLite and the real API server: with the built-in store in a folder, and with a Glance."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from cairn_crds import Image
from cairn_crds.project import ProjectSpec
from cairn_database import tenants
from cairn_gateway.app import create_app
from cairn_gateway.image.backend import make_images
from cairn_gateway.image.settings import GlanceSettings, ImageBackend, ImageSettings
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_runtime.health import Health
from integration.gateway.image.abroad import Abroad
from integration.gateway.image.world import World
from support.gateway import gateway_app
from support.openstack_services import RunningGlance
from support.tree import ROOT


@pytest.fixture(scope="package")
def cluster(control_plane: RunningControlPlane) -> RunningControlPlane:
    """The API server with Cairn's kinds."""
    install_manifests(control_plane.kubeconfig, ROOT / "crds/manifests", [])
    return control_plane


@pytest_asyncio.fixture
async def world(cluster: RunningControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    """Projects green and blue with their members, and an administrator."""
    url = f"sqlite+aiosqlite:///{tmp_path}/cairn.db"
    async with gateway_app(url, cluster, directory=tmp_path) as gateway:
        made = await World.make(gateway, tmp_path)
        try:
            yield made
        finally:
            await made.delete_resources()


@pytest_asyncio.fixture
async def abroad(
    cluster: RunningControlPlane, real_glance: RunningGlance, tmp_path: Path
) -> AsyncIterator[Abroad]:
    """Members of projects green and blue of a real Keystone."""
    keystone = real_glance.keystone
    async with gateway_app(f"sqlite+aiosqlite:///{tmp_path}/cairn.db", cluster) as gateway:
        glance = GlanceSettings(
            url=real_glance.url,
            keystone_url=keystone.url,
            username=keystone.admin_user,
            password=SecretStr(keystone.admin_password),
            project="admin",
        )
        images = ImageSettings(backend=ImageBackend.GLANCE, glance=glance, sweep_seconds=0.2)
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
        await services.images.open()
        yield Abroad(gateway, real_glance, tokens)
        await services.images.close()
        answer = await services.cluster.kubernetes.request("GET", Image.kind_info.path())
        for body in answer["items"]:
            await services.cluster.delete(Image, body["metadata"]["name"])
