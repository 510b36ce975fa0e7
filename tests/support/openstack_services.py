"""A real Keystone and a real Glance (`clients/services.lock`), each over SQLite in a folder of its own.

`running_keystone` and `running_glance` start them on free loopback ports; the fixtures of the same subject
are in `support.openstack_fixtures`. Both are the unmodified packages behind a threaded WSGI server; their
logs are below the folder.
"""

from __future__ import annotations

import base64
import itertools
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn_local.process import ChildProcess, HttpProbe, ProcessGroup, ProcessSpec
from support.client_environment import ClientEnvironment, clean_environment, client_environment
from support.openstack_identity import REGION, IdentityClient, ServiceRefused, call
from support.ports import LOOPBACK, free_port

__all__ = ["RunningGlance", "RunningKeystone", "ServiceRefused", "running_glance", "running_keystone"]
SERVE = Path(__file__).with_name("serve_wsgi.py")

KEYSTONE_CONF = """
[DEFAULT]
log_file =
use_stderr = true
[database]
connection = sqlite:///{directory}/keystone.db
[token]
provider = fernet
# Looked up each time: a token says at once what its project is called now.
caching = false
cache_on_issue = false
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
# What it has read stays in its one process, which hears of every change: without that it reads SQL 650 times
# to look up one token.
enabled = true
backend = dogpile.cache.memory_pickle
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


@dataclass(frozen=True, kw_only=True)
class RunningKeystone(IdentityClient):
    """A Keystone that answers, with its first administrator."""

    directory: Path
    """Its configuration, database and keys."""
    group: ProcessGroup = field(repr=False)
    environment: ClientEnvironment = field(repr=False)

    @property
    def process(self) -> ChildProcess:
        """To be killed, frozen or restarted."""
        return self.group["keystone"]

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
    keystone = RunningKeystone(
        url=f"http://{LOOPBACK}:{port}/v3", directory=directory, group=group, environment=environment
    )
    for name in ("fernet-keys", "credential-keys"):
        _keys(directory / name)
    keystone.manage("db_sync")
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


def _keys(repository: Path) -> None:
    """What `keystone-manage fernet_setup` makes: key 1 signs, key 0 is the next one. That program takes two
    seconds of CPU to start."""
    repository.mkdir(mode=0o700)
    for number in ("0", "1"):
        key = repository / number
        key.touch(mode=0o600)
        key.write_bytes(base64.urlsafe_b64encode(secrets.token_bytes(32)))


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
