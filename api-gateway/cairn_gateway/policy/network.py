"""Who may do what with the Network API: Neutron's rule names and its defaults."""

from __future__ import annotations

from typing import Final

from cairn_gateway.policy.rules import Rule, admin, anyone, check, member, reader

OWNER_OF_NETWORK: Final = "rule:network_owner and role:member"
NETWORK_MEMBER: Final = f"rule:context_is_admin or rule:service_api or ({OWNER_OF_NETWORK})"
PORT_MEMBER: Final = f"rule:project_member_or_admin or rule:service_api or ({OWNER_OF_NETWORK})"
SHARED_TOO: Final = f"{NETWORK_MEMBER} or rule:shared"


def _of_network(verb: str) -> tuple[Rule, ...]:
    """Fields of networks for administrators only."""
    method, path = ("POST", "/v2.0/networks") if verb == "create" else ("PUT", "/v2.0/networks/{id}")
    at = f"{method} {path}"
    return (
        admin(f"{verb}_network:shared", "Share a network with all projects", at),
        admin(f"{verb}_network:router:external", "Make a network one that floating IPs come from", at),
        admin(f"{verb}_network:is_default", "Make a network the default one", at),
        member(f"{verb}_network:port_security_enabled", "Say port_security_enabled of a network", at),
        admin(f"{verb}_network:segments", "Say segments of a network", at),
        admin(f"{verb}_network:provider:network_type", "Say a network's kind", at),
        admin(f"{verb}_network:provider:physical_network", "Say a network's physical network", at),
        admin(f"{verb}_network:provider:segmentation_id", "Say a network's segmentation id", at),
    )


def _of_port(verb: str) -> tuple[Rule, ...]:
    """Fields of ports that not everybody may say."""
    method, path = ("POST", "/v2.0/ports") if verb == "create" else ("PUT", "/v2.0/ports/{id}")
    at = f"{method} {path}"
    return (
        check(
            f"{verb}_port:device_owner",
            f"not rule:network_device or {NETWORK_MEMBER}",
            "Say a port's device_owner",
            at,
        ),
        check(f"{verb}_port:mac_address", NETWORK_MEMBER, "Choose a port's MAC address", at),
        check(f"{verb}_port:fixed_ips", SHARED_TOO, "Say a port's fixed addresses", at),
        check(f"{verb}_port:fixed_ips:ip_address", NETWORK_MEMBER, "Choose a port's fixed address", at),
        check(f"{verb}_port:fixed_ips:subnet_id", SHARED_TOO, "Choose the subnet of a port's address", at),
        check(
            f"{verb}_port:port_security_enabled", NETWORK_MEMBER, "Say port_security_enabled of a port", at
        ),
        check(
            f"{verb}_port:binding:host_id",
            "rule:service_or_admin",
            "Say the host of a port",
            at,
        ),
        check(
            f"{verb}_port:binding:profile",
            "rule:service_or_admin",
            "Say what a port's host is to know",
            at,
        ),
        member(f"{verb}_port:binding:vnic_type", "Say a port's kind of interface", at),
        check(
            f"{verb}_port:allowed_address_pairs",
            f"rule:context_is_admin or ({OWNER_OF_NETWORK})",
            "Let a port send under other addresses",
            at,
        ),
    )


