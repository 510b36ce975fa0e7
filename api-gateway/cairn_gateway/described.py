"""The APIs that the documentation page shows."""

from __future__ import annotations

from collections.abc import Iterable

from cairn_gateway.http.api import Api
from cairn_gateway.http.openapi import Described
from cairn_gateway.nova import microversions, paging

TITLES = {
    "compute": ("Compute API v2.1", "Servers and what they are made of, as in OpenStack Compute."),
    "identity": ("Identity API v3", "Who people are: sign in, users, projects, roles."),
    "image": ("Image API v2", "What servers boot."),
    "network": ("Network API v2.0", "Networks, ports, addresses and security groups."),
}


def describe(apis: Iterable[Api]) -> list[Described]:
    """Those of `apis` that people are told of; the Compute API once, by its newer name."""
    described = []
    for api in apis:
        if api.name not in TITLES or (api.name == "compute" and api.prefix != paging.PREFIX):
            continue
        title, summary = TITLES[api.name]
        compute = api.name == "compute"
        described.append(
            Described(
                api,
                title,
                summary,
                path=_document_path(api),
                version_header=f"{microversions.SERVICE} {microversions.MAX}" if compute else None,
            )
        )
    return described


def _document_path(api: Api) -> str:
    """Beside the version that it describes: /compute/v2.1/openapi.json, /identity/v3/openapi.json."""
    if api.prefix == paging.PREFIX:
        return "/openapi.json"
    version = {"identity": "/v3", "image": "/v2", "network": "/v2.0"}.get(api.name, "")
    return f"{version}/openapi.json"
