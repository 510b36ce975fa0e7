"""How to reach the API server, and as whom: for Cairn's own requests and for kopf alike.

kopf's small readers serve service accounts and plain kubeconfigs (certificates, tokens). A kubeconfig that
runs a program or an auth provider, or of which another context is asked for, is read by the `kubernetes`
package, which knows all of them but costs 18 MB in every process that imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kopf
import yaml

from cairn_runtime.settings import KubernetesSettings

ELABORATE = frozenset({"exec", "auth-provider", "tokenFile"})
"""Entries of a kubeconfig's users that kopf's reader does not follow."""


class NoCredentials(Exception):
    """There is neither a kubeconfig nor a service account; the message says where they were looked for."""


async def load_credentials(settings: KubernetesSettings) -> kopf.ConnectionInfo:
    """The credentials that `settings` name, as they are now. Raises NoCredentials."""
    own = kopf.OperatorSettings()
    if settings.kubeconfig is None and settings.context is None:
        account = kopf.login_with_service_account(settings=own)
        if account is not None:
            return account
    if settings.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)
    if settings.context is not None or _is_elaborate():
        return await _load_with_library(settings)
    try:
        info = kopf.login_with_kubeconfig(settings=own)
    except OSError as error:
        raise NoCredentials(f"the kubeconfig cannot be read: {error}") from None
    if info is None:
        raise NoCredentials(
            "no service account, no KUBECONFIG and no ~/.kube/config: set kubernetes.kubeconfig"
        )
    return info


def _is_elaborate() -> bool:
    paths = [Path(path) for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    configs: list[dict[str, Any]] = [
        yaml.safe_load(path.read_text()) or {} for path in paths if path.is_file()
    ]
    users = [user.get("user") or {} for config in configs for user in config.get("users") or []]
    return any(ELABORATE & user.keys() for user in users)


async def _load_with_library(settings: KubernetesSettings) -> kopf.ConnectionInfo:
    from kubernetes.aio import config
    from kubernetes.aio.client.configuration import Configuration

    found = Configuration()
    path = str(settings.kubeconfig) if settings.kubeconfig else None
    try:
        await config.load_kube_config(path, context=settings.context, client_configuration=found)
    except config.ConfigException as error:
        raise NoCredentials(str(error)) from None
    bearer = await found.get_api_key_with_prefix("BearerToken", "authorization")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        token=bearer.removeprefix("Bearer ") if bearer else None,
    )
