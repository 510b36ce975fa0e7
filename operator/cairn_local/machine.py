"""This machine as a cloud: Kubernetes, the guests' room and Cairn's processes, brought up in order.

Everything is a comparison: what is there and as described is left alone, so that a second `cairn up`
changes nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cairn_crds import API_VERSION
from cairn_crds.guest import node_namespace
from cairn_local.cluster import Cluster, KubectlFailed
from cairn_local.control_plane.binaries import ExistingCluster, find_control_plane
from cairn_local.control_plane.kubeconfig import service_account_kubeconfig
from cairn_local.control_plane.plane import ControlPlane
from cairn_local.hypervisor.room import HypervisorRoom
from cairn_local.images import demo
from cairn_local.images.store import BuiltImage
from cairn_local.process import ProcessSpec
from cairn_local.progress import Progress
from cairn_local.settings import NODE, PROJECT, Home
from cairn_local.stack import AGENT_ACCOUNT, Stack
from cairn_local.supervision import Supervisor
from cairn_local.waiting import wait_until
from cairn_local.watchdog import watchdog_spec


class Machine:
    """The local cloud of one home folder."""

    def __init__(self, home: Home, progress: Progress, context: str | None = None) -> None:
        """Finds (or builds) what is needed; starts nothing."""
        self.home = home
        self._progress = progress
        home.prepare()
        self.image: BuiltImage = demo.ensure_demo_image(progress.say)
        found = find_control_plane(context, progress.say)
        self._plane: ControlPlane | None = None
        if isinstance(found, ExistingCluster):
            progress.say(f"using the cluster of context {found.context}")
            self._write_kubeconfig(found.kubeconfig)
            self.cluster = Cluster(found.kubectl, home.kubeconfig, self._foreign_account)
        else:
            self._plane = ControlPlane(home.control_plane, found)
            self._write_kubeconfig(self._plane.kubeconfig.read_bytes())
            self._link_kubectl(found.kubectl)
            self.cluster = Cluster(
                found.kubectl, self._plane.kubeconfig, self._plane.service_account_kubeconfig
            )
        self._room = HypervisorRoom(home.room)
        self._stack = Stack(self.cluster, home.stack)
        self._supervisor = Supervisor(home.supervisor)

    def start(self) -> bool:
        """Start what does not run yet; False where there was nothing to do."""
        changed = self._ensure_base()
        with self._progress.step("resource definitions, roles and database tables"):
            self._stack.install()
        if not self._has_account():
            self._supervisor.apply([*self._base(), *self._core()], self._progress.say)
            self._stack.enrol([NODE])
            wait_until(self._has_account, "the agent's service account", 60)
            changed = True
        agent = self._agent()
        self._write_private(
            self.home.agent_environment,
            json.dumps(
                {name: value for name, value in agent.env.items() if name.startswith("CAIRN_")}
            ).encode(),
        )
        cairn = [*self._core(), agent]
        specs = [*self._base(), *cairn, watchdog_spec(self._supervisor, cairn)]
        changes = self._supervisor.apply(specs, self._progress.say)
        if changed or not self.home.openrc.exists():
            with self._progress.step("the first administrator"):
                self._stack.bootstrap_identity(PROJECT)
                self._write_client_files()
        return changed or bool(changes.started or changes.restarted or changes.removed)

    def demo_image_manifest(self) -> dict[str, Any]:
        """The Image resource of the demo image."""
        return image_manifest("demo", self.image, demo.PROPERTIES)

    def key_pair_manifest(self) -> dict[str, Any]:
        """The example project's KeyPair; its private half is made here, once."""
        private = self.home.identity
        public = private.with_suffix(".pub")
        if not public.exists():
            private.parent.mkdir(mode=0o700, exist_ok=True)
            key = ed25519.Ed25519PrivateKey.generate()
            self._write_private(
                private,
                key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
            )
            public.write_bytes(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
        return {
            "apiVersion": API_VERSION,
            "kind": "KeyPair",
            "metadata": {"name": "default", "namespace": PROJECT},
            "spec": {"publicKey": public.read_text().strip()},
        }

    def kubectl_hint(self) -> str:
        """What to type besides, where kubectl is not on PATH."""
        return "" if shutil.which("kubectl") else f" PATH=$PATH:{self.home.programs}"

    def _ensure_base(self) -> bool:
        """Kubernetes and the room first: nothing else can be described without an API server."""
        base = self._base()
        running = {status.name for status in self._supervisor.status() if status.state == "RUNNING"}
        if all(spec.name in running and (spec.ready is None or spec.ready() is None) for spec in base):
            return False
        self._supervisor.apply(base, self._progress.say)
        return True

    def _base(self) -> list[ProcessSpec]:
        planes = self._plane.specs() if self._plane else []
        return [*planes, self._room.process_spec()]

    def _core(self) -> list[ProcessSpec]:
        return [self._stack.conductor(), self._stack.scheduler(), self._stack.gateway()]

    def _agent(self) -> ProcessSpec:
        home = self.home
        return self._stack.agent(
            [NODE],
            agent__driver="libvirt",
            agent__boot_id_file=home.room / "room.json",
            agent__state_directory=home.instances.parent / "agent",
            libvirt__uri=self._room.uri,
            libvirt__instances_directory=home.instances,
            libvirt__images_directory=home.images,
            libvirt__run_directory=home.guests,
            volumes__local_directory=home.instances.parent / "volumes",
            volumes__shared_directory=home.instances.parent / "shared-volumes",
            libvirt__image_file_roots=json.dumps([str(self.image.path.parent)]),
        )

    def _has_account(self) -> bool:
        try:
            self.cluster.run("get", "serviceaccount", AGENT_ACCOUNT, "-n", node_namespace(NODE))
        except KubectlFailed:
            return False
        return True

    def _foreign_account(self, namespace: str, name: str) -> Path:
        path = self.home.stack / "kubeconfigs" / f"{namespace}.{name}.kubeconfig"
        path.parent.mkdir(parents=True, exist_ok=True)
        return service_account_kubeconfig(self.cluster.kubectl, self.home.kubeconfig, namespace, name, path)

    def _link_kubectl(self, kubectl: Path) -> None:
        """A kubectl for people, where the machine has none of its own."""
        self.home.programs.mkdir(exist_ok=True)
        link = self.home.programs / "kubectl"
        if not link.is_symlink() or link.readlink() != kubectl:
            link.unlink(missing_ok=True)
            link.symlink_to(kubectl)

    def _write_client_files(self) -> None:
        """How OpenStack clients reach the cloud: `openrc` and `clouds.yaml`, for who typed the command."""
        values = {
            "auth_url": f"{self._stack.gateway_url}/identity/v3",
            "username": "admin",
            "password": self._stack.admin_password_file.read_text().strip(),
            "project_name": PROJECT,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        lines = [f"export OS_{name.upper()}={value}" for name, value in values.items()]
        lines += ["export OS_IDENTITY_API_VERSION=3", "export OS_REGION_NAME=RegionOne"]
        cloud = {"auth": values, "region_name": "RegionOne", "identity_api_version": 3}
        self._write_for_caller(self.home.openrc, "\n".join(lines) + "\n")
        self._write_for_caller(self.home.clouds, yaml.safe_dump({"clouds": {"cairn": cloud}}))

    def _write_for_caller(self, target: Path, content: str) -> None:
        self._write_private(target, content.encode())
        owner = os.environ.get("SUDO_UID")
        if owner is not None:
            os.chown(target, int(owner), int(os.environ.get("SUDO_GID", owner)))

    def _write_kubeconfig(self, content: bytes) -> None:
        """The administrator's kubeconfig, for the person who typed the command (sudo or not)."""
        self._write_for_caller(self.home.kubeconfig, content.decode())

    @staticmethod
    def _write_private(target: Path, content: bytes) -> None:
        if not target.exists() or target.read_bytes() != content:
            target.touch(mode=0o600)
            target.write_bytes(content)


def image_manifest(name: str, image: BuiltImage, properties: Mapping[str, str]) -> dict[str, Any]:
    """The Image resource of an image in this machine's cache."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Image",
        "metadata": {"name": name},
        "spec": {
            "url": image.url,
            "sha256": image.sha256,
            "diskFormat": "qcow2",
            "properties": dict(properties),
        },
    }
