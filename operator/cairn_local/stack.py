"""Cairn's own processes on one machine, as descriptions: `cairn up` supervises them, tests start them as
children. Each runs under its own service account, with the role it has in a cluster."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cairn_local.cluster import Cluster
from cairn_local.install import install_manifests
from cairn_local.process import HttpProbe, ProcessSpec
from cairn_runtime.settings import LogFormat

ROOT = Path(__file__).parents[2]
"""The project: manifests and examples are taken from here."""
CRDS = ROOT / "crds" / "manifests"
RBAC = ROOT / "charts" / "cairn" / "files" / "rbac.yaml"
CODE = ("crds", "database", "operator", "node-agent", "api-gateway")
CODE_VARIABLE = "CODE_VERSION"
SYSTEM_NAMESPACE = "cairn-system"
AGENT_ACCOUNT = "cairn-agent"
PORT_RANGE = range(20_000, 32_000)
LOOPBACK = "127.0.0.1"
CONDUCTOR_PRIORITY, SCHEDULER_PRIORITY, GATEWAY_PRIORITY, AGENT_PRIORITY = 50, 51, 52, 60


@dataclass
class Stack:
    """Cairn's processes over one cluster, with their data in one folder."""

    cluster: Cluster
    data_dir: Path
    database_url: str = ""
    """SQLite below `data_dir` when left out."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Settings (`CAIRN_…`) that every process gets."""
    log_format: LogFormat = LogFormat.JSON

    def __post_init__(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self.database_url = self.database_url or f"sqlite+aiosqlite:///{self.data_dir}/cairn.db"

    def install(self) -> None:
        """CRDs, roles and service accounts into the cluster, and the tables into the database."""
        install_manifests(self.cluster.kubeconfig, CRDS, [RBAC])
        self.upgrade_database()

    def upgrade_database(self) -> None:
        """`cairn db upgrade`."""
        command = [*_cairn(), "db", "upgrade"]
        environment = {"CAIRN_DATABASE__URL": self.database_url}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())

    def bootstrap_identity(self, project: str, password: str = "") -> None:
        """`cairn identity bootstrap`: user `admin`, administrator of the cloud and of `project`.

        Without a password one is made and kept in `admin_password_file`.
        """
        environment = {
            "CAIRN_DATABASE__URL": self.database_url,
            "CAIRN_KUBERNETES__KUBECONFIG": str(self.cluster.kubeconfig),
            "CAIRN_BOOTSTRAP__PROJECT": project,
            "CAIRN_BOOTSTRAP__PASSWORD": password,
            "CAIRN_BOOTSTRAP__PASSWORD_FILE": str(self.admin_password_file),
            **self.environment,
        }
        command = [*_cairn(), "identity", "bootstrap"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    @property
    def admin_password_file(self) -> Path:
        """The password of user `admin`, mode 0600."""
        return self.data_dir / "admin-password"

    @property
    def gateway_url(self) -> str:
        """Where the gateway answers."""
        return f"http://{LOOPBACK}:{self.port('gateway-api')}"

    def enrol(self, nodes: Sequence[str]) -> None:
        """ComputeNodes for `nodes`; needs a running conductor, which answers with the agents' accounts."""
        manifests = [
            {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": "ComputeNode", "metadata": {"name": node}}
            for node in nodes
        ]
        self.cluster.run("apply", "-f", "-", stdin="\n".join(map(json.dumps, manifests)))

    def conductor(self, name: str = "conductor", **settings: object) -> ProcessSpec:
        """One conductor replica; `settings` as in `conductor__patience_seconds=2`."""
        own = {
            "conductor__identity": name,
            "conductor__image_store_url": self.gateway_url,
            **settings,
        }
        return self._process(
            name, "conductor", CONDUCTOR_PRIORITY, own, account=(SYSTEM_NAMESPACE, "cairn-conductor")
        )

    def scheduler(self, name: str = "scheduler", **settings: object) -> ProcessSpec:
        """One scheduler replica."""
        return self._process(
            name, "scheduler", SCHEDULER_PRIORITY, settings, account=(SYSTEM_NAMESPACE, "cairn-scheduler")
        )

    def gateway(self, name: str = "gateway", **settings: object) -> ProcessSpec:
        """One gateway replica; it answers at `self.port(name + "-api")`."""
        port = self.port(f"{name}-api")
        own = {"gateway__port": port, "gateway__data_dir": self.data_dir / "gateway", **settings}
        spec = self._process(
            name, "gateway", GATEWAY_PRIORITY, own, account=(SYSTEM_NAMESPACE, "cairn-gateway")
        )
        return replace(spec, ready=HttpProbe(f"http://{LOOPBACK}:{port}/readyz"))

    def agent(self, nodes: Sequence[str], name: str = "agent", **settings: object) -> ProcessSpec:
        """The agent of `nodes`; one that serves several is the administrator to Kubernetes, because an
        agent's own account reaches one node only. Who asks its endpoint is on this machine, too."""
        own = {"agent__nodes": json.dumps(list(nodes)), "agent__endpoint_host": LOOPBACK, **settings}
        account = (f"cairn-node-{nodes[0]}", AGENT_ACCOUNT) if len(nodes) == 1 else None
        return self._process(name, "agent", AGENT_PRIORITY, own, account=account, database=False)

    def port(self, name: str) -> int:
        """A port on 127.0.0.1 for `name`, the same whenever this folder is used again."""
        kept = self.data_dir / "ports.json"
        ports: dict[str, int] = json.loads(kept.read_text()) if kept.exists() else {}
        if name not in ports:
            ports[name] = _free_port(set(ports.values()))
            kept.write_text(json.dumps(ports, indent=1))
        return ports[name]

    def _process(
        self,
        name: str,
        command: str,
        priority: int,
        settings: Mapping[str, object],
        *,
        account: tuple[str, str] | None,
        database: bool = True,
    ) -> ProcessSpec:
        health = self.port(name)
        kubeconfig = self.cluster.account_kubeconfig(*account) if account else self.cluster.kubeconfig
        values: dict[str, object] = {
            "kubernetes__kubeconfig": kubeconfig,
            "health__port": health,
            "log__format": self.log_format,
            **settings,
        }
        if database:
            values["database__url"] = self.database_url
        environment = {f"CAIRN_{key.upper()}": str(value) for key, value in values.items()}
        return ProcessSpec(
            name=name,
            argv=(*_cairn(), command),
            env={**environment, **self.environment, "PYTHONUNBUFFERED": "1", CODE_VARIABLE: code_version()},
            directory=self.data_dir,
            ready=HttpProbe(f"http://{LOOPBACK}:{health}/readyz"),
            live=HttpProbe(f"http://{LOOPBACK}:{health}/healthz"),
            stop_seconds=20.0,
            priority=priority,
        )


@functools.cache
def code_version() -> str:
    """Changes with any of Cairn's modules: `cairn up` after an update restarts what is out of date."""
    modules = sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    facts = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in modules]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


def _cairn() -> tuple[str, ...]:
    """The `cairn` command of this very environment."""
    return (sys.executable, "-m", "cairn_cli")


def _free_port(taken: set[int]) -> int:
    for port in random.SystemRandom().sample(PORT_RANGE, len(PORT_RANGE)):
        if port in taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise OSError(f"no free TCP port between {PORT_RANGE.start} and {PORT_RANGE.stop}")
