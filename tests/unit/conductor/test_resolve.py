"""Every reference looked up, or a refusal that says what is wrong and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds import InstanceSpec
from cairn_database.admission import Refusal
from cairn_operator.catalog import Catalog
from cairn_operator.conductor.resolve import ResolvedRequest, frozen_changes, resolve
from cairn_runtime.store import Store
from unit.conductor.records import instance

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0zQqCAu3sGZTNn7XyUfrqMLUGFgdHvM0Wr8MxOAmE1 me@here"
versions = iter(range(1, 10**6))


def put(store: Store[Any], name: str, spec: dict[str, Any], namespace: str = "", **metadata: Any) -> None:
    """An object as a watch would bring it; a later one of the same name replaces it."""
    meta = {"name": name, "uid": f"uid-{name}", "resourceVersion": str(next(versions)), **metadata}
    if namespace:
        meta["namespace"] = namespace
    store.put({"metadata": meta, "spec": spec})


@pytest.fixture
def catalog() -> Catalog:
    """Project acme, a public flavor, image, default network, a key and a group."""
    made = Catalog()
    put(made.projects, "acme", {})
    put(made.flavors, "small", {"vcpus": 1, "memoryMiB": 512, "diskGiB": 5})
    put(made.images, "debian", {"url": "http://images/debian", "sha256": "a" * 64, "minMemoryMiB": 256})
    put(made.networks, "blue", {"cidr": "10.0.0.0/24", "default": True})
    put(made.networks, "green", {"cidr": "10.1.0.0/24"})
    put(made.key_pairs, "me", {"publicKey": KEY}, namespace="acme")
    put(made.server_groups, "apart", {"policy": "anti-affinity"}, namespace="acme")
    return made


def resolved(catalog: Catalog, **spec: Any) -> ResolvedRequest:
    return resolve(instance(spec=spec), catalog)


def refusal(catalog: Catalog, namespace: str = "acme", **spec: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        resolve(instance(spec=spec, metadata={"namespace": namespace}), catalog)
    assert str(caught.value) == caught.value.message
    return caught.value


def test_everything_is_taken_as_it_is_now(catalog: Catalog) -> None:
    found = resolved(catalog, keyPair="me", schedulerHints={"group": "apart"})
    assert found.project == "acme"
    assert found.flavor["name"] == "small"
    assert (found.flavor["vcpus"], found.flavor["memoryMiB"]) == (1, 512)
    assert (found.image["name"], found.image["url"]) == ("debian", "http://images/debian")
    assert [network["name"] for network in found.request["networks"]] == ["blue"]
    assert found.request["networks"][0]["id"] == "uid-blue"
    assert found.request["generation"] == 1
    assert found.key_pair is not None
    assert (found.key_pair.name, found.key_pair.public_key) == ("me", KEY)
    assert found.group == "apart"


def test_networks_are_in_the_order_they_are_asked_for(catalog: Catalog) -> None:
    found = resolved(catalog, networks=[{"network": "green"}, {"network": "blue"}, {"network": "green"}])
    assert [network["name"] for network in found.request["networks"]] == ["green", "blue", "green"]
    assert resolved(catalog, networks=[]).request["networks"] == []


def test_without_a_default_network_there_is_none(catalog: Catalog) -> None:
    put(catalog.networks, "blue", {"cidr": "10.0.0.0/24"})
    assert resolved(catalog).request["networks"] == []


def test_the_default_network_is_one_that_the_project_may_use(catalog: Catalog) -> None:
    put(catalog.networks, "blue", {"cidr": "10.0.0.0/24", "default": True, "projects": ["other"]})
    put(catalog.networks, "red", {"cidr": "10.2.0.0/24", "default": True, "projects": ["acme"]})
    assert [network["name"] for network in resolved(catalog).request["networks"]] == ["red"]


def test_a_project_may_have_a_namespace_of_another_name(catalog: Catalog) -> None:
    put(catalog.projects, "acme", {"namespace": "acme-vms"})
    assert refusal(catalog).reason == "ProjectNotFound"
    found = resolve(instance(metadata={"namespace": "acme-vms"}), catalog)
    assert found.project == "acme"


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"flavor": "big"}, "FlavorNotFound", "Flavor 'big' does not exist. Create it, or set spec.flavor"),
        ({"image": "dos"}, "ImageNotFound", "Image 'dos' does not exist. Create it, or set spec.image"),
        (
            {"networks": [{"network": "red"}]},
            "NetworkNotFound",
            "set spec.networks[].network to one of: blue, green.",
        ),
        ({"keyPair": "you"}, "KeyPairNotFound", "set spec.keyPair to one of: me."),
        ({"schedulerHints": {"group": "x"}}, "ServerGroupNotFound", "spec.schedulerHints.group"),
        (
            {"networks": [{"network": "blue", "address": "10.1.0.9"}]},
            "InvalidFixedAddress",
            "Address 10.1.0.9 is not in network 'blue' (10.0.0.0/24)",
        ),
        ({"userData": "a", "userDataBase64": "YQ=="}, "InvalidUserData", "not both"),
    ],
)
def test_what_the_spec_may_have_wrong(
    catalog: Catalog, spec: dict[str, Any], reason: str, words: str
) -> None:
    found = refusal(catalog, **spec)
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize(
    ("kind", "name", "spec", "reason", "words"),
    [
        ("projects", "acme", {"enabled": False}, "ProjectDisabled", "Ask an administrator to enable it."),
        (
            "flavors",
            "small",
            {"vcpus": 1, "memoryMiB": 512, "disabled": True},
            "FlavorDisabled",
            "Choose another one.",
        ),
        (
            "flavors",
            "small",
            {"vcpus": 1, "memoryMiB": 512, "public": False, "projects": ["other"]},
            "FlavorNotAllowed",
            "Project 'acme' may not use flavor 'small'",
        ),
        (
            "flavors",
            "small",
            {"vcpus": 1, "memoryMiB": 128},
            "FlavorMemoryTooSmall",
            "has 128 MiB of memory, image 'debian' needs 256",
        ),
        (
            "images",
            "debian",
            {"url": "http://x/y", "sha256": "a" * 64, "minDiskGiB": 20},
            "FlavorDiskTooSmall",
            "has a disk of 5 GiB, image 'debian' needs 20",
        ),
        (
            "images",
            "debian",
            {"url": "http://x/y", "sha256": "a" * 64, "visibility": "Private", "owner": "other"},
            "ImageNotAllowed",
            "ask its owner 'other' to share it",
        ),
        (
            "networks",
            "blue",
            {"cidr": "10.0.0.0/24", "default": True, "gateway": "10.9.0.1"},
            "NetworkInvalid",
            "spec.gateway: 10.9.0.1 is not in 10.0.0.0/24",
        ),
    ],
)
def test_what_the_catalog_may_forbid(  # noqa: PLR0917 - parameters
    catalog: Catalog, kind: str, name: str, spec: dict[str, Any], reason: str, words: str
) -> None:
    put(getattr(catalog, kind), name, spec)
    found = refusal(catalog)
    assert found.reason == reason
    assert words in found.message


def test_a_network_of_other_projects(catalog: Catalog) -> None:
    put(catalog.networks, "green", {"cidr": "10.1.0.0/24", "projects": ["other"]})
    assert refusal(catalog, networks=[{"network": "green"}]).reason == "NetworkNotAllowed"


def test_a_key_that_is_none(catalog: Catalog) -> None:
    put(catalog.key_pairs, "me", {"publicKey": "ssh-rsa"}, namespace="acme")
    assert refusal(catalog, keyPair="me").reason == "KeyPairInvalid"


@pytest.mark.parametrize(
    "image",
    [
        {"visibility": "Public"},
        {"visibility": "Private", "owner": "acme"},
        {"visibility": "Shared", "owner": "other", "projects": ["acme"]},
    ],
)
def test_images_that_a_project_may_use(catalog: Catalog, image: dict[str, Any]) -> None:
    put(catalog.images, "debian", {"url": "http://x/y", "sha256": "a" * 64, **image})
    assert resolved(catalog).image["name"] == "debian"


def test_a_flavor_without_a_disk_is_as_large_as_its_image(catalog: Catalog) -> None:
    put(catalog.flavors, "small", {"vcpus": 1, "memoryMiB": 512})
    put(catalog.images, "debian", {"url": "http://x/y", "sha256": "a" * 64, "minDiskGiB": 20})
    assert resolved(catalog).flavor["diskGiB"] == 0


def test_keys_and_groups_of_other_namespaces_are_not_there(catalog: Catalog) -> None:
    put(catalog.key_pairs, "theirs", {"publicKey": KEY}, namespace="other")
    found = refusal(catalog, keyPair="theirs")
    assert found.reason == "KeyPairNotFound"
    assert "one of: me." in found.message


def test_what_is_being_deleted_is_not_there(catalog: Catalog) -> None:
    put(catalog.flavors, "small", {"vcpus": 1, "memoryMiB": 1}, deletionTimestamp="2026-01-01T00:00:00Z")
    assert refusal(catalog).reason == "FlavorNotFound"


def test_what_breaks_its_schema_is_not_there(catalog: Catalog) -> None:
    put(catalog.flavors, "small", {"vcpus": "many"})
    assert refusal(catalog).reason == "FlavorNotFound"


def test_a_refusal_does_not_list_a_thousand_names(catalog: Catalog) -> None:
    for number in range(1000):
        put(catalog.flavors, f"flavor-{number:03}", {"vcpus": 1, "memoryMiB": 512})
    message = refusal(catalog, flavor="x").message
    assert "flavor-000, flavor-001" in message
    assert "… (1001 in all)" in message
    assert len(message) < 300


def test_an_empty_catalog_says_so(catalog: Catalog) -> None:
    assert "one that does (there is none yet)" in refusal(_with_project_only(), flavor="x").message


def _with_project_only() -> Catalog:
    made = Catalog()
    put(made.projects, "acme", {})
    return made


CHANGEABLE = {
    "powerState", "flavor", "rescue", "rebuild", "image", "keyPair", "userData", "userDataBase64",
    "hostname", "adminPasswordHash", "reboot", "crashDump", "securityGroups", "networks", "metadata",
    "displayName", "description", "tags", "locked", "lockedReason",
}  # fmt: skip


def test_what_a_task_or_a_label_can_follow_may_change_afterwards() -> None:
    fields = {field.alias or name for name, field in InstanceSpec.model_fields.items()}
    assert fields > CHANGEABLE
    for field in fields:
        changed = frozen_changes({field: 2}, {field: 1})
        assert changed == ([] if field in CHANGEABLE else [field])
    assert frozen_changes({"host": "x"}, {}) == ["host"]
    assert frozen_changes({}, {"host": "x"}) == ["host"]
