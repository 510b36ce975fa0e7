"""Where a local Cairn lives, and what it is made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "CAIRN_HOME"
CONTEXT_VARIABLE = "CAIRN_CONTEXT"
DEFAULT_HOME = Path("/var/lib/cairn")
NODE = "local"
"""The name of this machine's ComputeNode."""
PROJECT = "demo"
"""The Project of the examples."""


@dataclass(frozen=True)
class Home:
    """The folders of one local Cairn."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`CAIRN_HOME`, else /var/lib/cairn: a short path, as it holds unix sockets."""
        return cls(Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME)).absolute())

    @property
    def control_plane(self) -> Path:
        """Keys and data of the local Kubernetes."""
        return self.root / "control-plane"

    @property
    def stack(self) -> Path:
        """Cairn's database and ports."""
        return self.root / "stack"

    @property
    def supervisor(self) -> Path:
        """supervisord's socket, configuration and logs."""
        return self.root / "run"

    @property
    def room(self) -> Path:
        """libvirt's own files."""
        return self.root / "room"

    @property
    def guests(self) -> Path:
        """Sockets of consoles; short for the same reason."""
        return self.root / "g"

    @property
    def instances(self) -> Path:
        """The instances' disks."""
        return self.root / "instances"

    @property
    def images(self) -> Path:
        """The host's image cache."""
        return self.root / "images"

    @property
    def agent_environment(self) -> Path:
        """The agent's settings, for commands that look at guests with its eyes."""
        return self.root / "agent-environment.json"

    @property
    def identity(self) -> Path:
        """The private key of the example's KeyPair."""
        return self.root / "ssh" / "id_ed25519"

    @property
    def openrc(self) -> Path:
        """`source` it, and OpenStack clients reach the cloud as its administrator."""
        return self.root / "openrc"

    @property
    def clouds(self) -> Path:
        """The same for OS_CLOUD=cairn (OS_CLIENT_CONFIG_FILE)."""
        return self.root / "clouds.yaml"

    @property
    def programs(self) -> Path:
        """Programs for people: kubectl."""
        return self.root / "bin"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for whoever ran `cairn up`."""
        return self.root / "kubeconfig"

    def prepare(self) -> None:
        """Make the folders; only root may look into those with secrets."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.instances, self.images, self.guests):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
