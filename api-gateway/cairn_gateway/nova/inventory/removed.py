"""What Nova once had: the routes are there only to be refused."""

from __future__ import annotations

from cairn_gateway.nova.inventory.entries import act, at, removed
from cairn_gateway.nova.microversions import PROXIES_REMOVED
from cairn_gateway.policy.base import AUTHENTICATED

ENTRIES = (
    *at("/os-agents", *removed("GET", "POST")),
    *at("/os-agents/{agent_id}", *removed("PUT", "DELETE")),
    *at(
        "/os-baremetal-nodes/{node_id}/action",
        act("add_interface", AUTHENTICATED, status=400, gone=PROXIES_REMOVED, removed=True),
        act("remove_interface", AUTHENTICATED, status=400, gone=PROXIES_REMOVED, removed=True),
    ),
    *at("/os-cells", *removed("POST", "GET")),
    *at("/os-cells/capacities", *removed("GET")),
    *at("/os-cells/detail", *removed("GET")),
    *at("/os-cells/info", *removed("GET")),
    *at("/os-cells/sync_instances", *removed("POST")),
    *at("/os-cells/{cell_id}", *removed("GET", "PUT", "DELETE")),
    *at("/os-cells/{cell_id}/capacities", *removed("GET")),
    *at("/os-certificates", *removed("POST")),
    *at("/os-certificates/{certificate_id}", *removed("GET")),
    *at("/os-cloudpipe", *removed("GET", "POST")),
    *at("/os-cloudpipe/{project_id}", *removed("PUT")),
    *at("/os-fixed-ips/{fixed_ip}", *removed("GET")),
    *at(
        "/os-fixed-ips/{fixed_ip}/action",
        act("reserve", AUTHENTICATED, status=410, removed=True),
        act("unreserve", AUTHENTICATED, status=410, removed=True),
    ),
    *at("/os-floating-ip-dns", *removed("GET")),
    *at("/os-floating-ip-dns/{domain}", *removed("PUT", "DELETE")),
    *at("/os-floating-ip-dns/{domain}/entries/{name}", *removed("GET", "PUT", "DELETE")),
    *at("/os-floating-ips-bulk", *removed("GET", "POST")),
    *at("/os-floating-ips-bulk/{operation}", *removed("GET", "PUT")),
    *at("/os-fping", *removed("GET")),
    *at("/os-fping/{server_id}", *removed("GET")),
    *at("/os-networks/add", *removed("POST")),
    *at(
        "/os-networks/{network_id}/action",
        act("disassociate", AUTHENTICATED, status=410, removed=True),
        act("disassociate_host", AUTHENTICATED, status=410, removed=True),
        act("disassociate_project", AUTHENTICATED, status=410, removed=True),
        act("associate_host", AUTHENTICATED, status=410, removed=True),
    ),
    *at("/os-security-group-default-rules", *removed("GET", "POST")),
    *at("/os-security-group-default-rules/{rule_id}", *removed("GET", "DELETE")),
    *at("/servers/{server_id}/consoles", *removed("GET", "POST")),
    *at("/servers/{server_id}/consoles/{console_id}", *removed("GET", "DELETE")),
    *at("/servers/{server_id}/os-virtual-interfaces", *removed("GET")),
)
