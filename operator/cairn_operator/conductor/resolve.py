"""From what the user wrote to what can be built: every reference looked up, or a refusal that says
what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from cairn_crds import Flavor, Image, Instance, InstanceSpec, KeyPair, Network, Project, Resource
from cairn_crds.instance import CHANGEABLE, NetworkRequest
from cairn_database import InstanceRecord, KeyPairRecord, admission
from cairn_database.admission import Refusal
from cairn_operator.catalog import Catalog
from cairn_operator.mirrors.plain import key_problem, network_problem
from cairn_runtime.store import Store

Kind = TypeVar("Kind", bound=Resource)
NAMES_SHOWN = 5


@dataclass(frozen=True)
class ResolvedRequest:
    """Everything that building the instance needs, as it was when it was looked up.

    It is kept in the row, so that an instance can be rebuilt from SQL alone.
    """

    project: str
    request: dict[str, Any]
    """`spec`: the InstanceSpec in API form. `networks`: the Networks' specs, in the interfaces' order.
    `generation`: the Instance's `metadata.generation` that was seen last; `shown`: what of the spec may
    change, as it was in that generation; `projection`: the same of one that Cairn was about to write."""
    flavor: dict[str, Any]
    image: dict[str, Any]
    key_pair: KeyPairRecord | None
    group: str | None
    """The ServerGroup's name."""

    def builds_the_same(self, record: InstanceRecord) -> bool:
        """Whether the row was made from the same: then trying again has the same result."""
        spec, recorded = dict(self.request["spec"]), dict(record.request["spec"])
        for changeable in set(CHANGEABLE) - {"networks"}:  # what decides about these is looked at below
            spec.pop(changeable, None)
            recorded.pop(changeable, None)
        return (
            spec == recorded
            and self.request["networks"] == record.request["networks"]
            and self.flavor == record.flavor
            and self.image == record.image
            and self.key_pair == record.key_pair
        )


def resolve(instance: Instance, catalog: Catalog) -> ResolvedRequest:
    """Look up everything that `instance` refers to. Raises Refusal."""
    spec = instance.spec
    namespace = instance.metadata.namespace or ""
    project = project_of(catalog, namespace)
    flavor = _flavor(catalog, spec, project.metadata.name)
    image = image_of(catalog, spec, project.metadata.name)
    admission.check_fit(flavor.metadata.name, flavor.spec, image.metadata.name, image.spec)
    networks = networks_of(catalog, spec, project.metadata.name)
    if spec.user_data is not None and spec.user_data_base64 is not None:
        raise Refusal("InvalidUserData", "Give spec.userData or spec.userDataBase64, not both.")
    key_pair = None
    if spec.key_pair:
        found = key_pair_of(catalog, spec.key_pair, namespace)
        key_pair = KeyPairRecord(found.metadata.name, found.spec.public_key)
    if spec.scheduler_hints.group:
        _find(catalog.server_groups, spec.scheduler_hints.group, "schedulerHints.group", namespace)
    return ResolvedRequest(
        project=project.metadata.name,
        request={
            "spec": spec.to_api(),
            "networks": [network_snapshot(network) for network, _wish in networks],
            "generation": instance.metadata.generation,
            "shown": spec.changeable(),
        },
        flavor={"id": flavor.metadata.name, **flavor.spec.to_api(), "name": flavor.metadata.name},
        image={"id": image.metadata.uid, **image.spec.to_api(), "name": image.metadata.name},
        key_pair=key_pair,
        group=spec.scheduler_hints.group,
    )


def _find(store: Store[Kind], name: str, field: str, namespace: str = "") -> Kind:
    found = Catalog.find(store, name, namespace)
    if found is None:
        kind = store.kind.kind_info.kind
        there = sorted(key[1] for key in store if key[0] == namespace)
        raise Refusal(
            f"{kind}NotFound",
            f"{kind} '{name}' does not exist. Create it, or set spec.{field} to {_choices(there)}.",
        )
    return found


def _choices(names: list[str]) -> str:
    if not names:
        return "one that does (there is none yet)"
    more = f" … ({len(names)} in all)" if len(names) > NAMES_SHOWN else ""
    return "one of: " + ", ".join(names[:NAMES_SHOWN]) + more


def project_of(catalog: Catalog, namespace: str) -> Project:
    """The enabled project that the namespace belongs to. Raises Refusal."""
    project = catalog.project_of(namespace)
    if project is None:
        raise Refusal(
            "ProjectNotFound",
            f"Namespace '{namespace}' belongs to no Project. Create a Project with spec.namespace "
            f"'{namespace}', or create the Instance in a project's namespace.",
        )
    if not project.spec.enabled:
        raise Refusal(
            "ProjectDisabled",
            f"Project '{project.metadata.name}' is disabled. Ask an administrator to enable it.",
        )
    return project


def flavor_of(catalog: Catalog, name: str) -> Flavor | None:
    """The flavor of that name, if there is one."""
    return Catalog.find(catalog.flavors, name)


def key_pair_of(catalog: Catalog, name: str, namespace: str) -> KeyPair:
    """The key pair of that name, which makes sense. Raises Refusal."""
    found = _find(catalog.key_pairs, name, "keyPair", namespace)
    if problem := key_problem(found):
        raise Refusal("KeyPairInvalid", f"KeyPair '{name}': {problem}")
    return found


def _flavor(catalog: Catalog, spec: InstanceSpec, project: str) -> Flavor:
    flavor = _find(catalog.flavors, spec.flavor, "flavor")
    admission.check_flavor(spec.flavor, flavor.spec, project)
    return flavor


def image_of(catalog: Catalog, spec: InstanceSpec, project: str) -> Image:
    """The image of `spec`, which the project may use. Raises Refusal."""
    image = _find(catalog.images, spec.image, "image")
    admission.check_image(spec.image, image.spec, project)
    return image


def networks_of(catalog: Catalog, spec: InstanceSpec, project: str) -> list[tuple[Network, NetworkRequest]]:
    """The networks of `spec`, which the project may use, each with what is asked of it. Raises Refusal."""
    wishes: Iterable[NetworkRequest]
    if spec.networks is None:
        default = catalog.default_network(project)
        wishes = [NetworkRequest(network=default.metadata.name)] if default else []
    else:
        wishes = spec.networks
    return [(_network(catalog, wish, project), wish) for wish in wishes]


def _network(catalog: Catalog, wish: NetworkRequest, project: str) -> Network:
    network = _find(catalog.networks, wish.network, "networks[].network")
    if problem := network_problem(network):
        raise Refusal("NetworkInvalid", f"Network '{wish.network}' makes no sense. {problem}")
    admission.check_network(wish.network, network.spec, project, wish.address)
    return network


def network_snapshot(network: Network) -> dict[str, Any]:
    """What the row keeps of a network."""
    return {"name": network.metadata.name, "id": network.metadata.uid, **network.spec.to_api()}


def frozen_changes(spec: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    """The fields that differ and cannot follow, because the machine has been made already."""
    names = sorted((spec.keys() | recorded.keys()) - set(CHANGEABLE))
    return [name for name in names if spec.get(name) != recorded.get(name)]
