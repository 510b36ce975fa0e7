"""A real Keystone and a real Glance (`clients/services.lock`), each over SQLite in a folder of its own.

`running_keystone` and `running_glance` start them on free loopback ports; the fixtures of the same subject
are in `support.openstack_fixtures`. Both are the unmodified packages behind a threaded WSGI server; their
logs are below the folder.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn_local.process import ChildProcess, HttpProbe, ProcessGroup, ProcessSpec
from support.client_environment import ClientEnvironment, clean_environment, client_environment
from support.ports import LOOPBACK, free_port

SERVE = Path(__file__).with_name("serve_wsgi.py")
REGION = "RegionOne"

KEYSTONE_CONF = """
[DEFAULT]
log_file =
use_stderr = true
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {directory}/fernet-keys
[credential]
key_repository = {directory}/credential-keys
[fernet_receipts]
key_repository = {directory}/fernet-keys
[identity]
# The least that bcrypt allows: tests sign in often, and guess no passwords.
password_hash_rounds = 4
[cache]
enabled = false
"""

GLANCE_CONF = """
[DEFAULT]
use_stderr = true
enabled_backends = disk:file
enabled_import_methods = []
show_multiple_locations = false
worker_self_reference_url = http://{host}:{port}
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = {directory}/images
[os_glance_staging_store]
filesystem_store_datadir = {directory}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {directory}/tasks
[database]
connection = sqlite:///{directory}/glance.db
[paste_deploy]
flavor = keystone
config_file = {paste}
[oslo_policy]
policy_file = {directory}/policy.yaml
[keystone_authtoken]
auth_type = password
auth_url = {identity}
www_authenticate_uri = {identity}
username = glance
password = {password}
project_name = service
user_domain_id = default
project_domain_id = default
# Tokens are looked up each time: a test that revokes one wants to see it.
token_cache_time = -1
[oslo_concurrency]
lock_path = {directory}/locks
"""


class ServiceRefused(Exception):
    """A service answered with an error; `status` is the code."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


