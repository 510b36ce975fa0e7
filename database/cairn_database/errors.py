"""What can go wrong in the database, as types; each message says what the person should do.

DatabaseError
├── DatabaseUnavailable      it does not answer; nothing is known about the last transaction
├── SchemaOutdated           `cairn db upgrade` has not been run
├── ConcurrentUpdate         somebody else changed the row first: read it again
├── InstanceNotFound
├── NameTaken, DisplayNameTaken, IdTaken
├── ProjectNotFound, ProjectDisabled, ProjectTaken
├── NetworkNotFound, ServerGroupNotFound
├── QuotaExceeded
├── AddressesExhausted, AddressInUse, MacInUse
└── StillInUse               it cannot be removed yet
"""

from __future__ import annotations


class DatabaseError(Exception):
    """Anything that `cairn_database` raises."""


class DatabaseUnavailable(DatabaseError):
    """No answer. The transaction may or may not have been committed: read before deciding, or repeat it
    (every transaction of this package can be repeated)."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The database does not answer: {reason}. Check that it runs; Cairn tries again by itself."
        )


class SchemaOutdated(DatabaseError):
    """The tables are not the ones this version of Cairn works with."""

    def __init__(self, found: str | None, wanted: str) -> None:
        self.found = found
        self.wanted = wanted
        super().__init__(
            f"The database schema is at revision {found or 'none'} and must be at {wanted}: "
            "run 'cairn db upgrade'."
        )


class ConcurrentUpdate(DatabaseError):
    """A compare-and-set lost: the row is no longer in the state that the caller decided on."""

    def __init__(self, kind: str, key: str, expected: str, found: str) -> None:
        self.kind = kind
        self.key = key
        super().__init__(
            f"{kind} {key} was changed by somebody else: expected {expected}, found {found}. "
            "Read it again and decide anew."
        )


class InstanceNotFound(DatabaseError):
    """There is no such instance, or it is deleted."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        super().__init__(f"Instance {instance} could not be found.")


class NameTaken(DatabaseError):
    """Another live instance has the name."""

    def __init__(self, namespace: str, name: str, holder: str) -> None:
        self.namespace = namespace
        self.name = name
        self.holder = holder
        super().__init__(
            f"The name {name} is taken in {namespace} by instance {holder}. "
            "Choose another name, or delete that one first."
        )


class DisplayNameTaken(DatabaseError):
    """Another resource of the kind has the name that API clients are to know this one by."""

    def __init__(self, kind: str, name: str, holder: str) -> None:
        self.kind = kind
        self.name = name
        self.holder = holder
        super().__init__(f"The name {name} is taken by {kind} {holder}. Choose another spec.displayName.")


class IdTaken(DatabaseError):
    """Another resource of the kind has, or had, the id that this one asks for."""

    def __init__(self, kind: str, id_: str, holder: str) -> None:
        self.kind = kind
        self.id = id_
        self.holder = holder
        super().__init__(
            f"The id {id_} is taken by {kind} {holder}. Ask for another one in spec.id, or leave it out."
        )


class ProjectNotFound(DatabaseError):
    """There is no such project."""

    def __init__(self, project: str) -> None:
        self.project = project
        super().__init__(f"Project {project} could not be found. Create a Project resource first.")


class ProjectDisabled(DatabaseError):
    """The project takes nothing new."""

    def __init__(self, project: str) -> None:
        self.project = project
        super().__init__(f"Project {project} is disabled. Ask an administrator to enable it.")


class ProjectTaken(DatabaseError):
    """Another project has the id, or the name in that domain."""

    def __init__(self, what: str, value: str, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"It is not possible to have two projects with the {what} '{value}': Project {holder} has it. "
            "Choose another one."
        )


class ServerGroupNotFound(DatabaseError):
    """There is no such server group."""

    def __init__(self, group: str) -> None:
        self.group = group
        super().__init__(f"Instance group {group} could not be found. Create a ServerGroup resource first.")


class NetworkNotFound(DatabaseError):
    """There is no such network."""

    def __init__(self, network: str) -> None:
        self.network = network
        super().__init__(f"Network {network} could not be found. Create a Network resource first.")


class QuotaExceeded(DatabaseError):
    """The project may not have that much (Nova's TooManyInstances wording)."""

    def __init__(self, resource: str, limit: int, in_use: int, requested: int) -> None:
        self.resource = resource
        self.limit = limit
        self.in_use = in_use
        self.requested = requested
        super().__init__(
            f"Quota exceeded for {resource}: Requested {requested}, "
            f"but already used {in_use} of {limit} {resource}. "
            "Delete what is not needed, or ask an administrator to raise the quota."
        )


class AddressesExhausted(DatabaseError):
    """No address is left in the network's pools."""

    def __init__(self, network: str) -> None:
        self.network = network
        super().__init__(
            f"No more IP addresses available on network {network}. "
            "Delete instances that use it, or widen its pools."
        )


class AddressInUse(DatabaseError):
    """The fixed address asked for is taken, or is not one that an instance may have."""

    def __init__(self, network: str, address: str, reason: str = "is already in use") -> None:
        self.network = network
        self.address = address
        super().__init__(
            f"Fixed IP address {address} {reason} on network {network}. Ask for another one, or for none."
        )


class MacInUse(DatabaseError):
    """The MAC address asked for is taken."""

    def __init__(self, network: str, mac: str) -> None:
        self.network = network
        self.mac = mac
        super().__init__(
            f"MAC address {mac} is already in use on network {network}. Ask for another one, or for none."
        )


class StillInUse(DatabaseError):
    """Instances still need it."""

    def __init__(self, kind: str, name: str, count: int) -> None:
        self.kind = kind
        self.name = name
        self.count = count
        super().__init__(f"{kind} {name} is still used by {count} instance(s). Delete or move them first.")