RULES = (
    check("shared", "'True':%(shared)s", "A network that every project may use", scopes=()),
    check("external", "'True':%(router:external)s", "A network that floating IPs come from", scopes=()),
    check(
        "network_owner",
        "project_id:%(network:project_id)s",
        "Somebody of the project that the network belongs to",
        scopes=(),
    ),
    check(
        "network_device",
        "'network:dhcp':%(device_owner)s or 'network:floatingip':%(device_owner)s or "
        "'network:router_gateway':%(device_owner)s or 'network:router_interface':%(device_owner)s",
        "A port that the network itself has",
        scopes=(),
    ),
    anyone("get_extension", "See which extensions there are", "GET /v2.0/extensions"),
    anyone("get_availability_zone", "See the zones of networks", "GET /v2.0/availability_zones"),
    member("create_network", "Make a network", "POST /v2.0/networks"),
    check(
        "get_network",
        "rule:project_reader_or_admin or rule:shared or rule:external or rule:service_api",
        "See a network",
        "GET /v2.0/networks",
        "GET /v2.0/networks/{id}",
    ),
    member("update_network", "Change a network", "PUT /v2.0/networks/{id}"),
    member("delete_network", "Delete a network", "DELETE /v2.0/networks/{id}"),
    *_of_network("create"),
    *_of_network("update"),
    check(
        "create_subnet",
        f"rule:context_is_admin or ({OWNER_OF_NETWORK})",
        "Give a network its subnet",
        "POST /v2.0/subnets",
    ),
    check(
        "get_subnet",
        "rule:project_reader_or_admin or rule:shared or rule:external or rule:service_api",
        "See a subnet",
        "GET /v2.0/subnets",
        "GET /v2.0/subnets/{id}",
    ),
    check(
        "update_subnet",
        f"rule:project_member_or_admin or ({OWNER_OF_NETWORK})",
        "Change a subnet",
        "PUT /v2.0/subnets/{id}",
    ),
    check(
        "delete_subnet",
        f"rule:project_member_or_admin or ({OWNER_OF_NETWORK})",
        "Take a network's subnet away",
        "DELETE /v2.0/subnets/{id}",
    ),
    check(
        "create_port",
        "rule:project_member_or_admin or rule:service_api",
        "Make a port",
        "POST /v2.0/ports",
    ),
    check(
        "get_port",
        "rule:project_reader_or_admin or rule:service_api or (rule:network_owner and role:reader)",
        "See a port",
        "GET /v2.0/ports",
        "GET /v2.0/ports/{id}",
    ),
    check(
        "update_port",
        "rule:project_member_or_admin or rule:service_api",
        "Change a port",
        "PUT /v2.0/ports/{id}",
    ),
    check("delete_port", PORT_MEMBER, "Delete a port", "DELETE /v2.0/ports/{id}"),
    *_of_port("create"),
    *_of_port("update"),
    member("create_security_group", "Make a security group", "POST /v2.0/security-groups"),
    reader(
        "get_security_group",
        "See a security group",
        "GET /v2.0/security-groups",
        "GET /v2.0/security-groups/{id}",
    ),
    member("update_security_group", "Change a security group", "PUT /v2.0/security-groups/{id}"),
    member("delete_security_group", "Delete a security group", "DELETE /v2.0/security-groups/{id}"),
    member("create_security_group_rule", "Add a rule to a security group", "POST /v2.0/security-group-rules"),
    reader(
        "get_security_group_rule",
        "See a rule of a security group",
        "GET /v2.0/security-group-rules",
        "GET /v2.0/security-group-rules/{id}",
    ),
    member(
        "delete_security_group_rule",
        "Delete a rule of a security group",
        "DELETE /v2.0/security-group-rules/{id}",
    ),
    member("create_floatingip", "Take a floating IP", "POST /v2.0/floatingips"),
    admin("create_floatingip:floating_ip_address", "Choose a floating IP", "POST /v2.0/floatingips"),
    reader("get_floatingip", "See a floating IP", "GET /v2.0/floatingips", "GET /v2.0/floatingips/{id}"),
    member("update_floatingip", "Lead a floating IP to a port", "PUT /v2.0/floatingips/{id}"),
    member("delete_floatingip", "Give a floating IP back", "DELETE /v2.0/floatingips/{id}"),
    reader(
        "get_quota",
        "See the limits of a project",
        "GET /v2.0/quotas",
        "GET /v2.0/quotas/{project_id}",
        "GET /v2.0/quotas/{project_id}/default",
        "GET /v2.0/quotas/{project_id}/details",
    ),
    admin("update_quota", "Set the limits of a project", "PUT /v2.0/quotas/{project_id}"),
    admin("delete_quota", "Set the limits of a project back", "DELETE /v2.0/quotas/{project_id}"),
    reader("get_address_group", "See address groups", "GET /v2.0/address-groups"),
    reader("get_address_scope", "See address scopes", "GET /v2.0/address-scopes"),
    admin("get_agent", "See agents", "GET /v2.0/agents"),
    reader("get_router", "See routers", "GET /v2.0/routers"),
    reader("get_subnetpool", "See subnet pools", "GET /v2.0/subnetpools"),
    reader("get_trunk", "See trunks", "GET /v2.0/trunks"),
    reader("get_rbac_policy", "See how networks are shared", "GET /v2.0/rbac-policies"),
    admin("create_address_group", "Make an address group", "POST /v2.0/address-groups"),
    member("create_address_scope", "Make an address scope", "POST /v2.0/address-scopes"),
    member("create_router", "Make a router", "POST /v2.0/routers"),
    member("create_subnetpool", "Make a subnet pool", "POST /v2.0/subnetpools"),
    member("create_trunk", "Make a trunk", "POST /v2.0/trunks"),
    member("create_rbac_policy", "Share a network with one project", "POST /v2.0/rbac-policies"),
)
