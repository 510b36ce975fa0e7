"""A whole Cairn as OpenStack clients see it: the fake driver, a gateway, an administrator and some people.

`running_openstack` starts it; `OpenStackCloud.users` are the people, each as OS_… variables, and
`OpenStackCloud.write_files` writes them as an openrc each and one clouds.yaml for all.
"""

from __future__ import annotations

import shlex
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.stack import LOOPBACK
from support.cloud import Cloud, running_cloud
from support.openstack_identity import IdentityClient
from support.passwords import ENVIRONMENT

ADMIN_PASSWORD = "the-administrator's-password"
FAST = {
    "agent": {"agent__sweep_seconds": 1, "agent__heartbeat_seconds": 5},
    "conductor": {"conductor__sweep_seconds": 2},
}
"""Nothing waits for a sweep that people would not notice; tests would."""
PUBLIC: dict[str, Any] = {
    "apiVersion": "compute.cairn.dev/v1alpha1",
    "kind": "Network",
    "metadata": {"name": "public"},
    "spec": {"cidr": "192.0.2.0/24", "external": True},
}
"""Where floating addresses come from."""
ROBOT = "robot"
"""Signs in with the application credential `robot` of ann."""
PEOPLE = {"ann": ("demo", "member"), "rita": ("demo", "reader"), "bob": ("other", "member")}
"""Name to project and role."""


@dataclass(frozen=True)
class OpenStackCloud:
    """A cloud that answers."""

    cloud: Cloud
    url: str
    """The gateway: `http://127.0.0.1:PORT`."""
    identity: IdentityClient
    """The administrator."""
    users: dict[str, dict[str, str]] = field(default_factory=dict)
    """OS_… variables by name: admin, those of PEOPLE, `robot`, and `nobody` with a wrong password."""
    projects: dict[str, str] = field(default_factory=dict)
    """Project name to id."""

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON answer to `path` (as in `/compute/v2.1/flavors`) as the administrator. Raises
        ServiceRefused."""
        front = IdentityClient(url=self.url)
        return front.request(method, path, body, self.identity.token())

    def upload(self, path: str, data: bytes) -> None:
        """PUT bytes to `path` as the administrator."""
        headers = {"X-Auth-Token": self.identity.token(), "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method="PUT")  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            response.read()

    def write_files(self, directory: Path) -> None:
        """`clouds.yaml`, and `NAME.openrc` for every user; they hold passwords: 0600."""
        clouds = {name: cloud_entry(values) for name, values in self.users.items()}
        files = {f"{name}.openrc": openrc(values) for name, values in self.users.items()}
        for name, text in {**files, "clouds.yaml": yaml.safe_dump({"clouds": clouds})}.items():
            path = directory / name
            path.touch(mode=0o600)
            path.write_text(text)


@contextmanager
def running_openstack(
    plane: RunningControlPlane,
    directory: Path,
    *,
    nodes: int = 2,
    settings: dict[str, dict[str, object]] | None = None,
    **options: Any,
) -> Iterator[OpenStackCloud]:
    """Start everything; `options` as of `running_cloud`, `settings` also for the process kind `gateway`."""
    settings = {**FAST, **(settings or {})}
    with running_cloud(
        plane, directory, nodes=nodes, settings=settings, environment=ENVIRONMENT, **options
    ) as cloud:
        cloud.apply(PUBLIC)
        cloud.stack.bootstrap_identity("admin", ADMIN_PASSWORD)
        cloud.processes.add(cloud.stack.gateway(**settings.get("gateway", {})))
        url = f"http://{LOOPBACK}:{cloud.stack.port('gateway-api')}"
        identity = IdentityClient(url=f"{url}/identity/v3", admin_password=ADMIN_PASSWORD)
        openstack = OpenStackCloud(cloud, url, identity)
        openstack.users["admin"] = identity.openrc()
        _people(openstack)
        yield openstack


def _people(openstack: OpenStackCloud) -> None:
    """Two projects without limits, and who works in them."""
    identity = openstack.identity
    for project in sorted({project for project, _role in PEOPLE.values()}):
        made = identity.create("project", name=project, domain_id="default")
        openstack.projects[project] = made["id"]
    for name, (project, role) in PEOPLE.items():
        password = f"password-of-{name}"
        user = identity.create("user", name=name, password=password, domain_id="default")
        identity.grant(user["id"], openstack.projects[project], role)
        openstack.users[name] = identity.openrc(name, password, project)
    openstack.users["nobody"] = identity.openrc("ann", "not-ann's-password", "demo")
    openstack.users[ROBOT] = {
        "OS_AUTH_URL": identity.url,
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_APPLICATION_CREDENTIAL_NAME": ROBOT,
        "OS_APPLICATION_CREDENTIAL_SECRET": "a-long-secret",
        "OS_USERNAME": "ann",
        "OS_USER_DOMAIN_ID": "default",
        "OS_REGION_NAME": openstack.users["ann"]["OS_REGION_NAME"],
    }


def openrc(values: Mapping[str, str]) -> str:
    """To be sourced by a shell."""
    return "".join(f"export {key}={shlex.quote(value)}\n" for key, value in sorted(values.items()))


def cloud_entry(values: Mapping[str, str]) -> dict[str, Any]:
    """The same for a clouds.yaml."""
    lower = {key.removeprefix("OS_").lower(): value for key, value in values.items()}
    own = {key: lower.pop(key) for key in ("region_name", "auth_type") if key in lower}
    own["identity_api_version"] = lower.pop("identity_api_version", "3")
    return {**own, "auth": lower}
