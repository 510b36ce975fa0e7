"""A Kubernetes control plane as local processes: etcd, kube-apiserver, kube-controller-manager.

`ControlPlane` writes keys and kubeconfigs below its data folder and describes the processes; whoever made it
runs them (`supervision` for `cairn up`, `ProcessGroup` for tests). Everything listens on 127.0.0.1 only.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import random
import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cairn_local.control_plane import kubeconfig
from cairn_local.control_plane.audit import POLICY
from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.pki import CertificateAuthority, KeyPair, Subject, signing_key
from cairn_local.process import HttpProbe, ProcessSpec

LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/24"
SERVICE_ADDRESS = "10.96.0.1"
"""The `kubernetes` service's own address: the first of SERVICE_RANGE."""

PORT_RANGE = range(20_000, 32_000)
"""Below the kernel's ephemeral ports, so that no outgoing connection takes one while a plane is down."""

CONTROLLERS = (
    "namespace",
    "garbagecollector",
    "serviceaccount",
    "serviceaccount-token",
    "root-ca-cert-publisher",
    # Fills the admin, edit and view roles, which tenants' roles on Cairn's resources aggregate to.
    "clusterrole-aggregation",
    "csrsigning",
    "csrcleaner",
)
"""The controllers a cluster without pods needs; each further one costs watches and start-up time."""

ETCD_PRIORITY, API_SERVER_PRIORITY, CONTROLLER_MANAGER_PRIORITY = 10, 20, 30


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int

    @classmethod
    def free(cls) -> Ports:
        """Ports nobody listens on now."""
        chosen: list[int] = []
        for port in random.SystemRandom().sample(PORT_RANGE, len(PORT_RANGE)):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    continue
            chosen.append(port)
            if len(chosen) == len(dataclasses.fields(cls)):
                return cls(*chosen)
        raise OSError(f"no free TCP ports between {PORT_RANGE.start} and {PORT_RANGE.stop}")


@dataclass(frozen=True)
class _Keys:
    """Every key pair of a control plane; etcd has an authority of its own, so no client of the API
    server can talk to it."""

    authority: KeyPair
    api_server: KeyPair
    admin: KeyPair
    controller_manager: KeyPair
    controller_manager_server: KeyPair
    front_proxy_authority: KeyPair
    front_proxy: KeyPair
    service_accounts: KeyPair
    etcd_authority: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair


