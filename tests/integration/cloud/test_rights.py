"""Nobody's credentials are worth more than his job: what each account may and may not do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cairn_crds import ComputeNode, Flavor, Guest, Instance, KeyPair, Migration, Network, Project
from cairn_crds.guest import node_namespace
from cairn_runtime.peers import ENDPOINTS_NAMESPACE, SECRETS, secret_path
from integration.cloud.cairn import Cairn, Tenant
from support.api import MERGE_PATCH, Api, Refused

SYSTEM = "cairn-system"


def forbidden(request: Callable[[], object]) -> bool:
    """Whether the API server refuses it for want of rights."""
    try:
        request()
    except Refused as error:
        if error.status != 403:
            raise
        return True
    return False


@pytest.fixture
def as_account(cairn: Cairn) -> Callable[[str, str], Api]:
    """The API as a service account sees it."""
    return lambda namespace, name: Api(cairn.plane.service_account_kubeconfig(namespace, name))


def test_an_agent_sees_its_own_guests_and_nothing_else(
    cairn: Cairn, tenant: Tenant, as_account: Callable[[str, str], Api]
) -> None:
    instance_id = tenant.boot(availabilityZone="quick")
    own, other = node_namespace("frail"), node_namespace("quick")
    agent = as_account(own, "cairn-agent")
    assert agent.list(Guest, own) == []
    hidden: dict[str, Callable[[], object]] = {
        "another host's Guests": lambda: agent.list(Guest, other),
        "one Guest of another host": lambda: agent.get(Guest, instance_id, other),
        "all Guests": lambda: agent.list(Guest),
        "a tenant's Instances": lambda: agent.list(Instance, tenant.namespace),
        "one Instance": lambda: agent.get(Instance, "vm", tenant.namespace),
        "all Instances": lambda: agent.list(Instance),
        "key pairs": lambda: agent.list(KeyPair, tenant.namespace),
        "projects": lambda: agent.list(Project),
        "other nodes": lambda: agent.get(ComputeNode, "quick"),
        "the list of nodes": lambda: agent.list(ComputeNode),
        "its own namespace's secrets": lambda: agent.request("GET", f"/api/v1/namespaces/{own}/secrets"),
        "all secrets": lambda: agent.request("GET", "/api/v1/secrets"),
        "the endpoints of all": lambda: agent.request("GET", SECRETS),
        "another host's endpoint": lambda: agent.request("GET", secret_path("quick")),
        "a secret of its name elsewhere": lambda: agent.request(
            "GET", f"/api/v1/namespaces/{SYSTEM}/secrets/frail"
        ),
        "config maps": lambda: agent.request("GET", f"/api/v1/namespaces/{own}/configmaps"),
        "leases": lambda: agent.request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"),
    }
    assert [what for what, read in hidden.items() if not forbidden(read)] == []
    assert agent.request("GET", secret_path("frail"))["data"]


def test_an_agent_reports_and_changes_nothing_else(
    cairn: Cairn, tenant: Tenant, as_account: Callable[[str, str], Api]
) -> None:
    instance_id = tenant.boot(availabilityZone="frail")
    own = node_namespace("frail")
    agent = as_account(own, "cairn-agent")
    assert agent.get(Guest, instance_id, own)
    assert agent.get(ComputeNode, "frail")
    agent.patch(ComputeNode, "frail", "", {"status": {}}, "status")
    refused: dict[str, Callable[[], object]] = {
        "enrol a node": lambda: agent.create(ComputeNode, {"metadata": {"name": "evil"}}),
        "change what the admin says of it": lambda: agent.patch(
            ComputeNode, "frail", "", {"spec": {"disabled": False}}
        ),
        "report on another node": lambda: agent.patch(ComputeNode, "quick", "", {"status": {}}, "status"),
        "change a Guest's spec": lambda: agent.patch(
            Guest, instance_id, own, {"spec": {"powerState": "Stopped"}}
        ),
        "make a Guest": lambda: agent.create(
            Guest, {"metadata": {"name": "x", "namespace": own}, "spec": {}}
        ),
        "remove a node": lambda: agent.delete(ComputeNode, "frail"),
        "change an Instance": lambda: agent.patch(Instance, "vm", tenant.namespace, {"spec": {}}),
        "a token for somebody else": lambda: agent.request(
            "POST", f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/cairn-conductor/token", {"spec": {}}
        ),
        "pass for another host": lambda: agent.request("PATCH", secret_path("quick"), {}, MERGE_PATCH),
        "remove its endpoint": lambda: agent.request("DELETE", secret_path("frail")),
        "a secret under another name": lambda: agent.request("POST", SECRETS, {"metadata": {"name": "x"}}),
        "rights for itself": lambda: agent.request(
            "POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{own}/roles", {"metadata": {"name": "x"}}
        ),
    }
    assert [what for what, change in refused.items() if not forbidden(change)] == []


def test_the_scheduler_reads_hosts_and_instances_and_writes_nothing(
    cairn: Cairn, tenant: Tenant, as_account: Callable[[str, str], Api]
) -> None:
    instance_id = tenant.boot(availabilityZone="quick")
    scheduler = as_account(SYSTEM, "cairn-scheduler")
    assert scheduler.list(ComputeNode)
    assert scheduler.list(Instance)
    refused: dict[str, Callable[[], object]] = {
        "change an Instance": lambda: scheduler.patch(Instance, "vm", tenant.namespace, {"spec": {}}),
        "its status": lambda: scheduler.patch(Instance, "vm", tenant.namespace, {"status": {}}, "status"),
        "delete one": lambda: scheduler.delete(Instance, "vm", tenant.namespace),
        "change a node": lambda: scheduler.patch(ComputeNode, "quick", "", {"spec": {}}),
        "a node's status": lambda: scheduler.patch(ComputeNode, "quick", "", {"status": {}}, "status"),
        "read Guests": lambda: scheduler.get(Guest, instance_id, node_namespace("quick")),
        "read secrets": lambda: scheduler.request("GET", "/api/v1/secrets"),
        "read endpoints": lambda: scheduler.request("GET", secret_path("quick")),
        "write events": lambda: scheduler.request(
            "POST", f"/api/v1/namespaces/{tenant.namespace}/events", {"metadata": {"name": "x"}}
        ),
        "take a lease": lambda: scheduler.request(
            "POST",
            f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases",
            {"metadata": {"name": "x"}},
        ),
    }
    assert [what for what, change in refused.items() if not forbidden(change)] == []


def test_the_conductor_cannot_read_secrets_or_raise_its_own_rights(
    cairn: Cairn, as_account: Callable[[str, str], Api]
) -> None:
    conductor = as_account(SYSTEM, "cairn-conductor")
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    myself = [{"kind": "ServiceAccount", "name": "cairn-conductor", "namespace": SYSTEM}]
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    refused: dict[str, Callable[[], object]] = {
        "read secrets": lambda: conductor.request("GET", "/api/v1/secrets"),
        "read its own namespace's": lambda: conductor.request(
            "GET", f"/api/v1/namespaces/{SYSTEM}/secrets/x"
        ),
        # A Secret of the right type would be filled with an account's token.
        "make a secret": lambda: conductor.request(
            "POST", "/api/v1/namespaces/kube-system/secrets", {"metadata": {"name": "frail"}}
        ),
        "make a role with more than it has": lambda: conductor.request(
            "POST", f"{rbac}/clusterroles", {"metadata": {"name": "evil"}, "rules": [everything]}
        ),
        "become the administrator": lambda: conductor.request(
            "POST",
            f"{rbac}/clusterrolebindings",
            {"metadata": {"name": "evil"}, "roleRef": admin, "subjects": myself},
        ),
        "run pods": lambda: conductor.request(
            "POST", f"/api/v1/namespaces/{SYSTEM}/pods", {"metadata": {"name": "x"}}
        ),
        "change flavors": lambda: conductor.delete(Flavor, "tiny"),
    }
    assert [what for what, change in refused.items() if not forbidden(change)] == []


def test_the_gateway_reads_endpoints_and_no_other_secret(
    cairn: Cairn, as_account: Callable[[str, str], Api]
) -> None:
    gateway = as_account(SYSTEM, "cairn-gateway")
    assert gateway.request("GET", secret_path("quick"))["data"]
    refused: dict[str, Callable[[], object]] = {
        "read secrets": lambda: gateway.request("GET", "/api/v1/secrets"),
        "list endpoints": lambda: gateway.request("GET", SECRETS),
        "change an endpoint": lambda: gateway.request("PATCH", secret_path("quick"), {}, MERGE_PATCH),
        "read its own namespace's": lambda: gateway.request("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/x"),
    }
    assert [what for what, change in refused.items() if not forbidden(change)] == []


def test_no_account_lives_where_the_endpoints_are(cairn: Cairn) -> None:
    accounts = cairn.api.request("GET", f"/api/v1/namespaces/{ENDPOINTS_NAMESPACE}/serviceaccounts")["items"]
    assert [account["metadata"]["name"] for account in accounts] == ["default"]


def test_a_member_works_in_the_project_and_nowhere_else(
    cairn: Cairn, tenant: Tenant, new_tenant: Callable[..., Tenant], as_account: Callable[[str, str], Api]
) -> None:
    namespace = tenant.namespace
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    cairn.api.request("POST", account, {"metadata": {"name": "somebody"}})
    name = f"system:serviceaccount:{namespace}:somebody"
    members = [{"kind": "User", "name": name, "role": "member"}]
    cairn.api.patch(Project, namespace, "", {"spec": {"members": members}})
    member = as_account(namespace, "somebody")
    cairn.wait("the rights", lambda: not forbidden(lambda: member.list(Instance, namespace)))
    member.create(
        Instance,
        {"metadata": {"name": "vm", "namespace": namespace}, "spec": {"flavor": "tiny", "image": "demo"}},
    )
    instance_id = tenant.phase("Active")["status"]["instanceId"]
    assert member.list(Flavor)
    assert member.list(Network)
    assert member.list(Migration, namespace) == []
    host = tenant.get()["status"]["host"]
    other = new_tenant()
    refused: dict[str, Callable[[], object]] = {
        "another project's instances": lambda: member.list(Instance, other.namespace),
        "all instances": lambda: member.list(Instance),
        "its own machine's Guest": lambda: member.get(Guest, instance_id, node_namespace(host)),
        "the nodes": lambda: member.list(ComputeNode),
        "its own quota": lambda: member.patch(Project, namespace, "", {"spec": {}}),
        "a status": lambda: member.patch(Instance, "vm", namespace, {"status": {}}, "status"),
        "a flavor": lambda: member.patch(Flavor, "tiny", "", {"spec": {}}),
        "a move to another host": lambda: member.create(
            Migration, {"metadata": {"name": "move", "namespace": namespace}, "spec": {"instance": "vm"}}
        ),
    }
    assert [what for what, change in refused.items() if not forbidden(change)] == []

    cairn.api.patch(Project, namespace, "", {"spec": {"members": []}})
    cairn.wait("the rights to be taken", lambda: forbidden(lambda: member.list(Instance, namespace)))