@dataclass(frozen=True)
class RunningKeystone:
    """A Keystone that answers, with its first administrator."""

    url: str
    """With the version: `http://127.0.0.1:PORT/v3`."""
    directory: Path
    """Its configuration, database and keys."""
    group: ProcessGroup = field(repr=False)
    environment: ClientEnvironment = field(repr=False)
    admin_user: str = "admin"
    admin_password: str = "admin-password"
    admin_project: str = "admin"

    @property
    def process(self) -> ChildProcess:
        """To be killed, frozen or restarted."""
        return self.group["keystone"]

    def openrc(
        self, user: str = "", password: str = "", project: str = "", region: str = REGION
    ) -> dict[str, str]:
        """The OS_… variables of a user (of domain Default); the administrator's when left out."""
        return {
            "OS_AUTH_URL": self.url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": user or self.admin_user,
            "OS_PASSWORD": password or self.admin_password,
            "OS_PROJECT_NAME": project or self.admin_project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": region,
        }

    def token(self, user: str = "", password: str = "", project: str | None = None) -> str:
        """A fresh token; scoped to the project (the administrator's when left out, unscoped for "")."""
        project = self.admin_project if project is None else project
        auth: dict[str, Any] = {
            "identity": {
                "methods": ["password"],
                "password": {
                    "user": {
                        "name": user or self.admin_user,
                        "domain": {"id": "default"},
                        "password": password or self.admin_password,
                    }
                },
            }
        }
        if project:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        _status, headers, _body = call("POST", f"{self.url}/auth/tokens", {"auth": auth})
        return headers["X-Subject-Token"]

    def request(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON answer to `path` (as in `/users`), as the administrator unless `token` says otherwise.
        Raises ServiceRefused."""
        headers = {"X-Auth-Token": token or self.token()}
        return call(method, self.url + path, body, headers)[2]

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """`create("user", name=…, password=…)`: the new object. `kind` in the singular."""
        answer: dict[str, Any] = self.request("POST", f"/{kind}s", {kind: values})[kind]
        return answer

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """The object of that name. Raises LookupError."""
        for item in self.request("GET", f"/{kind}s?name={name}")[f"{kind}s"]:
            return dict(item)
        raise LookupError(f"no {kind} {name}")

    def grant(self, user_id: str, project_id: str, role: str) -> None:
        """Assign a role in a project."""
        role_id = self.find("role", role)["id"]
        self.request("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}")

    def register(self, kind: str, name: str, url: str) -> None:
        """A service and its endpoints into the catalog: `register("compute", "nova", "http://…/v2.1")`."""
        service = self.create("service", type=kind, name=name)
        for interface in ("public", "internal", "admin"):
            self.create("endpoint", service_id=service["id"], interface=interface, url=url, region_id=REGION)

    def manage(self, *arguments: str) -> str:
        """keystone-manage."""
        return _run(self.environment, "keystone-manage", "--config-dir", str(self.directory), *arguments)


@dataclass(frozen=True)
class RunningGlance:
    """A Glance that answers, registered in its Keystone's catalog."""

    url: str
    """Without the version: `http://127.0.0.1:PORT`."""
    directory: Path
    group: ProcessGroup = field(repr=False)
    keystone: RunningKeystone = field(repr=False)

    @property
    def process(self) -> ChildProcess:
        """To be killed, frozen or restarted."""
        return self.group["glance"]

    def request(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """The JSON answer to `path` (as in `/v2/images`). Raises ServiceRefused."""
        headers = {"X-Auth-Token": token or self.keystone.token()}
        return call(method, self.url + path, body, headers)[2]


@contextmanager
def running_keystone(directory: Path) -> Iterator[RunningKeystone]:
    """Start a Keystone with its data in `directory`; stop it afterwards. Takes about 10 s."""
    environment = client_environment("services")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    port = free_port()
    (directory / "keystone.conf").write_text(KEYSTONE_CONF.format(directory=directory))
    group = ProcessGroup([], directory / "logs")
    keystone = RunningKeystone(f"http://{LOOPBACK}:{port}/v3", directory, group, environment)
    for name in ("fernet-keys", "credential-keys"):
        (directory / name).mkdir(mode=0o700)
    keystone.manage("db_sync")
    owner = ("--keystone-user", "root", "--keystone-group", "root")
    keystone.manage("fernet_setup", *owner)
    keystone.manage("credential_setup", *owner)
    urls = [(f"--bootstrap-{kind}-url", keystone.url) for kind in ("public", "internal", "admin")]
    keystone.manage(
        *("bootstrap", "--bootstrap-username", keystone.admin_user),
        *("--bootstrap-password", keystone.admin_password, "--bootstrap-region-id", REGION),
        *itertools.chain.from_iterable(urls),
    )
    settings = {"OS_KEYSTONE_CONFIG_DIR": str(directory)}
    with group:
        group.add(_service("keystone", environment, port, settings, keystone.url))
        yield keystone


@contextmanager
def running_glance(directory: Path, keystone: RunningKeystone) -> Iterator[RunningGlance]:
    """Start a Glance with its data in `directory` that trusts `keystone`; stop it afterwards."""
    environment = keystone.environment
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    port = free_port()
    for name in ("images", "staging", "tasks", "locks"):
        (directory / name).mkdir()
    password = "glance-password"
    paste = environment.directory / "etc" / "glance" / "glance-api-paste.ini"
    (directory / "policy.yaml").write_text("{}\n")
    (directory / "glance-api.conf").write_text(
        GLANCE_CONF.format(
            directory=directory,
            identity=keystone.url,
            password=password,
            paste=paste,
            host=LOOPBACK,
            port=port,
        )
    )
    _run(environment, "glance-manage", "--config-dir", str(directory), "db_sync")
    _glance_account(keystone, password)
    url = f"http://{LOOPBACK}:{port}"
    keystone.register("image", "glance", url)
    settings = {"OS_GLANCE_CONFIG_DIR": str(directory)}
    with ProcessGroup([], directory / "logs") as group:
        group.add(_service("glance", environment, port, settings, f"{url}/healthcheck"))
        yield RunningGlance(url, directory, group, keystone)


def call(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON (None when empty) of a request. Raises ServiceRefused from 400 on."""
    data = None if body is None else json.dumps(body).encode()
    own = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, headers=own, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            text = response.read()
            return response.status, response.headers, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        raise ServiceRefused(error.code, error.read().decode(errors="replace")) from None


def _glance_account(keystone: RunningKeystone, password: str) -> None:
    """The user that Glance asks Keystone as."""
    try:
        project = keystone.find("project", "service")
    except LookupError:
        project = keystone.create("project", name="service", domain_id="default")
    user = keystone.create("user", name="glance", password=password, domain_id="default")
    keystone.grant(user["id"], project["id"], "admin")
    keystone.grant(user["id"], project["id"], "service")


def _service(
    name: str, environment: ClientEnvironment, port: int, settings: Mapping[str, str], probe: str
) -> ProcessSpec:
    """The API of keystone or glance; `settings` say where its configuration is."""
    return ProcessSpec(
        name=name,
        argv=(str(environment.python), "-P", str(SERVE), str(port), f"{name}.wsgi.api"),
        env={**settings, "PYTHONUNBUFFERED": "1"},
        ready=HttpProbe(probe),
        ready_seconds=120.0,
    )


def _run(environment: ClientEnvironment, program: str, *arguments: str) -> str:
    command = [str(environment.program(program)), *arguments]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} {' '.join(arguments)}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