class ControlPlane:
    """A control plane that lives in a folder. The same folder is the same cluster, on the same ports."""

    def __init__(
        self, data_dir: Path, binaries: Binaries, ports: Ports | None = None, *, audit: bool = False
    ) -> None:
        """Prepare keys, ports and kubeconfigs in `data_dir` (made 0700); nothing is started.

        `ports`: None takes those of last time, or free ones the first time. `audit` logs every write request
        to `audit_log`, see `audit.audited_writes`.
        """
        self.data_dir = data_dir.absolute()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        self.binaries = binaries
        self.ports = self._settle_ports(ports)
        self.audit_log = self.data_dir / "audit.log"
        self._audit = audit
        self._keys = self._make_keys()
        self.kubeconfig = self._client_kubeconfig("admin", self._keys.admin)
        """Kubeconfig of the cluster's administrator (group system:masters)."""
        self._controller_manager_kubeconfig = self._client_kubeconfig(
            "kube-controller-manager", self._keys.controller_manager
        )
        self._audit_policy = self.data_dir / "audit-policy.json"
        self._audit_policy.write_text(json.dumps(POLICY))

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{LOOPBACK}:{self.ports.api_server}"

    @property
    def certificate_authority(self) -> Path:
        """The CA file of the API server's certificate."""
        return self._keys.authority.certificate

    @property
    def service_account_key(self) -> Path:
        """The private key that signs service account tokens."""
        return self._keys.service_accounts.key

    def specs(self) -> list[ProcessSpec]:
        """The processes, in the order they start."""
        return [self._etcd(), self._api_server(), self._controller_manager()]

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig (0600) acting as a service account; needs the running API server.

        The token lasts a year and is kept while it has half of that left. Raises KubeconfigError when there
        is no such service account.
        """
        path = self.data_dir / "kubeconfigs" / f"{namespace}.{name}.kubeconfig"
        return kubeconfig.service_account_kubeconfig(
            self.binaries.kubectl, self.kubeconfig, namespace, name, path
        )

    def _settle_ports(self, ports: Ports | None) -> Ports:
        kept = self.data_dir / "ports.json"
        if ports is None:
            ports = Ports(**json.loads(kept.read_text())) if kept.exists() else Ports.free()
        kept.write_text(json.dumps(dataclasses.asdict(ports)))
        return ports

    def _client_kubeconfig(self, name: str, client: KeyPair) -> Path:
        path = self.data_dir / f"{name}.kubeconfig"
        return kubeconfig.certificate_kubeconfig(path, self.server, self._keys.authority.certificate, client)

    def _make_keys(self) -> _Keys:
        folder = self.data_dir / "pki"
        cluster = CertificateAuthority(folder / "cluster", "cairn-local")
        front = CertificateAuthority(folder / "front-proxy", "cairn-local-front-proxy")
        etcd = CertificateAuthority(folder / "etcd", "cairn-local-etcd")
        local = (LOOPBACK, "localhost")
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
        server = Subject(
            "kube-apiserver",
            hosts=(*local, *names, "kubernetes.default.svc.cluster.local", SERVICE_ADDRESS),
            client=False,
        )
        return _Keys(
            authority=cluster.pair,
            api_server=cluster.issue("kube-apiserver", server),
            admin=cluster.issue("admin", Subject("cairn-admin", ("system:masters",))),
            controller_manager=cluster.issue(
                "kube-controller-manager", Subject("system:kube-controller-manager")
            ),
            controller_manager_server=cluster.issue(
                "kube-controller-manager-server", Subject("localhost", hosts=local, client=False)
            ),
            front_proxy_authority=front.pair,
            front_proxy=front.issue("front-proxy-client", Subject("front-proxy-client")),
            service_accounts=signing_key(folder / "service-accounts"),
            etcd_authority=etcd.pair,
            etcd=etcd.issue("etcd", Subject("etcd", hosts=local)),
            etcd_client=etcd.issue("kube-apiserver", Subject("kube-apiserver")),
        )

    def _etcd(self) -> ProcessSpec:
        # TLS with client certificates although it listens on loopback: etcd asks nobody who they are, and
        # whoever may write to it owns the cluster. It costs about 0.25 ms of CPU per write (etcd and API
        # server together, of about 1.6 ms) and no latency that shows.
        client, peer = (f"https://{LOOPBACK}:{port}" for port in (self.ports.etcd, self.ports.etcd_peer))
        keys = self._keys
        flags = {
            "name": "cairn",
            "data-dir": self.data_dir / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"cairn={peer}",
            "cert-file": keys.etcd.certificate,
            "key-file": keys.etcd.key,
            "trusted-ca-file": keys.etcd_authority.certificate,
            "client-cert-auth": "true",
            "peer-cert-file": keys.etcd.certificate,
            "peer-key-file": keys.etcd.key,
            "peer-trusted-ca-file": keys.etcd_authority.certificate,
            "peer-client-cert-auth": "true",
            # A smaller log in memory between snapshots (default 100,000 entries), and room to grow: the API
            # server compacts only every five minutes.
            "snapshot-count": 10_000,
            "quota-backend-bytes": 4 * 1024**3,
            # A member alone still waits for an election when it starts: a quarter of a second, not one.
            "heartbeat-interval": 50,
            "election-timeout": 250,
            "logger": "zap",
            "log-level": "warn",
        }
        return ProcessSpec(
            name="etcd",
            argv=_argv(self.binaries.etcd, flags),
            directory=self.data_dir,
            ready=HttpProbe(
                f"{client}/health",
                keys.etcd_authority.certificate,
                client=(keys.etcd_client.certificate, keys.etcd_client.key),
            ),
            ready_seconds=30,
            priority=ETCD_PRIORITY,
        )

    def _api_server(self) -> ProcessSpec:
        return ProcessSpec(
            name="kube-apiserver",
            argv=_argv(self.binaries.kube_apiserver, self._api_server_flags() | self._audit_flags()),
            directory=self.data_dir,
            ready=HttpProbe(f"{self.server}/readyz", self._keys.authority.certificate),
            # Everything it knows is in etcd; what it would wait for longer is somebody's open watch.
            stop_seconds=3,
            priority=API_SERVER_PRIORITY,
        )

    def _api_server_flags(self) -> dict[str, object]:
        keys = self._keys
        return {
            "bind-address": LOOPBACK,
            # Unset, it looks for the machine's default route and refuses to start without one.
            "advertise-address": LOOPBACK,
            "secure-port": self.ports.api_server,
            "etcd-servers": f"https://{LOOPBACK}:{self.ports.etcd}",
            "etcd-cafile": keys.etcd_authority.certificate,
            "etcd-certfile": keys.etcd_client.certificate,
            "etcd-keyfile": keys.etcd_client.key,
            "tls-cert-file": keys.api_server.certificate,
            "tls-private-key-file": keys.api_server.key,
            "client-ca-file": keys.authority.certificate,
            "authorization-mode": "Node,RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": keys.service_accounts.certificate,
            "service-account-signing-key-file": keys.service_accounts.key,
            "service-cluster-ip-range": SERVICE_RANGE,
            # There is no address under which pods could reach this server.
            "endpoint-reconciler-type": "none",
            "allow-privileged": "true",
            # Aggregated API servers and webhooks learn from these who asks.
            "requestheader-client-ca-file": keys.front_proxy_authority.certificate,
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": keys.front_proxy.certificate,
            "proxy-client-key-file": keys.front_proxy.key,
            # One machine, few and known clients: refuse nobody for being busy, and let a watcher that was
            # away find its place again instead of listing everything.
            "max-requests-inflight": 3000,
            "max-mutating-requests-inflight": 1500,
            "default-watch-cache-size": 2000,
            "delete-collection-workers": 4,
            # No queues per kind of client on a machine of its own, and no groups that are not stable yet:
            # their informers and schemas cost a fifth of the start and a quarter of what it takes at rest.
            "enable-priority-and-fairness": "false",
            "runtime-config": "api/beta=false",
            "event-ttl": "6h",
            "profiling": "false",
        }

    def _audit_flags(self) -> dict[str, object]:
        if not self._audit:
            return {}
        return {"audit-policy-file": self._audit_policy, "audit-log-path": self.audit_log}

    def _controller_manager(self) -> ProcessSpec:
        keys = self._keys
        flags: dict[str, object] = {
            "kubeconfig": self._controller_manager_kubeconfig,
            "authentication-kubeconfig": self._controller_manager_kubeconfig,
            "authorization-kubeconfig": self._controller_manager_kubeconfig,
            "bind-address": LOOPBACK,
            "secure-port": self.ports.controller_manager,
            "tls-cert-file": keys.controller_manager_server.certificate,
            "tls-private-key-file": keys.controller_manager_server.key,
            "controllers": ",".join(CONTROLLERS),
            "use-service-account-credentials": "true",
            "service-account-private-key-file": keys.service_accounts.key,
            "root-ca-file": keys.authority.certificate,
            "cluster-signing-cert-file": keys.authority.certificate,
            "cluster-signing-key-file": keys.authority.key,
            # The only one there is; an election would delay every restart by the lease.
            "leader-elect": "false",
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
            "concurrent-namespace-syncs": 20,
            "profiling": "false",
        }
        if _minor_version(self.binaries.kube_controller_manager) < 24:
            flags["port"] = 0  # its plain HTTP port; gone since 1.24, and so is the flag
        return ProcessSpec(
            name="kube-controller-manager",
            argv=_argv(self.binaries.kube_controller_manager, flags),
            directory=self.data_dir,
            ready=HttpProbe(
                f"https://{LOOPBACK}:{self.ports.controller_manager}/healthz", keys.authority.certificate
            ),
            priority=CONTROLLER_MANAGER_PRIORITY,
        )


def _argv(program: Path, flags: dict[str, object]) -> tuple[str, ...]:
    return (str(program), *(f"--{name}={value}" for name, value in flags.items()))


@functools.cache
def _minor_version(program: Path) -> int:
    """20 for Kubernetes v1.20.2. Raises ValueError when the program does not say."""
    shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v1\.(\d+)", shown)
    if match is None:
        raise ValueError(f"{program} --version says {shown.strip()!r}")
    return int(match[1])
