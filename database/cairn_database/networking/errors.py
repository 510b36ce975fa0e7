"""What can go wrong with networks, as types.

DatabaseError
├── PortNotFound, PortInUse, TooManyInterfaces
├── SecurityGroupNotFound, SecurityGroupInUse, RuleExists
├── FloatingIpNotFound, FloatingIpInUse
├── SubnetInUse, NetworkInUse
└── NetworkQuotaExceeded
"""

from __future__ import annotations

from cairn_database.errors import DatabaseError


class PortNotFound(DatabaseError):
    """There is no such port, or not in that project and network."""

    def __init__(self, port: str) -> None:
        self.port = port
        super().__init__(f"Port id {port} could not be found.")


class PortInUse(DatabaseError):
    """The port belongs to something else already."""

    def __init__(self, port: str, holder: str) -> None:
        self.port = port
        self.holder = holder
        super().__init__(f"Port {port} is still in use by {holder}.")


class TooManyInterfaces(DatabaseError):
    """A machine has room for so many."""

    def __init__(self, instance_id: str, most: int) -> None:
        super().__init__(f"Instance {instance_id} has {most} interfaces, and no machine takes more.")


class SecurityGroupNotFound(DatabaseError):
    """There is no such security group."""

    def __init__(self, group: str, project: str) -> None:
        self.group = group
        super().__init__(f"Security group {group} not found for project {project}.")


class SecurityGroupInUse(DatabaseError):
    """Ports are in the group, or rules of others name it."""

    def __init__(self, group: str) -> None:
        self.group = group
        super().__init__(f"Security Group {group} in use.")


class RuleExists(DatabaseError):
    """The group has that rule."""

    def __init__(self, rule: str) -> None:
        self.rule = rule
        super().__init__(f"Security group rule already exists. Rule id is {rule}.")


class FloatingIpNotFound(DatabaseError):
    """There is no such floating address."""

    def __init__(self, floating_ip: str) -> None:
        self.floating_ip = floating_ip
        super().__init__(f"Floating IP {floating_ip} could not be found.")


class FloatingIpInUse(DatabaseError):
    """The port's address has a floating one already."""

    def __init__(self, address: str, port: str) -> None:
        super().__init__(
            f"Cannot associate floating IP with port {port} using fixed IP {address}, as that fixed IP "
            "already has a floating IP."
        )


class NetworkInUse(DatabaseError):
    """Ports are on the network."""

    def __init__(self, network: str, count: int) -> None:
        super().__init__(
            f"Unable to complete operation on network {network}. There are one or more ports still in use on "
            f"the network ({count})."
        )


class SubnetInUse(DatabaseError):
    """Ports have addresses of the subnet."""

    def __init__(self, subnet: str, count: int) -> None:
        super().__init__(
            f"Unable to complete operation on subnet {subnet}: One or more ports have an IP allocation from "
            f"this subnet ({count})."
        )


class NetworkQuotaExceeded(DatabaseError):
    """The project may not have that much."""

    def __init__(self, resource: str) -> None:
        self.resource = resource
        super().__init__(f"Quota exceeded for resources: ['{resource}'].")
