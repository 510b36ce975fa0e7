"""Kinds that need nothing but a row: flavors, aggregates, server groups, key pairs, networks."""

from __future__ import annotations

import ipaddress

from cairn_crds import Flavor, HostAggregate, KeyPair, Network, ServerGroup
from cairn_crds.key_pair import KeyPairType
from cairn_database import DisplayNameTaken, IdTaken, aggregates, catalog, tenants
from cairn_database.flavors import Seen
from cairn_database.networking.networks import NetworkIdTaken, ResourceGoing
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_runtime import public_keys


def immutable(field: str, value: str) -> Mirrored:
    """An older API server let a change through that the CRD's CEL rules refuse on newer ones."""
    message = f"{field} cannot change; it is still taken as '{value}'. Set it back, or make another resource."
    return Mirrored(False, "FieldImmutable", message)


async def take_in_flavor(context: MirrorContext, flavor: Flavor) -> Mirrored:
    """A flavor becomes a row."""
    name, metadata = flavor.metadata.name, flavor.metadata
    seen = Seen(metadata.uid, metadata.generation)
    try:
        await catalog.flavors.upsert(context.db, name, flavor.spec, seen)
    except IdTaken as error:
        return Mirrored(False, "IdTaken", str(error))
    except DisplayNameTaken as error:
        return Mirrored(False, "NameTaken", str(error))
    recorded = await catalog.flavor_by_id(context.db, flavor.flavor_id)
    if recorded is None or recorded.resource != name:
        return immutable("spec.id", "the one it was made with")
    return Mirrored()


async def take_in_aggregate(context: MirrorContext, aggregate: HostAggregate) -> Mirrored:
    """An aggregate becomes a row with a number, which clients of the Compute API know it by."""
    metadata, spec = aggregate.metadata, aggregate.spec
    try:
        record, _changed = await aggregates.upsert(context.db, metadata.name, spec, metadata.uid or None)
    except IdTaken as error:
        return Mirrored(False, "IdTaken", str(error))
    if spec.id not in (None, record.id):
        return immutable("spec.id", str(record.id))
    return Mirrored(fields={"id": record.id})


async def take_in_server_group(context: MirrorContext, group: ServerGroup) -> Mirrored:
    """A group becomes a row; its members join as they are registered."""
    if group.spec.max_server_per_host is not None and group.spec.policy != "anti-affinity":
        return Mirrored(False, "Invalid", "maxServerPerHost goes with the anti-affinity policy.")
    metadata = group.metadata
    recorded = await tenants.get_server_group(context.db, metadata.namespace or "", metadata.name)
    group_id = group.spec.id or metadata.uid
    if recorded is not None and recorded.id == group_id and recorded.policy is not group.spec.policy:
        return immutable("spec.policy", recorded.policy)
    try:
        await tenants.upsert_server_group(
            context.db,
            metadata.namespace or "",
            metadata.name,
            group.spec,
            group_id=metadata.uid,
            uid=metadata.uid,
        )
    except IdTaken as error:
        return Mirrored(False, "IdTaken", str(error))
    return Mirrored()


async def take_in_network(context: MirrorContext, network: Network) -> Mirrored:
    """A network becomes a row, with how many addresses it can give out."""
    problem = network_problem(network)
    if problem:
        return Mirrored(False, "Invalid", problem)
    recorded = await catalog.networks.get(context.db, network.metadata.name)
    if recorded is not None and recorded.cidr != network.spec.cidr:
        return immutable("spec.cidr", recorded.cidr)
    metadata = network.metadata
    try:
        await catalog.networks.take_in(context.db, metadata.name, network.spec, metadata.uid)
    except NetworkIdTaken as error:
        return Mirrored(False, "IdTaken", error.message)
    except ResourceGoing:
        # The Network API decided that it goes, and did not come as far as its resource.
        await context.kubernetes.delete(Network, metadata.name, uid=metadata.uid)
        return Mirrored(False, "Deleting", "The network was deleted through the Network API.")
    return Mirrored(fields={"addressesTotal": addresses_total(network)})


def network_problem(network: Network) -> str | None:
    """What is wrong with it, in words that say what to do; None where nothing is."""
    spec = network.spec
    try:
        cidr = ipaddress.ip_network(spec.cidr)
    except ValueError as error:
        return f"spec.cidr: {error}. Write the network's own address, e.g. 10.0.0.0/24."
    if cidr.num_addresses < 4:
        return f"spec.cidr: {spec.cidr} has no room for a gateway and a guest. Use a /30 or larger."
    if spec.type == "Bridge" and not spec.bridge:
        return "spec.bridge: a Bridge network needs the name of the hosts' bridge."
    named = [("gateway", spec.gateway)] + [
        (f"pools[{index}]", end) for index, pool in enumerate(spec.pools) for end in (pool.start, pool.end)
    ]
    for field, address in named:
        if address and ipaddress.ip_address(address) not in cidr:
            return f"spec.{field}: {address} is not in {spec.cidr}."
    for index, pool in enumerate(spec.pools):
        if int(ipaddress.ip_address(pool.start)) > int(ipaddress.ip_address(pool.end)):
            return f"spec.pools[{index}]: start comes after end."
    return None


def addresses_total(network: Network) -> int:
    """How many addresses the pools hold."""
    spec = network.spec
    if not spec.pools:
        return ipaddress.ip_network(spec.cidr).num_addresses - 3
    return sum(
        int(ipaddress.ip_address(pool.end)) - int(ipaddress.ip_address(pool.start)) + 1 for pool in spec.pools
    )


async def take_in_key_pair(context: MirrorContext, key_pair: KeyPair) -> Mirrored:
    """A key becomes a row, with its fingerprint as Nova shows it."""
    problem = key_problem(key_pair)
    if problem:
        return Mirrored(False, "Invalid", problem)
    key_type, fingerprint = public_keys.describe(key_pair.spec)
    metadata = key_pair.metadata
    try:
        await catalog.key_pairs.upsert(
            context.db, metadata.namespace or "", metadata.name, key_pair.spec, metadata.uid
        )
    except DisplayNameTaken as error:
        return Mirrored(False, "NameTaken", str(error))
    return Mirrored(fields={"fingerprint": fingerprint, "keyType": key_type})


def key_problem(key_pair: KeyPair) -> str | None:
    """As `network_problem`."""
    try:
        public_keys.describe(key_pair.spec)
    except ValueError as error:
        if key_pair.spec.type is KeyPairType.X509:
            return f"spec.publicKey is no certificate: {error}. Paste a PEM file."
        return f"spec.publicKey is no OpenSSH public key: {error}. Paste one line of a .pub file."
    return None


async def remove_flavor(context: MirrorContext, _namespace: str, name: str) -> None:
    """The row goes; instances keep the flavor they were made with."""
    await catalog.flavors.remove(context.db, name)


async def remove_aggregate(context: MirrorContext, _namespace: str, name: str) -> None:
    """The row goes."""
    await aggregates.remove(context.db, name)


async def remove_server_group(context: MirrorContext, namespace: str, name: str) -> None:
    """The row goes; members stay where they are."""
    await tenants.remove_server_group(context.db, namespace, name)


async def remove_network(context: MirrorContext, _namespace: str, name: str) -> None:
    """The row goes, once no instance has an address of it."""
    await catalog.networks.remove(context.db, name)


async def remove_key_pair(context: MirrorContext, namespace: str, name: str) -> None:
    """The row goes; guests keep the key."""
    await catalog.key_pairs.remove(context.db, namespace, name)
