"""Kubeconfig files: for a client certificate, and for a service account of any cluster.

The second works through kubectl, so it is the same on the local control plane and on a cluster whose
administrator authenticates in some way only kubectl knows.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from cairn_local.control_plane.pki import KeyPair

TOKEN_LIFETIME = 365 * 24 * 3600
"""Seconds a service account's token is valid."""

RENEW_BELOW = TOKEN_LIFETIME // 2
"""Seconds of validity left under which a token is replaced the next time somebody asks."""


class KubeconfigError(Exception):
    """A kubeconfig could not be made; the message holds kubectl's own words."""


def certificate_kubeconfig(path: Path, server: str, authority: Path, client: KeyPair) -> Path:
    """Write a kubeconfig for a client certificate, complete in itself, 0600. Returns `path`."""
    cluster = {"server": server, "certificate-authority-data": _base64(authority.read_bytes())}
    user = {
        "client-certificate-data": _base64(client.certificate.read_bytes()),
        "client-key-data": _base64(client.key.read_bytes()),
    }
    return _write(path, cluster, user, namespace="default")


def service_account_kubeconfig(kubectl: Path, admin: Path, namespace: str, name: str, path: Path) -> Path:
    """A kubeconfig at `path` (0600) that acts as service account `namespace`/`name`. Returns `path`.

    `admin` is a kubeconfig allowed to create tokens; the new one reaches the same server. The token is valid
    for a year (or what the cluster allows) and is kept as long as it works and has half a year left, so
    a repeated call changes nothing. Raises KubeconfigError when there is no such service account.
    """
    cluster = _cluster(kubectl, admin)
    # Also tells a missing account from everything else that may go wrong.
    uid = _kubectl(
        kubectl, admin, "-n", namespace, "get", "serviceaccount", name, "-o", "jsonpath={.metadata.uid}"
    )
    if _still_good(kubectl, path, cluster, uid):
        return path
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": TOKEN_LIFETIME},
    }
    resource = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    answer = _kubectl(kubectl, admin, "create", "--raw", resource, "-f", "-", stdin=json.dumps(request))
    return _write(path, cluster, {"token": json.loads(answer)["status"]["token"]}, namespace)


def _still_good(kubectl: Path, path: Path, cluster: dict[str, str], uid: str) -> bool:
    """Whether the file's token is for this server and this incarnation of the account, young and accepted."""
    if not path.exists():
        return False
    content = json.loads(path.read_text())
    if content["clusters"][0]["cluster"] != cluster:
        return False
    token: str = content["users"][0]["user"]["token"]
    encoded = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    same_account = claims["kubernetes.io"]["serviceaccount"]["uid"] == uid
    if not same_account or claims["exp"] - time.time() < RENEW_BELOW:
        return False
    try:
        _kubectl(kubectl, path, "get", "--raw", "/api")
    except KubeconfigError:
        return False
    return True


def _cluster(kubectl: Path, kubeconfig: Path) -> dict[str, str]:
    shown = _kubectl(kubectl, kubeconfig, "config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    cluster: dict[str, str] = json.loads(shown)["clusters"][0]["cluster"]
    return cluster


def _kubectl(kubectl: Path, kubeconfig: Path, *arguments: str, stdin: str | None = None) -> str:
    argv = [str(kubectl), "--kubeconfig", str(kubeconfig), *arguments]
    result = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise KubeconfigError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
    return result.stdout


def _write(path: Path, cluster: dict[str, str], user: dict[str, str], namespace: str) -> Path:
    name = "cairn"
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    encoded = json.dumps(content, indent=2) + "\n"  # JSON is YAML
    if path.exists() and path.read_text() == encoded:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(encoded)
    temporary.replace(path)
    return path


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
